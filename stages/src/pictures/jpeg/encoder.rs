//! Writes coefficients as a JPEG of any structure, for tests.

use super::{dct::ZIGZAG, huffman::Code};

/// A component: its blocks, of coefficients in rows, fill whole units.
pub(super) struct Component {
    pub(super) id: u8,
    pub(super) sampling: [usize; 2],
    pub(super) quantisation: [u16; 64],
    pub(super) blocks: Vec<[i16; 64]>,
}

/// A scan: the indices of its components, the first and last coefficient, and the low bits left out before and after it.
#[derive(Debug, Clone)]
pub(super) struct Scan(pub(super) Vec<usize>, pub(super) [usize; 2], pub(super) [u8; 2]);

pub(super) struct Jpeg {
    pub(super) size: [usize; 2],
    pub(super) components: Vec<Component>,
    /// The marker of the frame.
    pub(super) frame: u8,
    pub(super) scans: Vec<Scan>,
    pub(super) restart_interval: usize,
    /// Segments behind the start.
    pub(super) segments: Vec<(u8, Vec<u8>)>,
    /// Whether the usual codes are used, and left out.
    pub(super) usual_codes: bool,
}

/// A code of all symbols: the commonest have 2 to 10 bits, all others 16.
fn lengths_and_symbols() -> ([u8; 16], Vec<u8>) {
    let mut symbols = vec![0x00, 0x01, 0x02, 0x11, 0x03, 0x04, 0x10, 0x21, 0xf0];
    symbols.extend((0..=255).filter(|symbol| !symbols.contains(symbol)).collect::<Vec<u8>>());
    let mut lengths = [0; 16];
    lengths[1..10].fill(1);
    lengths[15] = (symbols.len() - 9) as u8;
    (lengths, symbols)
}

impl Jpeg {
    pub(super) fn most(&self) -> [usize; 2] {
        [0, 1].map(|i| self.components.iter().map(|component| component.sampling[i]).max().unwrap())
    }

    pub(super) fn units(&self) -> [usize; 2] {
        let most = self.most();
        [0, 1].map(|i| self.size[i].div_ceil(8 * most[i]))
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut file = vec![0xff, 0xd8];
        let mut segment = |marker: u8, content: &[u8]| {
            file.extend([0xff, marker]);
            file.extend((content.len() as u16 + 2).to_be_bytes());
            file.extend(content);
        };
        for (marker, content) in &self.segments {
            segment(*marker, content);
        }
        for (i, component) in self.components.iter().enumerate() {
            let wide = component.quantisation.iter().any(|value| *value > 255);
            let mut table = vec![if wide { 0x10 } else { 0 } | i as u8];
            for place in ZIGZAG {
                let bytes = component.quantisation[usize::from(place)].to_be_bytes();
                table.extend(&bytes[usize::from(!wide)..]);
            }
            segment(0xdb, &table);
        }
        let [width, height] = self.size.map(|side| (side as u16).to_be_bytes());
        let mut frame = vec![8, height[0], height[1], width[0], width[1], self.components.len() as u8];
        for (i, component) in self.components.iter().enumerate() {
            let [h, v] = component.sampling;
            frame.extend([component.id, (h << 4 | v) as u8, i as u8]);
        }
        segment(self.frame, &frame);
        if !self.usual_codes {
            let (lengths, symbols) = lengths_and_symbols();
            for head in [0x00, 0x10, 0x01, 0x11] {
                segment(0xc4, &[&[head], &lengths[..], &symbols].concat());
            }
        }
        if self.restart_interval > 0 {
            segment(0xdd, &(self.restart_interval as u16).to_be_bytes());
        }
        for scan in &self.scans {
            let Scan(components, [first, last], [high, low]) = scan;
            let mut head = vec![components.len() as u8];
            components.iter().for_each(|i| head.extend([self.components[*i].id, if *i == 0 { 0 } else { 0x11 }]));
            head.extend([*first as u8, *last as u8, high << 4 | low]);
            file.extend([0xff, 0xda]);
            file.extend((head.len() as u16 + 2).to_be_bytes());
            file.extend(head);
            self.write_scan(scan, &mut file);
        }
        file.extend([0xff, 0xd9]);
        file
    }

    fn write_scan(&self, scan: &Scan, file: &mut Vec<u8>) {
        let [units_wide, units_high] = self.units();
        let mut bits = Writer::new(file, self.usual_codes);
        let mut dc = vec![0; self.components.len()];
        let mut places = Vec::new();
        for unit in 0..units_wide * units_high {
            let mut blocks = Vec::new();
            for &i in &scan.0 {
                let [h, v] = self.components[i].sampling;
                let (x, y) = (unit % units_wide, unit / units_wide);
                blocks.extend((0..h * v).map(|b| (i, (y * v + b / h) * units_wide * h + x * h + b % h)));
            }
            places.push(blocks);
        }
        if let [i] = scan.0[..] {
            let (most, component) = (self.most(), &self.components[i]);
            let [wide, high] = [0, 1].map(|d| (self.size[d] * component.sampling[d]).div_ceil(most[d]).div_ceil(8));
            let stride = units_wide * component.sampling[0];
            places = (0..wide * high).map(|b| vec![(i, b / wide * stride + b % wide)]).collect();
        }
        for (n, unit) in places.into_iter().enumerate() {
            if self.restart_interval > 0 && n > 0 && n % self.restart_interval == 0 {
                bits.end_run();
                bits.align();
                bits.file.extend([0xff, 0xd0 + (n / self.restart_interval - 1) as u8 % 8]);
                dc.fill(0);
            }
            for (i, at) in unit {
                bits.codes = usize::from(i > 0);
                bits.block(&self.components[i].blocks[at], &mut dc[i], scan, self.frame == 0xc2);
            }
        }
        bits.end_run();
        bits.align();
    }
}

struct Writer<'a> {
    file: &'a mut Vec<u8>,
    buffer: u32,
    n: u32,
    all: std::collections::BTreeMap<u8, (u32, u32)>,
    usual: bool,
    codes: usize,
    run: u32,
    /// The bits that follow the run.
    corrections: Vec<bool>,
}

fn size_of(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}

impl<'a> Writer<'a> {
    fn new(file: &'a mut Vec<u8>, usual: bool) -> Self {
        let (lengths, symbols) = lengths_and_symbols();
        let all = Code::codes(&lengths, &symbols);
        Self { file, buffer: 0, n: 0, all, usual, codes: 0, run: 0, corrections: Vec::new() }
    }

    fn bits(&mut self, value: u32, n: u32) {
        for i in (0..n).rev() {
            self.buffer = self.buffer << 1 | (value >> i & 1);
            self.n += 1;
            if self.n == 8 {
                self.file.push(self.buffer as u8);
                if self.buffer as u8 == 0xff {
                    self.file.push(0);
                }
                (self.buffer, self.n) = (0, 0);
            }
        }
    }

    fn align(&mut self) {
        self.bits(0x7f, (8 - self.n) % 8);
    }

    fn symbol(&mut self, kind: usize, symbol: u8) {
        let (code, length) = if self.usual {
            let (lengths, symbols) = super::huffman::USUAL[self.codes][kind];
            Code::codes(&lengths, symbols)[&symbol]
        } else {
            self.all[&symbol]
        };
        self.bits(code, length);
    }

    fn signed(&mut self, value: i32) {
        let size = size_of(value);
        self.bits((if value < 0 { value - 1 } else { value }) as u32, size);
    }

    /// Writes the run of blocks that end, and the corrections of their coefficients (T.81, figure G.4).
    fn end_run(&mut self) {
        if self.run > 0 {
            let size = self.run.ilog2();
            self.symbol(1, (size as u8) << 4);
            self.bits(self.run, size);
            self.run = 0;
        }
        for correction in std::mem::take(&mut self.corrections) {
            self.bits(correction.into(), 1);
        }
    }

    fn block(&mut self, block: &[i16; 64], dc: &mut i32, scan: &Scan, progressive: bool) {
        let Scan(_, [first, last], [high, low]) = *scan;
        if first == 0 && high > 0 {
            self.bits((block[0] >> low & 1) as u32, 1);
            return;
        }
        if first == 0 {
            let value = i32::from(block[0]) >> low;
            let difference = value - std::mem::replace(dc, value);
            self.symbol(0, size_of(difference) as u8);
            self.signed(difference);
        }
        if last == 0 {
            return;
        }
        let values = (first.max(1)..=last).map(|k| {
            let value = i32::from(block[usize::from(ZIGZAG[k])]);
            // Towards zero.
            value / (1 << low)
        });
        let values: Vec<i32> = values.collect();
        let end = values.iter().rposition(|value| if high > 0 { value.abs() == 1 } else { *value != 0 });
        let (mut zeros, mut corrections) = (0, Vec::new());
        for (i, &value) in values.iter().enumerate() {
            if value == 0 {
                zeros += 1;
                continue;
            }
            while zeros > 15 && end.is_some_and(|end| i <= end) {
                self.end_run();
                self.symbol(1, 0xf0);
                zeros -= 16;
                std::mem::take(&mut corrections).into_iter().for_each(|bit| self.bits(bit, 1));
            }
            if high > 0 && value.abs() > 1 {
                corrections.push(value.unsigned_abs() & 1);
                continue;
            }
            self.end_run();
            self.symbol(1, (zeros as u8) << 4 | size_of(value) as u8);
            self.signed(value);
            std::mem::take(&mut corrections).into_iter().for_each(|bit| self.bits(bit, 1));
            zeros = 0;
        }
        if zeros > 0 || !corrections.is_empty() {
            if !progressive {
                return self.symbol(1, 0);
            }
            self.run += 1;
            self.corrections.extend(corrections.into_iter().map(|bit| bit == 1));
            if self.run == 0x7fff {
                self.end_run();
            }
        }
    }
}
