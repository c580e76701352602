//! What executions said: one text for each action, of its latest execution. Nothing depends on it.

use std::{collections::VecDeque, time::SystemTime};

use crate::{
    ActionKey, Store,
    disk::{self, Existing, Found},
    error::Result,
};

/// The most bytes that are kept of the beginning and of the end of a log.
const HEAD: usize = 64 << 10;
const TAIL: usize = 192 << 10;

/// Collects the lines of a log. Of a long log it keeps the beginning and the end.
#[derive(Debug, Default)]
pub struct LogBuffer {
    head: Vec<u8>,
    tail: VecDeque<Vec<u8>>,
    in_tail: usize,
    left_out: u64,
}

impl LogBuffer {
    /// Adds a line, given without its line feed.
    pub fn push(&mut self, line: &[u8]) {
        let line = [line, b"\n"].concat();
        if self.tail.is_empty() && self.left_out == 0 && self.head.len() + line.len() <= HEAD {
            self.head.extend(line);
            return;
        }
        self.in_tail += line.len();
        self.tail.push_back(line);
        while self.in_tail > TAIL {
            let gone = self.tail.pop_front().expect("what is counted is there").len();
            self.in_tail -= gone;
            self.left_out += gone as u64;
        }
    }

    /// Returns the log: all lines, or the first and the last ones with a line between them that says how much was left out.
    pub fn finish(self) -> Vec<u8> {
        let mut bytes = self.head;
        if self.left_out > 0 {
            bytes.extend(format!(".. {} bytes left out ..\n", self.left_out).into_bytes());
        }
        bytes.extend(self.tail.into_iter().flatten());
        bytes
    }
}

impl Store {
    /// Saves what the latest execution of an action said, and removes what the one before said. An empty log is not kept.
    ///
    /// # Errors
    /// If the file cannot be written or removed.
    pub fn save_log(&self, key: &ActionKey, log: &[u8]) -> Result<()> {
        let path = self.log_path(key);
        if log.is_empty() {
            return disk::remove(&path).map(drop);
        }
        let draft = self.draft()?;
        draft.write(log)?;
        draft.file().sync()?;
        // A loss of power may lose this name. Nothing depends on it.
        draft.name(&path, Existing::Replace).map(drop)
    }

    /// Returns what the latest execution of an action said, if it said anything.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn log(&self, key: &ActionKey) -> Result<Option<Vec<u8>>> {
        let path = self.log_path(key);
        disk::read(&path)?.record(&path)
    }

    /// Returns when the log of an action was saved, if it has one.
    ///
    /// # Errors
    /// If the file cannot be looked at.
    pub fn log_saved(&self, key: &ActionKey) -> Result<Option<SystemTime>> {
        let path = self.log_path(key);
        match disk::look(&path)? {
            Found::Sound(metadata) => disk::modified(&path, &metadata).map(Some),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{action, store};

    #[test]
    fn the_log_of_the_latest_execution_stands() {
        let (_folder, store) = store();
        let key = action(&store, "a");
        assert_eq!(store.log(&key).unwrap(), None);
        store.save_log(&key, b"one\n").unwrap();
        store.save_log(&key, b"two\n").unwrap();
        assert_eq!(store.log(&key).unwrap().unwrap(), b"two\n");
        let digits = key.0.to_string();
        assert!(store.root().join("logs").join(&digits[..2]).join(format!("{}.txt", &digits[2..])).is_file());
        assert!(store.log_saved(&key).unwrap().unwrap().elapsed().unwrap().as_secs() < 60);
        store.save_log(&key, b"").unwrap();
        assert_eq!(store.log_saved(&key).unwrap(), None);
        store.save_log(&key, b"").unwrap();
        assert_eq!(store.log(&key).unwrap(), None);
    }

    #[test]
    fn of_a_long_log_the_beginning_and_the_end_are_kept() {
        let text = |n: usize| {
            let mut buffer = LogBuffer::default();
            (0..n).for_each(|i| buffer.push(format!("line {i:06}").as_bytes()));
            String::from_utf8(buffer.finish()).unwrap()
        };
        let all = |n: usize| (0..n).map(|i| format!("line {i:06}\n")).collect::<String>();
        assert_eq!(text(0), "");
        assert_eq!(text(20_000), all(20_000));
        let long = text(100_000);
        assert!(long.len() <= HEAD + TAIL + 40, "{}", long.len());
        let (head, rest) = long.split_once("..").unwrap();
        let tail = rest.split_once("..\n").unwrap().1;
        let left_out = 1_200_000 - head.len() - tail.len();
        assert!(rest.starts_with(&format!(" {left_out} bytes left out ..\n")), "{}", &rest[..40]);
        assert!(all(100_000).starts_with(head) && all(100_000).ends_with(tail));
        assert!(head.len() > HEAD - 20 && tail.len() > TAIL - 20);
        // A line that is longer than all that is kept.
        let mut buffer = LogBuffer::default();
        buffer.push(b"first");
        buffer.push(&vec![b'x'; TAIL + 1]);
        buffer.push(b"last");
        assert_eq!(buffer.finish(), format!("first\n.. {} bytes left out ..\nlast\n", TAIL + 2).into_bytes());
    }
}
