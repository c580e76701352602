//! Values as text, as other programs read them.

use serde_json::{Number, Value};

/// Who reads the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A program that gets the word as it is.
    Plain,
    /// Hydra, whose overrides have a grammar with quotes.
    Hydra,
}

/// Returns a value as text. A whole number has no fraction, because `argparse` with `type=int` refuses `32.0`. Other numbers are
/// the shortest text that gives the same number again. Lists and objects are JSON.
pub(super) fn text(value: &Value, style: Style) -> String {
    match value {
        Value::String(text) if style == Style::Hydra => quoted(text),
        Value::String(text) => text.clone(),
        Value::Number(number) => number_text(number),
        Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(x) if number.is_f64() && x.fract() == 0.0 && x.abs() < 9e15 => (x as i64).to_string(),
        _ => number.to_string(),
    }
}

/// Returns the words of a label for `argparse` and its relatives: `--lr 0.01`. A value that begins with a dash is `--shift=-1`. A
/// boolean is `--x` or `--no-x`, as `argparse.BooleanOptionalAction` reads it. Nothing for `None`.
pub(super) fn flag(label: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Bool(true) => vec![format!("--{label}")],
        Value::Bool(false) => vec![format!("--no-{label}")],
        value => {
            let text = text(value, Style::Plain);
            if text.starts_with('-') { vec![format!("--{label}={text}")] } else { vec![format!("--{label}"), text] }
        }
    }
}

/// Returns the word of a label for Hydra: `lr=0.01`. `None` is `null`.
pub(super) fn assignment(label: &str, value: &Value) -> Vec<String> {
    vec![format!("{label}={}", text(value, Style::Hydra))]
}

/// Returns text as Hydra's grammar reads it as the same text: in single quotes, unless it is a word that cannot be read as anything
/// else. See <https://hydra.cc/docs/advanced/override_grammar/basic/>.
fn quoted(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.'));
    let is_other = ["true", "false", "null", "inf", "nan"].contains(&text.to_ascii_lowercase().as_str());
    if is_word && !is_other {
        return text.to_owned();
    }
    // A backslash counts only before a quote, and at the end.
    let mut out = String::from("'");
    let mut backslashes = 0;
    for c in text.chars() {
        if c == '\'' {
            out.extend(std::iter::repeat_n('\\', backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        out.push(c);
    }
    out.extend(std::iter::repeat_n('\\', backslashes));
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_as_short_as_they_can_be_and_whole_ones_have_no_fraction() {
        let check = |value: Value, expected: &str| assert_eq!(text(&value, Style::Plain), expected);
        check(json!(32.0), "32");
        check(json!(-3.0), "-3");
        check(json!(0.1), "0.1");
        check(json!(1e-7), "1e-7");
        check(json!(1e300), "1e+300");
        check(json!(18_446_744_073_709_551_615_u64), "18446744073709551615");
        check(json!(true), "true");
        check(json!([1, "a"]), "[1,\"a\"]");
    }

    #[test]
    fn hydra_reads_text_as_the_same_text() {
        let check = |value: &str, expected: &str| assert_eq!(text(&json!(value), Style::Hydra), expected);
        check("adam", "adam");
        check("a/b-c.d", "a/b-c.d");
        for other in ["", "1e-3", "true", "Null", "nan", "a b", "a,b", "x=1", "${y}", "-x"] {
            check(other, &format!("'{other}'"));
        }
        check("it's", r"'it\'s'");
        check(r"a\'b", r"'a\\\'b'");
        check(r"a\ ", r"'a\ '");
        check(r"a b\", r"'a b\\'");
    }
}
