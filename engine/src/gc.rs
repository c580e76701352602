//! Which of a store's contents the studies in it need.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use pipe_store::{Digest, GcPlan, GcRoots, RefKind, Store, StoreError};

use crate::study::Study;

/// The entries of studies' logs that are forgotten.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// name -> how many of the newest entries stay
    keep: BTreeMap<String, usize>,
    /// (name, study)
    pub entries: Vec<(String, Digest)>,
}

/// Decides which entries go if only the last `keep_last` of each name stay.
pub fn forget(store: &Store, keep_last: Option<u32>) -> Result<Forgotten, StoreError> {
    let mut forgotten = Forgotten::default();
    let Some(keep_last) = keep_last else { return Ok(forgotten) };
    for name in store.ref_names(RefKind::Studies)? {
        let log = store.ref_log(RefKind::Studies, &name)?;
        let keep = log.len().min(keep_last as usize);
        forgotten.entries.extend(log[..log.len() - keep].iter().map(|entry| (name.clone(), entry.digest)));
        forgotten.keep.insert(name, keep);
    }
    Ok(forgotten)
}

impl Forgotten {
    /// Takes the entries out of their logs.
    pub fn carry_out(&self, store: &Store) -> Result<(), StoreError> {
        for name in self.keep.keys() {
            // As many as were decided to go, not all but some: a study that was added meanwhile stays.
            let mut left = self.entries.iter().filter(|(entry, _)| entry == name).count();
            store.ref_retain(RefKind::Studies, name, |_| {
                let goes = left > 0;
                left -= usize::from(goes);
                !goes
            })?;
        }
        Ok(())
    }
}

/// Takes out what only unfinished runs that nobody continues have made.
pub fn leave_out_unfinished(store: &Store, roots: &mut GcRoots) -> Result<(), StoreError> {
    let (running, unfinished): (Vec<_>, Vec<_>) = store.runs()?.into_iter().partition(|run| run.running);
    let held: BTreeSet<_> = running.iter().flat_map(|run| &run.keys).collect();
    for key in unfinished.iter().flat_map(|run| &run.keys).filter(|key| !held.contains(key)) {
        roots.actions.remove(key);
    }
    roots.abandoned = unfinished.into_iter().map(|run| run.id).collect();
    Ok(())
}

/// Adds what the studies that stay need.
pub fn add_studies(store: &Store, roots: &mut GcRoots, forgotten: &Forgotten) -> Result<(), StoreError> {
    for name in store.ref_names(RefKind::Studies)? {
        let log = store.ref_log(RefKind::Studies, &name)?;
        let path = store.root().join("refs/studies").join(&name);
        if log.is_empty() && path.exists() {
            // Not "no studies": what they were is lost, and with it what they need.
            return Err(StoreError::Record { path, reason: "no study in it can be read".to_owned() });
        }
        let keep = forgotten.keep.get(&name).copied().unwrap_or(log.len());
        for entry in &log[log.len() - keep.min(log.len())..] {
            if !roots.objects.insert(entry.digest) {
                continue;
            }
            let study = match Study::load(store, &entry.digest) {
                Ok(study) => study,
                Err(crate::study::StudyError::Store(error)) => return Err(error),
                // Not a study: nothing more is known of it, and it stays as it is.
                Err(_) => continue,
            };
            roots.objects.insert(study.pipeline);
            roots.actions.extend(study.nodes.values().filter_map(|node| node.key()));
            roots.objects.extend(study.nodes.values().filter_map(|node| node.tree()));
        }
    }
    Ok(())
}

/// Returns the plan for people.
pub fn render(plan: &GcPlan, forgotten: &Forgotten, dry: bool) -> String {
    let mut text = String::new();
    for (name, study) in &forgotten.entries {
        text += &format!("{}  {name} {study}\n", if dry { "would forget" } else { "forgot" });
    }
    text += &plan.to_string();
    text
}

/// Returns a duration written as `90s`, `30m`, `12h` or `14d`.
///
/// # Errors
/// If the text is none of these: what is expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number and a unit, such as `90s`, `30m`, `12h` or `14d`".to_owned();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| expected())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "" if number == 0 => 0,
        _ => return Err(expected()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("14d"), Ok(Duration::from_secs(14 * 86_400)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        for text in ["", "d", "14", "1w", "-1s", "99999999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
