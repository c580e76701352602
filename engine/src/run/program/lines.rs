//! What a program says: its lines, with the time at which each arrived, in a file that can be read meanwhile.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::run::log;

/// The file in the working folder.
pub(super) const LOG: &str = "log";

/// The bytes that are kept of the beginning of a log, and the most that are kept of all.
const HEAD: u64 = 32 << 20;
const WHOLE: u64 = 64 << 20;
/// The bytes that are kept of the end when the middle is dropped.
const TAIL: u64 = 16 << 20;
/// The number of last lines that are remembered.
const LAST: usize = 20;
/// No line is longer. What follows is the next one.
const LONGEST: usize = 64 << 10;
/// The most bytes of lines that a stage reads.
const MOST_HEARD: usize = 64 << 20;

/// The lines of a program.
pub(super) struct Lines {
    file: File,
    written: u64,
    left_out: u64,
    /// The length of the line that says how much was left out.
    mark: u64,
    last: VecDeque<String>,
    /// All lines without times, if a stage reads them, and the file that they are kept in.
    heard: Option<(Vec<u8>, Option<File>)>,
    error: Option<io::Error>,
}

impl Lines {
    /// Starts a log in `folder`. With `hear`, keeps all lines in memory; they go on from those in the file that it names, if it names one.
    pub(super) fn new(folder: &Path, hear: Option<Option<&Path>>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(folder.join(LOG))?;
        let heard = match hear {
            None => None,
            Some(None) => Some((Vec::new(), None)),
            Some(Some(path)) => {
                let mut kept = OpenOptions::new().read(true).append(true).create(true).open(path)?;
                let mut before = Vec::new();
                kept.read_to_end(&mut before)?;
                if before.last().is_some_and(|last| *last != b'\n') {
                    before.push(b'\n');
                    kept.write_all(b"\n")?;
                }
                Some((before, Some(kept)))
            }
        };
        Ok(Self { file, written: 0, left_out: 0, mark: 0, last: VecDeque::new(), heard, error: None })
    }

    /// Adds a line that has arrived now, given without its end.
    pub(super) fn add(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        // What a progress bar has drawn over is gone.
        let text = text.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
        let stamped = format!("{} {text}\n", stamp(SystemTime::now()));
        log::program_said(stamped.trim_end_matches('\n').as_bytes());
        let added = self.write(stamped.as_bytes()).and_then(|()| self.hear(text));
        if let Err(error) = added {
            self.error.get_or_insert(error);
        }
        self.last.push_back(text.to_owned());
        if self.last.len() > LAST {
            self.last.pop_front();
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.written + bytes.len() as u64 > WHOLE {
            self.drop_middle()?;
        }
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Drops what is between the beginning and the end.
    fn drop_middle(&mut self) -> io::Result<()> {
        let mut tail = Vec::new();
        self.file.seek(SeekFrom::Start(self.written - TAIL))?;
        self.file.read_to_end(&mut tail)?;
        let start = tail.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.left_out += self.written - HEAD - self.mark - (tail.len() - start) as u64;
        self.file.set_len(HEAD)?;
        self.file.seek(SeekFrom::Start(HEAD))?;
        let mark = format!("\n.. {} bytes left out ..\n", self.left_out);
        self.mark = mark.len() as u64;
        self.file.write_all(mark.as_bytes())?;
        self.file.write_all(&tail[start..])?;
        self.written = self.file.stream_position()?;
        Ok(())
    }

    fn hear(&mut self, text: &str) -> io::Result<()> {
        let Some((heard, kept)) = &mut self.heard else { return Ok(()) };
        if heard.len() > MOST_HEARD {
            return Ok(());
        }
        let line = format!("{text}\n");
        heard.extend(line.as_bytes());
        kept.as_mut().map_or(Ok(()), |kept| kept.write_all(line.as_bytes()))
    }

    /// Returns all lines, if they are kept.
    pub(super) fn heard(&self) -> Option<&[u8]> {
        self.heard.as_ref().map(|(heard, _)| heard.as_slice())
    }

    /// Returns the last lines.
    pub(super) fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }

    /// Returns the first error of writing.
    pub(super) fn error(&mut self) -> Option<io::Error> {
        self.error.take()
    }
}

/// Calls `add` with each line that `reader` yields, until it ends or fails.
pub(super) fn each(reader: impl Read, mut add: impl FnMut(&[u8])) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        let limit = (LONGEST - line.len()) as u64;
        let ended = match reader.by_ref().take(limit).read_until(b'\n', &mut line) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
            Err(_) => true,
        };
        if line.last() == Some(&b'\n') {
            add(&line[..line.len() - 1]);
            line.clear();
        } else if (ended && !line.is_empty()) || line.len() >= LONGEST {
            add(&line);
            line.clear();
        }
        if ended {
            return;
        }
    }
}

/// Returns a time as `2026-01-31T12:00:00.000Z`.
fn stamp(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{:02}.{:03}Z", seconds % 60, since.subsec_millis())
}

/// Returns year, month and day of a day that is counted from 1970-01-01. The years in between start with March, so that a leap day is the
/// last of its year.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, turn) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + turn, month, day)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200, "2024-03-01T00:00:00.000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(stamp(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn lines_are_stamped_and_the_last_twenty_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept");
        fs::write(&kept, "from before\nhalf").unwrap();
        let mut lines = Lines::new(folder.path(), Some(Some(&kept))).unwrap();
        let text = (0..30).map(|i| format!("line {i}\n")).collect::<String>() + "10%\r20%\r\n\u{ff}";
        each(&[text.as_bytes(), b"\xff"].concat()[..], |line| lines.add(line));
        let log = fs::read_to_string(folder.path().join(LOG)).unwrap();
        assert_eq!(log.lines().count(), 32);
        for (line, i) in log.lines().zip(0..30) {
            let (stamp, text) = line.split_once(' ').unwrap();
            assert_eq!((stamp.len(), text), (24, &*format!("line {i}")));
        }
        let last = lines.last();
        assert_eq!((last.len(), &*last[0], &*last[18], &*last[19]), (20, "line 12", "20%", "\u{ff}\u{fffd}"));
        assert_eq!(fs::read(&kept).unwrap(), lines.heard().unwrap());
        assert!(lines.heard().unwrap().starts_with(b"from before\nhalf\nline 0\nline 1\n"));
        assert!(lines.error().is_none());
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let mut sizes = Vec::new();
        each(&vec![b'x'; 2 * LONGEST + 5][..], |line| sizes.push(line.len()));
        assert_eq!(sizes, [LONGEST, LONGEST, 5]);
    }

    #[test]
    fn of_a_long_log_the_beginning_and_the_end_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = Lines::new(folder.path(), None).unwrap();
        let long = vec![b'x'; 60_000];
        let n = 2000;
        (0..n).for_each(|i| lines.add(&[format!("{i} ").as_bytes(), &long].concat()));
        let log = fs::read(folder.path().join(LOG)).unwrap();
        assert!(log.len() as u64 <= WHOLE && log.len() as u64 > HEAD + TAIL, "{}", log.len());
        let text = String::from_utf8(log).unwrap();
        assert!(text.lines().next().unwrap().contains(" 0 xxx"));
        assert!(text.lines().last().unwrap().contains(&format!(" {} xxx", n - 1)));
        let marks: Vec<_> = text.lines().filter(|line| line.starts_with("..")).collect();
        let all: usize = (0..n).map(|i| 24 + 1 + format!("{i} ").len() + long.len() + 1).sum();
        let kept = text.len() - marks.iter().map(|mark| mark.len() + 2).sum::<usize>();
        assert_eq!(marks, [format!(".. {} bytes left out ..", all - kept)]);
    }
}
