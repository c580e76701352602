//! Data on standard output.
//!
//! Every write is checked, and nothing waits in a buffer: an error cannot come after the last look at it. It ends the command with
//! exit code 2. It is no error if the reader has closed the pipe (`pipe trials | head`).

#![expect(clippy::disallowed_methods, reason = "this module is the way to standard output")]

use std::{
    borrow::Cow,
    fs::File,
    io::{self, ErrorKind, IsTerminal},
    os::fd::AsFd,
    sync::{Mutex, OnceLock, PoisonError},
};

use pipe_stages::{
    params::for_programs,
    words::{is_unsafe, printable},
};

use crate::{failure::Failure, patience::write_patiently, talk};

/// The first error of standard output.
static LOST: OnceLock<String> = OnceLock::new();

/// Writes text that people read to standard output. Control characters in it are escaped: a class name can contain anything.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    write(printable(text).as_bytes())
}

/// Writes text with colours, as of a help text, to standard output.
pub(crate) fn print_styled(text: &str) -> Result<(), Failure> {
    write(talk::printable_styled(text).as_bytes())
}

/// Writes bytes to standard output, as they are. On a terminal, control characters and bytes that are not UTF-8 are escaped.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    if io::stdout().is_terminal() { write(shown(bytes).as_bytes()) } else { write(bytes) }
}

/// Writes a value as one line of JSON to standard output. If that fails the run goes on, as its results are worth more than its
/// events, and [`check`] reports it at the end.
pub(crate) fn print_event(event: &serde_json::Value) {
    let line = format!("{}\n", printable_json(&event.to_string()));
    drop(write(line.as_bytes()));
}

/// Returns a value as JSON for programs, with a final line feed.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    let text = for_programs(|| serde_json::to_string_pretty(value)).expect("what is shown is plain data");
    format!("{}\n", printable_json(&text))
}

/// Returns a value as a part of JSON for programs, which has null in the place of NaN.
pub(crate) fn value(value: &impl serde::Serialize) -> serde_json::Value {
    for_programs(|| serde_json::to_value(value)).expect("what is shown is plain data")
}

/// Returns the number of columns of the terminal that standard output goes to, if it is one.
pub(crate) fn width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0.into())
}

/// Returns whether standard output is shown with colours.
pub(crate) fn has_colours() -> bool {
    talk::understands_colours(&io::stdout())
}

/// Reports an error of standard output, if there was one since the program started.
///
/// # Errors
/// The failure with which the program ends, whatever else it did.
pub(crate) fn check() -> Result<(), Failure> {
    LOST.get().map_or(Ok(()), |error| Err(Failure::usage(format!("standard output: {error}"))))
}

/// Writes bytes. An error ends the command; what it was is said once, by [`check`].
fn write(bytes: &[u8]) -> Result<(), Failure> {
    match write_through(bytes) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            LOST.get_or_init(|| error.to_string());
            Err(Failure::silent(2))
        }
        _ => Ok(()),
    }
}

/// Writes to the file that standard output is, without the buffer of [`io::stdout`]: that keeps what follows the last line feed, and
/// drops it in silence if it cannot be written when the program ends.
fn write_through(bytes: &[u8]) -> io::Result<()> {
    static OUT: Mutex<Option<File>> = Mutex::new(None);
    let mut out = OUT.lock().unwrap_or_else(PoisonError::into_inner);
    if out.is_none() {
        *out = Some(File::from(io::stdout().as_fd().try_clone_to_owned()?));
    }
    write_patiently(out.as_mut().expect("it was opened"), bytes)
}

/// Returns bytes as a terminal may show them.
fn shown(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown += &printable(&chunk.valid().replace("\r\n", "\n"));
        chunk.invalid().iter().for_each(|byte| shown += &format!("\\x{byte:02x}"));
    }
    shown
}

/// Escapes what JSON may contain and a terminal would act on. It means the same.
fn printable_json(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if is_unsafe(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_means_the_same_after_escaping() {
        let text = "a\u{1b}[2J\u{7f}\u{9b}\u{202e}\t\r\né";
        let shown = json(&text);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        assert_eq!(shown.find(is_unsafe), None, "{shown:?}");
    }

    #[test]
    fn bytes_are_shown_without_what_a_terminal_acts_on() {
        assert_eq!(shown(b"a,b\r\n\x1b[2J\xff\xc3\xa9\r"), "a,b\n\\u{1b}[2J\\xff\u{e9}\\r");
    }
}
