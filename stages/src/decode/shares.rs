//! Shares of pictures by their content: one more picture does not move the others, and a group is never divided.

use std::collections::BTreeMap;

use pipe_store::Digest;

use super::split::Choice;

/// A picture, as far as a share depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'m> {
    /// The name of the class.
    pub(super) class: &'m str,
    /// The digest of the file. Pictures with equal files are a group.
    pub(super) digest: Digest,
    /// The group, if groups are named.
    pub(super) group: Option<&'m str>,
}

/// Returns which of `members` are in a share.
///
/// Groups come in the order of the digest of their name, `choice` and `seed`. From a class with n pictures, `fraction` * n are
/// wanted, rounded to the nearest (halves up), but at least one, and for a share that leaves a training split at most n - 1. A group
/// is taken if that brings the counts of its classes nearer to what is wanted, all together.
pub(super) fn share(members: &[Member<'_>], fraction: f64, seed: u32, choice: Choice) -> Vec<bool> {
    let mut wanted: BTreeMap<&str, i64> = BTreeMap::new();
    members.iter().for_each(|member| *wanted.entry(member.class).or_default() += 1);
    for n in wanted.values_mut() {
        let most = if matches!(choice, Choice::Validation | Choice::Test) { *n - 1 } else { *n };
        *n = ((fraction * *n as f64 + 0.5).floor() as i64).max(1).min(most);
    }
    let mut groups: BTreeMap<(Digest, Vec<u8>), Vec<usize>> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        let name = match member.group {
            Some(group) => [b"group ", group.as_bytes()].concat(),
            None => [b"file ", &member.digest.as_bytes()[..]].concat(),
        };
        let place = [&b"share"[..], &(choice as u32).to_le_bytes(), &seed.to_le_bytes(), &name].concat();
        groups.entry((Digest::of(&place), name)).or_default().push(index);
    }
    let mut chosen = vec![false; members.len()];
    for group in groups.values() {
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        group.iter().for_each(|index| *counts.entry(members[*index].class).or_default() += 1);
        let nearer = |(class, n): (&&str, &i64)| wanted[class].abs() - (wanted[class] - n).abs();
        if counts.iter().map(nearer).sum::<i64>() > 0 {
            counts.iter().for_each(|(class, n)| *wanted.get_mut(class).expect("it was counted") -= n);
            group.iter().for_each(|index| chosen[*index] = true);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(n: usize) -> Vec<(String, Digest)> {
        (0..n).map(|i| (["a", "b"][i % 2].to_owned(), Digest::of(&i.to_le_bytes()))).collect()
    }

    fn chosen(members: &[(String, Digest)], seed: u32) -> Vec<bool> {
        let members: Vec<_> =
            members.iter().map(|(class, digest)| Member { class, digest: *digest, group: None }).collect();
        share(&members, 0.15, seed, Choice::Test)
    }

    #[test]
    fn each_class_gives_its_share() {
        let members = members(230);
        let chosen = chosen(&members, 0);
        let count = |class| members.iter().zip(&chosen).filter(|((c, _), chosen)| c == class && **chosen).count();
        // 0.15 of 115 is 17.25.
        assert_eq!([count("a"), count("b")], [17, 17]);
    }

    #[test]
    fn one_more_picture_moves_at_most_one_other() {
        let mut members = members(200);
        let before = chosen(&members, 3);
        members.push(("a".to_owned(), Digest::of(b"new")));
        let after = chosen(&members, 3);
        assert!(before.iter().zip(&after).filter(|(a, b)| a != b).count() <= 1);
        assert_ne!(before, chosen(&members[..200], 4));
    }

    #[test]
    fn the_order_of_pictures_does_not_matter() {
        let mut members = members(51);
        let taken = |members: &[(String, Digest)]| {
            let mut taken: Vec<_> =
                members.iter().zip(chosen(members, 0)).filter(|(_, c)| *c).map(|(m, _)| m.1).collect();
            taken.sort_unstable();
            taken
        };
        let before = taken(&members);
        members.reverse();
        assert_eq!(before, taken(&members));
    }

    #[test]
    fn a_group_is_never_divided() {
        let names: Vec<String> = (0..100).map(|i| (i / 5).to_string()).collect();
        let classes = ["a", "b", "c"];
        let members: Vec<_> = (0..100)
            .map(|i: usize| Member { class: classes[i % 3], digest: Digest::of(&[i as u8]), group: Some(&names[i]) })
            .collect();
        let chosen = share(&members, 0.2, 0, Choice::Validation);
        for group in chosen.chunks(5) {
            assert!(group.iter().all(|chosen| *chosen == group[0]));
        }
        let n = chosen.iter().filter(|chosen| **chosen).count();
        assert!((15..=25).contains(&n), "{n}");
    }

    #[test]
    fn a_class_with_one_picture_stays_for_training() {
        let one = [Member { class: "a", digest: Digest::of(b"1"), group: None }];
        assert_eq!(share(&one, 0.5, 0, Choice::Test), [false]);
        assert_eq!(share(&one, 0.5, 0, Choice::TrainSubset), [true]);
    }
}
