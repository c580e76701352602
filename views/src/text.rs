//! Numbers, counts and tables as text.

use std::time::{Duration, SystemTime};

use pipe_engine::pipeline::stages;
use pipe_stages::StageName;
use serde_json::Value;

use super::notation;

/// Returns a number with at most `digits` significant digits, without trailing zeros: `0.4188`, `1200000`, `1.3e-7`.
pub(crate) fn significant(x: f64, digits: usize) -> String {
    if x.is_nan() || x == 0.0 {
        return if x.is_nan() { "NaN".to_owned() } else { "0".to_owned() };
    }
    if x.is_infinite() {
        return if x > 0.0 { "∞".to_owned() } else { "−∞".to_owned() };
    }
    // The exponent is taken after rounding: 9.9996 becomes 1.000e1.
    let scientific = format!("{x:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = scientific.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is an integer");
    let text = if (-5..15).contains(&exponent) {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        format!("{x:.decimals$}")
    } else {
        format!("{}e{exponent}", trimmed(mantissa))
    };
    if text.contains('e') { text } else { trimmed(&text).to_owned() }
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Returns a fraction as a percentage with two decimals and a no-break space: `41.88 %`.
pub(crate) fn percent(fraction: f64) -> String {
    if fraction.is_finite() { format!("{:.2}\u{a0}%", 100.0 * fraction) } else { significant(fraction, 3) }
}

/// Returns the value of a metric as text: accuracies are percentages.
pub fn metric_value(metric: Option<&str>, value: f64) -> String {
    if metric.is_some_and(|metric| metric.contains("accuracy")) { percent(value) } else { significant(value, 5) }
}

/// Returns a moment, given in seconds since 1970: `2026-11-25 16:00:14 UTC`.
pub fn moment(seconds: f64) -> String {
    let moment = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds.clamp(0.0, 1e11));
    humantime::format_rfc3339_seconds(moment).to_string().replace('T', " ").replace('Z', " UTC")
}

/// Returns an integer with commas between groups of three digits: `7,061,116`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a size in bytes: `1.4 MB`.
pub(crate) fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{} kB", significant(n as f64 / 1e3, 3)),
        1_000_000..1_000_000_000 => format!("{} MB", significant(n as f64 / 1e6, 3)),
        _ => format!("{} GB", significant(n as f64 / 1e9, 3)),
    }
}

/// Returns a value as short text: numbers are rounded to five significant digits, strings have no quotes.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.to_string(),
            None => significant(number.as_f64().unwrap_or(f64::NAN), 5),
        },
        other => notation::line(other),
    }
}

/// Returns `1 thing` or `n things`.
pub(crate) fn counted(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// Returns a count with the noun for what a stage does: `2 trainings`.
pub(crate) fn works(stage: &str, n: usize) -> String {
    StageName::find(stage).map_or_else(|| format!("{n} × {stage}"), |stage| stages::counted(stage, n))
}

/// How a column of a text table is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Returns a header and rows as aligned columns, two spaces apart. A column that is empty in every row is left out.
pub(crate) fn columns(header: &[&str], rows: &[Vec<String>], align: &dyn Fn(usize) -> Align) -> String {
    let widths: Vec<usize> = (0..header.len())
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .zip(header)
        .map(|(widest, name)| if widest == 0 { 0 } else { widest.max(name.chars().count()) })
        .collect();
    let mut text = String::new();
    for row in std::iter::once(header.iter().map(ToString::to_string).collect()).chain(rows.iter().cloned()) {
        let mut line = String::new();
        for (at, width) in widths.iter().enumerate().filter(|(_, width)| **width > 0) {
            let cell = row.get(at).map_or("", String::as_str);
            match align(at) {
                Align::Left => line.push_str(&format!("{cell:<width$}  ")),
                Align::Right => line.push_str(&format!("{cell:>width$}  ")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_and_have_no_trailing_zeros() {
        let shown = [0.418_812, 9.999_96, 1_234_567.0, 0.5, 1.3e-7, -2.0, 0.0, f64::NAN, f64::INFINITY, 3e20];
        let shown = shown.map(|x| significant(x, 4));
        assert_eq!(shown, ["0.4188", "10", "1234567", "0.5", "1.3e-7", "-2", "0", "NaN", "∞", "3e20"]);
    }

    #[test]
    fn counts_sizes_percentages_and_moments_are_formatted() {
        assert_eq!(moment(1_795_617_614.5), "2026-11-25 14:40:14 UTC");
        assert_eq!(moment(f64::MAX), moment(1e11));
        assert_eq!([0, 999, 1000, 7_061_116].map(grouped), ["0", "999", "1,000", "7,061,116"]);
        assert_eq!([12, 1_440, 8_000_000].map(bytes), ["12 B", "1.44 kB", "8 MB"]);
        assert_eq!(percent(0.41884), "41.88\u{a0}%");
        assert_eq!(
            (works(StageName::Train.as_str(), 1), works(StageName::Train.as_str(), 2)),
            ("1 training".into(), "2 trainings".into())
        );
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_are_left_out() {
        let rows = [vec!["a".into(), String::new(), "10".into()], vec!["bcd".into(), String::new(), "9".into()]];
        let align = |at| if at == 2 { Align::Right } else { Align::Left };
        assert_eq!(columns(&["x", "empty", "n"], &rows, &align), "x     n\na    10\nbcd   9\n");
    }
}
