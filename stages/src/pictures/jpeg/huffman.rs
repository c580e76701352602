//! Huffman codes, and the bits of entropy-coded data.

/// The bits that are looked up at once. Longer codes are rare.
const FAST: u32 = 9;

/// A Huffman code (ITU-T T.81, annex C).
#[derive(Debug, Clone)]
pub(super) struct Code {
    /// For each value of the next bits, the length of the code and its symbol: `length << 8 | symbol`. 0 if it is longer.
    fast: [u16; 1 << FAST],
    /// For each length, the first code beyond those of this length, aligned to the left of 16 bits.
    beyond: [u32; 17],
    /// For each length, what is added to a code to get the index of its symbol.
    offset: [i32; 17],
    symbols: Vec<u8>,
}

impl Code {
    /// Returns the code with this number of codes of each length from 1 to 16, or `None` if there is no such code. No code may
    /// consist of ones only.
    pub(super) fn new(lengths: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut code = Self { fast: [0; 1 << FAST], beyond: [0; 17], offset: [0; 17], symbols: symbols.to_vec() };
        let (mut next, mut index) = (0_u32, 0_usize);
        for (length, &n) in (1_u32..).zip(lengths) {
            code.offset[length as usize] = index as i32 - next as i32;
            for _ in 0..n {
                let symbol = *symbols.get(index)?;
                if length <= FAST {
                    let unused = FAST - length;
                    let first = (next << unused) as usize;
                    code.fast.get_mut(first..first + (1 << unused))?.fill((length as u16) << 8 | u16::from(symbol));
                }
                (next, index) = (next + 1, index + 1);
            }
            if next >= 1 << length {
                return None;
            }
            code.beyond[length as usize] = next << (16 - length);
            next <<= 1;
        }
        (index == symbols.len()).then_some(code)
    }

    /// Returns the symbol of the next 16 bits if its code is long, and the length.
    #[cold]
    fn long(&self, next: u32) -> Option<(u8, u32)> {
        let length = (FAST + 1..=16).find(|length| next < self.beyond[*length as usize])?;
        let index = (next >> (16 - length)) as i32 + self.offset[length as usize];
        Some((*self.symbols.get(index as usize)?, length))
    }

    /// Returns the codes of the symbols as (code, length), for an encoder.
    #[cfg(test)]
    pub(super) fn codes(lengths: &[u8; 16], symbols: &[u8]) -> std::collections::BTreeMap<u8, (u32, u32)> {
        let (mut codes, mut next, mut symbols) = (std::collections::BTreeMap::new(), 0, symbols.iter());
        for (length, &n) in (1_u32..).zip(lengths) {
            for symbol in symbols.by_ref().take(usize::from(n)) {
                codes.insert(*symbol, (next, length));
                next += 1;
            }
            next <<= 1;
        }
        codes
    }
}

/// The bits of one stretch of entropy-coded data, which ends at a marker or at the end of the file. Beyond its end the bits are
/// zeros, and [`Bits::ran_out`] tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits<'a> {
    pub(super) data: &'a [u8],
    /// Where the bytes begin that are not in `buffer`.
    at: usize,
    /// The next bits, from the left.
    buffer: u64,
    /// The number of bits in `buffer`.
    n: u32,
    /// How many of them are beyond the end.
    invented: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8], at: usize) -> Self {
        Self { data, at, buffer: 0, n: 0, invented: 0 }
    }

    /// Makes at least 32 bits available.
    #[inline(always)]
    fn fill(&mut self) {
        if self.n >= 32 {
            return;
        }
        match self.data.get(self.at..).and_then(|rest| rest.first_chunk::<4>()) {
            // No byte is 0xff, so no byte of the complement is 0.
            Some(bytes) if has_no_zero(!u32::from_be_bytes(*bytes)) => {
                self.buffer |= u64::from(u32::from_be_bytes(*bytes)) << (32 - self.n);
                self.n += 32;
                self.at += 4;
            }
            _ => *self = self.filled_slowly(),
        }
    }

    /// Fills the buffer byte by byte. The state is passed by value, so that [`Bits::fill`] can keep it in registers.
    #[cold]
    #[inline(never)]
    fn filled_slowly(mut self) -> Self {
        while self.n <= 56 {
            let byte = match self.data.get(self.at..).unwrap_or_default() {
                [0xff, rest @ ..] => {
                    // Any number of 0xff may precede a byte that is stuffed, or a marker.
                    let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
                    (rest.get(fill) == Some(&0)).then(|| {
                        self.at += fill + 2;
                        0xff
                    })
                }
                [byte, ..] => {
                    self.at += 1;
                    Some(*byte)
                }
                [] => None,
            };
            self.invented += if byte.is_none() { 8 } else { 0 };
            self.buffer |= u64::from(byte.unwrap_or(0)) << (56 - self.n);
            self.n += 8;
        }
        self
    }

    #[inline(always)]
    fn skip(&mut self, n: u32) {
        self.buffer <<= n;
        self.n -= n;
    }

    /// Returns whether bits were read that are not there.
    #[inline]
    pub(super) fn ran_out(&self) -> bool {
        self.n < self.invented
    }

    /// Returns whether the end is near: all bytes are in the buffer.
    pub(super) fn is_at_its_end(&self) -> bool {
        self.invented > 0
    }

    /// Returns how many whole bytes of the stretch were not read yet, as far as they are known, and where the rest begins.
    pub(super) fn rest(&self) -> (usize, usize) {
        ((self.n.saturating_sub(self.invented) / 8) as usize, self.at)
    }

    /// Returns the next symbol, or `None` if the bits are no code. At least 16 bits stay available.
    #[inline(always)]
    pub(super) fn symbol(&mut self, code: &Code) -> Option<u8> {
        self.fill();
        let entry = code.fast[(self.buffer >> (64 - FAST)) as usize];
        if entry != 0 {
            self.skip(u32::from(entry >> 8));
            return Some(entry as u8);
        }
        let (symbol, length) = code.long((self.buffer >> 48) as u32)?;
        self.skip(length);
        Some(symbol)
    }

    /// Returns the next bits as a number, at most 16 that are available.
    #[inline(always)]
    fn take(&mut self, n: u32) -> u32 {
        let value = (self.buffer >> 1 >> (63 - n)) as u32;
        self.skip(n);
        value
    }

    /// Returns the next bits as a number, at most 16.
    #[inline]
    pub(super) fn number(&mut self, n: u32) -> u32 {
        self.fill();
        self.take(n)
    }

    #[inline]
    pub(super) fn bit(&mut self) -> bool {
        self.number(1) == 1
    }

    /// Returns the number of `size` bits, at most 16, that follows a symbol (`EXTEND` in T.81, F.2.2.1).
    #[inline(always)]
    pub(super) fn signed(&mut self, size: u32) -> i32 {
        // Numbers that begin with 0 are negative.
        let is_negative = (self.buffer >> 63) as i32 - 1;
        let value = self.take(size) as i32;
        value + (is_negative & (1 - (1 << size)))
    }
}

/// Returns whether no byte of a word is 0.
#[inline(always)]
fn has_no_zero(word: u32) -> bool {
    word.wrapping_sub(0x0101_0101) & !word & 0x8080_8080 == 0
}

/// The codes of files that have none, such as frames of Motion JPEG: T.81, tables K.3 to K.6. For luminance and chrominance, the
/// lengths and symbols of the code of DC and of AC coefficients.
pub(super) const USUAL: [[([u8; 16], &[u8]); 2]; 2] = [
    [
        ([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        (
            [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d],
            &[
                0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22,
                0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33,
                0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34,
                0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55,
                0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76,
                0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96,
                0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5,
                0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4,
                0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1,
                0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
            ],
        ),
    ],
    [
        ([0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        (
            [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77],
            &[
                0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13,
                0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62,
                0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29,
                0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54,
                0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75,
                0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94,
                0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3,
                0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2,
                0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea,
                0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
            ],
        ),
    ],
];
