//! Splits a command line into words, as a shell does.

/// Returns the words of `line`. The last one is what is before the cursor: it is empty after a space. Quotes may be open.
pub(crate) fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut in_word = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let last = words.last_mut().expect("there is a first word");
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => last.push(c),
            (_, '\\') => last.extend(chars.next()),
            (Some(_), c) => last.push(c),
            (None, '\'' | '"') => quote = Some(c),
            (None, c) if c.is_whitespace() => {
                if in_word {
                    words.push(String::new());
                    in_word = false;
                }
                continue;
            }
            (None, c) => last.push(c),
        }
        in_word = true;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        let check = |line: &str, expected: &[&str]| assert_eq!(split(line), expected, "{line}");
        check("pipe show ", &["pipe", "show", ""]);
        check("pipe  sho", &["pipe", "sho"]);
        check("pipe show 'a b' \"c\\\"d\" e\\ f", &["pipe", "show", "a b", "c\"d", "e f"]);
        check("pipe run --set 'search.tr", &["pipe", "run", "--set", "search.tr"]);
        check("pipe note tiny '' x", &["pipe", "note", "tiny", "", "x"]);
        check("", &[""]);
    }
}
