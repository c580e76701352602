//! The order in which people read names: by the numbers in them, so that 2 comes before 10.

use std::cmp::Ordering;

/// Compares two names. Digits that follow one another count as one number, everything else as it is.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (mut rest_of_a, mut rest_of_b) = (a, b);
    loop {
        let (part_of_a, part_of_b) = (first(&mut rest_of_a), first(&mut rest_of_b));
        let ordering = match (part_of_a, part_of_b) {
            ("", "") => return a.cmp(b),
            (a, b) if is_number(a) && is_number(b) => {
                let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
                a.len().cmp(&b.len()).then_with(|| a.cmp(b))
            }
            (a, b) => a.cmp(b),
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
}

fn is_number(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_digit())
}

/// Takes the first run of digits, or of anything else, from `text`.
fn first<'a>(text: &mut &'a str) -> &'a str {
    let is_digits = is_number(text);
    let end = text.find(|c: char| c.is_ascii_digit() != is_digits).unwrap_or(text.len());
    let (part, rest) = text.split_at(end);
    *text = rest;
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_by_size() {
        let mut names = ["conv_10", "conv_9", "conv", "a1b10", "a1b9", "conv_1_x", "conv_01", "é2", "conv_1"];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(names, ["a1b9", "a1b10", "conv", "conv_01", "conv_1", "conv_1_x", "conv_9", "conv_10", "é2"]);
        assert!(compare("7", "18446744073709551616").is_lt() && compare("x", "x").is_eq());
    }
}
