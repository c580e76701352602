//! Writing to what may be full for a moment.

use std::{
    io::{self, ErrorKind, Write},
    thread,
    time::Duration,
};

/// Writes all bytes. Waits while a pipe or a terminal that another program made non-blocking is full.
pub(crate) fn write_patiently(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(2)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a byte at a time, and is interrupted or full before each.
    struct Slow(Vec<u8>, usize);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            match self.1 % 3 {
                0 => self.0.write(&bytes[..1]),
                1 => Err(ErrorKind::Interrupted.into()),
                _ => Err(ErrorKind::WouldBlock.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_full_for_a_moment_loses_nothing() {
        let mut slow = Slow(Vec::new(), 0);
        write_patiently(&mut slow, b"slow").unwrap();
        assert_eq!(slow.0, b"slow");
        assert!(write_patiently(&mut [0; 2].as_mut_slice(), b"more").is_err());
    }
}
