//! Everything that goes to standard error: messages, log lines and progress bars.
//!
//! What is said never decides what is done: an error of standard error is ignored, and a study is finished although nobody listens.

#![expect(clippy::disallowed_methods, reason = "this module is the way to standard error")]

use std::{
    env,
    io::{self, IsTerminal, Write},
    sync::{Mutex, PoisonError},
};

use indicatif::{MultiProgress, ProgressDrawTarget};
use pipe_stages::words::{is_unsafe, printable};

use crate::patience::write_patiently;

/// The bars that are drawn now. Lines are written above them.
static BARS: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Says `text`, one or several lines. Control characters in it are escaped.
pub(crate) fn say(text: &str) {
    write(&printable(text));
}

/// Says `text`, which may have colours. Other control characters in it are escaped.
pub(crate) fn say_styled(text: &str) {
    write(&printable_styled(text));
}

/// Returns whether what is said is shown with colours.
pub(crate) fn has_colours() -> bool {
    understands_colours(&io::stderr())
}

/// Returns the number of columns of the terminal that standard error goes to, if it is one.
pub(crate) fn width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| width.0.into())
}

/// Returns whether a stream is a terminal with colours, and the user wants them.
pub(crate) fn understands_colours(stream: &impl IsTerminal) -> bool {
    is_capable_terminal(stream) && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Returns whether a stream is a terminal that understands more than plain text.
fn is_capable_terminal(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Progress bars. At the end, they are removed from the screen.
pub(crate) struct Bars(MultiProgress);

impl Bars {
    /// Starts to draw bars. Returns `None` if they cannot be shown: on a terminal without cursor movements, in a file, or in a log of
    /// continuous integration.
    pub(crate) fn start() -> Option<Self> {
        let in_ci = env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0");
        if in_ci || !is_capable_terminal(&io::stderr()) {
            return None;
        }
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        // A hidden target would swallow lines, too.
        if bars.is_hidden() {
            return None;
        }
        *lock() = Some(bars.clone());
        Some(Self(bars))
    }
}

impl std::ops::Deref for Bars {
    type Target = MultiProgress;

    fn deref(&self) -> &MultiProgress {
        &self.0
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        let mut drawn = lock();
        // If the terminal is gone, so are the bars.
        drop(self.0.clear());
        *drawn = None;
    }
}

/// Writes log lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The engine keeps what an execution says.
        pipe_engine::run::log::heard(line);
        say_styled(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<MultiProgress>> {
    BARS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes `text`, and a line feed if it does not end in one.
fn write(text: &str) {
    let text = text.strip_suffix('\n').unwrap_or(text);
    // The lock keeps lines whole, and bars from appearing while a line is written.
    let bars = lock();
    let written = match &*bars {
        Some(bars) => bars.println(text),
        None => write_all(format!("{text}\n").as_bytes()),
    };
    // Nobody could be told.
    drop(written);
}

fn write_all(bytes: &[u8]) -> io::Result<()> {
    write_patiently(&mut io::stderr().lock(), bytes)
}

/// Returns text with its control characters escaped, except for line feeds, tabs and the sequences that select colours.
pub(crate) fn printable_styled(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_unsafe) {
        let (plain, from) = rest.split_at(at);
        let end = colour(from).unwrap_or_else(|| from.chars().next().map_or(0, char::len_utf8));
        shown += plain;
        if colour(from).is_some() {
            shown += &from[..end]
        } else {
            shown += &printable(&from[..end])
        }
        rest = &from[end..];
    }
    shown + rest
}

/// Returns the length of the sequence that `text` starts with, if it selects a colour: `ESC [ 1 ; 31 m`.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !(c.is_ascii_digit() || c == ';'))?;
    parameters[end..].starts_with('m').then_some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_stay_and_other_sequences_are_escaped() {
        let check = |text: &str, shown: &str| assert_eq!(printable_styled(text), shown);
        check("\u{1b}[1;31merror\u{1b}[0m: é\n", "\u{1b}[1;31merror\u{1b}[0m: é\n");
        check("\u{1b}[2J\u{1b}[m\u{1b}]0;title\u{7}", "\\u{1b}[2J\u{1b}[m\\u{1b}]0;title\\u{7}");
        check("\u{1b}[31", "\\u{1b}[31");
        check("\u{1b}", "\\u{1b}");
        check("\u{9b}2J\r", "\\u{9b}2J\\r");
    }
}
