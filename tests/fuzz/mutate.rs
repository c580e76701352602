//! Random changes of bytes: what a bad disk, a hostile publisher or a tired person does to a file.

use fastrand::Rng;

/// Numbers at the edges of types, and those that often stand for something.
const EDGES: [u64; 20] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x20_0000_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_fffe,
    0xffff_ffff_ffff_ffff,
];

/// Numbers as text.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "-0.0",
    "1e308",
    "1e999",
    "-1e-320",
    "255",
    "65536",
    "4294967295",
    "4294967296",
    "9223372036854775808",
    "18446744073709551615",
    "99999999999999999999",
    "0.1",
];

/// Returns `seed` after one to eight changes. `other` is another input that parts may come from.
pub(crate) fn mutated(random: &mut Rng, seed: &[u8], other: &[u8], words: &[&str]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=below(random, 4) {
        change(random, &mut bytes, other, words);
        // Repeated doubling must not take the time of all other rounds.
        bytes.truncate(4 * seed.len() + 4096);
    }
    bytes
}

fn change(random: &mut Rng, bytes: &mut Vec<u8>, other: &[u8], words: &[&str]) {
    let n = bytes.len();
    if n == 0 {
        bytes.extend(part(random, other));
        return;
    }
    let at = place(random, n);
    let end = (at + 1 + below(random, 10)).min(n);
    match random.usize(..12) {
        0 => bytes[at] ^= 1 << random.u8(..8),
        1 => bytes[at] = random.u8(..),
        2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'0', b' ', b'"'][random.usize(..8)],
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let copy = bytes[at..end].to_vec();
            let to = place(random, n);
            bytes.splice(to..to, copy);
        }
        6 => {
            let piece = part(random, other).to_vec();
            bytes.splice(at..at, piece);
        }
        7 => {
            let piece = part(random, other);
            let end = (at + piece.len()).min(n);
            bytes[at..end].copy_from_slice(&piece[..end - at]);
        }
        8 => {
            let edge = EDGES[random.usize(..EDGES.len())];
            let size = 1 << random.usize(..4);
            let number = if random.bool() { edge.to_le_bytes() } else { (edge << (8 * (8 - size))).to_be_bytes() };
            let end = (at + size).min(n);
            bytes[at..end].copy_from_slice(&number[..end - at]);
        }
        9 => {
            // A number that is there becomes another.
            let Some(start) = (at..n).find(|&i| bytes[i].is_ascii_digit()) else { return };
            let is_number = |byte: &u8| byte.is_ascii_digit() || b".-+e".contains(byte);
            let end = (start..n).find(|&i| !is_number(&bytes[i])).unwrap_or(n);
            bytes.splice(start..end, NUMBERS[random.usize(..NUMBERS.len())].bytes());
        }
        10 if !words.is_empty() => {
            let word = words[random.usize(..words.len())];
            let end = if random.bool() { at } else { end };
            bytes.splice(at..end, word.bytes());
        }
        _ => {
            // A bracket, quote or comma moves, which changes the structure of a text and not its words.
            let Some(from) = (at..n).find(|&i| b"[](){}\",:\n".contains(&bytes[i])) else { return };
            let mark = bytes.remove(from);
            let to = random.usize(..=bytes.len());
            bytes.insert(to, mark);
        }
    }
}

/// Returns a number below 2^`bits`, more often a small one.
fn below(random: &mut Rng, bits: usize) -> usize {
    let most = 1 << random.usize(..bits);
    random.usize(..most)
}

/// Returns a place in `n` bytes. Half of them are near the start, where headers are.
fn place(random: &mut Rng, n: usize) -> usize {
    if random.bool() { random.usize(..n) } else { below(random, 13) % n }
}

fn part<'a>(random: &mut Rng, bytes: &'a [u8]) -> &'a [u8] {
    if bytes.is_empty() {
        return bytes;
    }
    let at = place(random, bytes.len());
    let end = (at + 1 + below(random, 12)).min(bytes.len());
    &bytes[at..end]
}
