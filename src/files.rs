//! Reads the files that a user names. Each kind has a largest size, so that `/dev/zero` ends.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Returns the content of a file of at most `most` bytes.
///
/// # Errors
/// If it cannot be read or is larger.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        let message = format!("it has more than {most} bytes, expected at most that");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(content)
}

/// Returns the text of a file of at most `most` bytes.
///
/// # Errors
/// If it cannot be read, is larger or is not UTF-8.
pub(crate) fn read_text(path: &Path, most: usize) -> io::Result<String> {
    let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text");
    String::from_utf8(read(path, most as u64)?).map_err(not_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused() {
        let error = read(Path::new("/dev/zero"), 1000).unwrap_err().to_string();
        assert_eq!(error, "it has more than 1000 bytes, expected at most that");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, b"abc").unwrap();
        assert_eq!(read_text(file.path(), 3).unwrap(), "abc");
        assert!(read_text(file.path(), 2).is_err());
    }
}
