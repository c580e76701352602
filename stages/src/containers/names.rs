//! The paths of entries.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The most bytes of a path, as in Linux.
pub(super) const PATH: usize = 4096;

/// Returns the path of an entry: UTF-8 in Unicode's form NFC, without `.` and with single slashes.
///
/// # Errors
/// If it is too long, is absolute, or has `..`, a backslash or a zero byte. The message continues "entry `..` ".
pub(super) fn normal(path: &[u8]) -> Result<String, String> {
    if path.len() > PATH {
        return Err(format!("has a path of {} bytes, expected at most {PATH}", path.len()));
    }
    if path.starts_with(b"/") {
        return Err("has an absolute path".to_owned());
    }
    if path.iter().any(|byte| matches!(byte, b'\\' | 0)) {
        return Err("has a backslash or a zero byte in its path".to_owned());
    }
    let parts: Vec<_> = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    if parts.contains(&&b".."[..]) {
        return Err("has `..` in its path".to_owned());
    }
    Ok(nfc(&text(&parts.join(&b'/'))))
}

/// Returns the name in Unicode's form NFC: macOS writes `ä` as `a` and two dots.
pub(crate) fn nfc(text: &str) -> String {
    if is_nfc(text) { text.to_owned() } else { text.nfc().collect() }
}

/// Returns the text of a name. A byte that is not UTF-8 becomes `\xe9`.
pub(super) fn text(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(name.utf8_chunks().fold(String::new(), |mut text, chunk| {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
            text
        })),
    }
}

/// Returns where the link at the normal path `from` leads, or `None` if that is outside. A hard link's target starts at the top,
/// a symbolic link's in the folder of the link.
pub(super) fn target(from: &str, target: &[u8], is_hard: bool) -> Option<String> {
    if target.is_empty() || target.starts_with(b"/") || target.len() > PATH {
        return None;
    }
    let target = nfc(&text(target));
    let mut parts: Vec<&str> = if is_hard { Vec::new() } else { from.split('/').collect() };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Returns whether a path is of what programs leave behind: a hidden file or folder, or one that macOS, Windows or a file server
/// makes.
pub(crate) fn is_junk(path: &str) -> bool {
    let is_junk = |part: &str| {
        part.starts_with('.')
            || ["__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"]
                .contains(&part)
            || ["thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"].contains(&part.to_ascii_lowercase().as_str())
    };
    path.split('/').any(is_junk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_brought_to_one_form() {
        for (path, expected) in [
            (&b"./a//b.bin"[..], "a/b.bin"),
            (b"a/", "a"),
            (b".", ""),
            (b"caf\xe9/1.jpg", "caf\\xe9/1.jpg"),
            ("A\u{308}pfel/1".as_bytes(), "Äpfel/1"),
        ] {
            assert_eq!(normal(path).as_deref(), Ok(expected));
        }
        for (path, expected) in [
            (&b"/etc/passwd"[..], "has an absolute path"),
            (b"a/../../b", "has `..` in its path"),
            (b"..", "has `..` in its path"),
            (b"a\\b", "has a backslash or a zero byte in its path"),
        ] {
            assert_eq!(normal(path).as_ref().map_err(String::as_str), Err(expected));
        }
        assert!(normal(&[b'x'; 5000]).unwrap_err().starts_with("has a path of 5000 bytes"));
    }

    #[test]
    fn a_link_leads_to_a_path_inside_or_nowhere() {
        for (from, to, is_hard, expected) in [
            ("a/b/l", "../c/1.jpg", false, Some("a/c/1.jpg")),
            ("a/b/l", "1.jpg", false, Some("a/b/1.jpg")),
            ("a/b/l", "a/1.jpg", true, Some("a/1.jpg")),
            ("l", "../1.jpg", false, None),
            ("a/l", "/etc/passwd", false, None),
            ("a/l", "..", false, None),
        ] {
            assert_eq!(target(from, to.as_bytes(), is_hard).as_deref(), expected, "{from} {to}");
        }
    }

    #[test]
    fn what_programs_leave_behind_is_junk() {
        for path in
            ["a/.DS_Store", "a/._1.jpg", "__MACOSX/a/1.jpg", ".git/x", "a/@eaDir/1.jpg", "a/Thumbs.db", "a/.x.jpg"]
        {
            assert!(is_junk(path), "{path}");
        }
        assert!(!is_junk("a/b.c/1.jpg"));
    }
}
