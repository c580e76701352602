//! Hears what executions in this process say, so that it can be stored with their actions.

use std::{
    cell::RefCell,
    sync::{Mutex, PoisonError},
};

use pipe_store::LogBuffer;

thread_local! {
    static OF_THREAD: RefCell<Option<LogBuffer>> = const { RefCell::new(None) };
}

/// What programs say that this process runs.
static OF_PROGRAMS: Mutex<Option<LogBuffer>> = Mutex::new(None);

static OF_PROCESS: Mutex<Option<LogBuffer>> = Mutex::new(None);

/// Takes note of log lines that this thread has written. The program's logger calls this for everything that it writes.
pub fn heard(bytes: &[u8]) {
    let is_heard = OF_THREAD.with_borrow_mut(|buffer| buffer.as_mut().map(|buffer| add(buffer, bytes)).is_some());
    if !is_heard && let Some(buffer) = OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        add(buffer, bytes);
    }
}

/// Adds lines without the codes that colour them on a terminal.
fn add(buffer: &mut LogBuffer, bytes: &[u8]) {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        if *byte == 0x1b {
            // ESC [ 3 1 m
            rest.by_ref().take_while(|byte| !byte.is_ascii_alphabetic()).for_each(drop);
        } else {
            plain.push(*byte);
        }
    }
    let text = plain.strip_suffix(b"\n").unwrap_or(&plain);
    text.split(|byte| *byte == b'\n').for_each(|line| buffer.push(line));
}

/// Begins to hear what this thread says.
pub(super) fn begin_on_thread() {
    OF_THREAD.set(Some(LogBuffer::default()));
}

/// Ends hearing what this thread says, and returns it.
pub(super) fn end_on_thread() -> LogBuffer {
    OF_THREAD.take().unwrap_or_default()
}

/// Begins to hear what this process says.
pub fn begin_in_process() {
    *OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner) = Some(LogBuffer::default());
}

/// Ends hearing what this process says, and returns it.
pub fn end_in_process() -> LogBuffer {
    OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
}

/// Takes note of a line that a program has written, given without its end.
pub(super) fn program_said(line: &[u8]) {
    OF_PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().push(line);
}

/// Returns what programs have said that this process has run, as text. `None` if they said nothing.
pub fn said_by_programs() -> Option<String> {
    let buffer = OF_PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    Some(String::from_utf8_lossy(&buffer.finish()).into_owned())
}

/// Returns a log of what a program said and then what its worker said.
pub fn joined(program: &str, worker: LogBuffer) -> LogBuffer {
    let mut log = LogBuffer::default();
    program.lines().for_each(|line| log.push(line.as_bytes()));
    let worker = worker.finish();
    worker.split_inclusive(|byte| *byte == b'\n').for_each(|line| log.push(line.strip_suffix(b"\n").unwrap_or(line)));
    log
}

/// Adds an error and what can be done about it.
pub fn add_error(buffer: &mut LogBuffer, message: &str, hint: Option<&str>) {
    let hint = hint.map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    format!("error: {message}{hint}").lines().for_each(|line| buffer.push(line.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_hears_itself_and_no_colours() {
        begin_on_thread();
        heard(b"\x1b[33m WARN\x1b[0m one\ntwo\n");
        std::thread::spawn(|| heard(b"elsewhere\n")).join().unwrap();
        let mut buffer = end_on_thread();
        heard(b"too late\n");
        add_error(&mut buffer, "it broke\n  cause: x", Some("mend it"));
        let text = String::from_utf8(buffer.finish()).unwrap();
        assert_eq!(text, " WARN one\ntwo\nerror: it broke\n  cause: x\n  hint: mend it\n");
        assert!(end_on_thread().finish().is_empty());
    }
}
