//! Sizes in bytes as users write and read them. Units are powers of 1024.

/// Returns the number of bytes in a text such as `500M` or `1.5T`.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let expected = || "expected a number of bytes, or one with a unit: `500M`, `20G`, `1T`".to_owned();
    let (number, unit) = match text.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => (&text[..at], Some(unit.to_ascii_uppercase())),
        _ => (text, None),
    };
    let power = match unit {
        None => 0,
        Some('K') => 1,
        Some('M') => 2,
        Some('G') => 3,
        Some('T') => 4,
        Some(_) => return Err(expected()),
    };
    let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| is_plain).ok_or_else(expected)?;
    // A float holds every whole number of bytes that a disk may have.
    Ok((number * 1024_f64.powi(power)) as u64)
}

/// Returns a number of bytes with its unit: `12.3 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    // What would be rounded to 1024.0 takes the next unit.
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_binary_units() {
        let cases = [("0", 0), ("1000", 1000), ("2k", 2048), ("500M", 500 << 20), ("1.5G", 3 << 29), ("1T", 1 << 40)];
        for (text, bytes) in cases {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "-1G", "1X", "1GB", "1e3", "nan", "inf", "1..2", "1 G", "ä"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_with_one_decimal() {
        let cases = [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), ((1 << 20) - 1, "1.0 MiB"), (3 << 29, "1.5 GiB")];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size(u64::MAX), "16777216.0 TiB");
    }
}
