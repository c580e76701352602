//! Durations as people read them.

/// Returns a duration in at most two units: `12 ms`, `1.2 s`, `1m 02s`, `1h 02m`.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{}m {:02}s", s as u64 / 60, s as u64 % 60),
        s => format!("{}h {:02}m", s as u64 / 3600, s as u64 / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_few_digits() {
        assert_eq!([0.0123, 1.24, 62.0, 3720.0].map(duration), ["12 ms", "1.2 s", "1m 02s", "1h 02m"]);
    }
}
