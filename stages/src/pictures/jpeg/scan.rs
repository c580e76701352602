//! The entropy-coded data of a scan.

use super::{
    dct::{self, ZIGZAG},
    frame::{Component, Frame, Markers, Scan},
    huffman::{Bits, Code},
    words::{broken, truncated},
};

/// What has been decoded of a component.
pub(super) struct Decoded {
    /// Rows of samples, whole blocks wide and high. Empty until they are known.
    pub(super) samples: Vec<u8>,
    /// The coefficients of each block in rows, if they come in several scans.
    coefficients: Vec<[i16; 64]>,
    /// The quantisation, from the component's first scan on.
    quantisation: Option<[u16; 64]>,
    /// For each coefficient, how many low bits are still to come.
    missing: [u8; 64],
}

/// All bits of a coefficient are still to come.
const ALL: u8 = u8::MAX;

impl Decoded {
    pub(super) fn nothing() -> Self {
        Self { samples: Vec::new(), coefficients: Vec::new(), quantisation: None, missing: [ALL; 64] }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing == [0; 64]
    }

    /// Turns the coefficients into samples, if that is still to be done.
    pub(super) fn finish(&mut self, component: &Component) {
        let Some(quantisation) = self.quantisation.as_ref().filter(|_| !self.coefficients.is_empty()) else { return };
        let mut samples = vec![0; 64 * component.n_blocks()];
        let stride = 8 * component.blocks[0];
        let rows = samples.chunks_exact_mut(8 * stride).zip(self.coefficients.chunks_exact(component.blocks[0]));
        for (row, blocks) in rows {
            for (i, block) in blocks.iter().enumerate() {
                dct::inverse(block, quantisation, &mut row[8 * i..], stride);
            }
        }
        self.samples = samples;
        self.coefficients = Vec::new();
    }
}

/// Decodes one scan into `decoded`, that of all components, and returns the place behind it.
pub(super) fn decode(
    bytes: &[u8],
    markers: &Markers<'_>,
    frame: &Frame,
    scan: &Scan,
    decoded: &mut [Decoded],
) -> Result<usize, String> {
    for &index in &scan.components {
        start(markers, frame, scan, &frame.components[index], &mut decoded[index])?;
    }
    let mut stretch = Stretch::new(markers, frame, scan, Bits::new(bytes, markers.at))?;
    // A component alone is coded block by block, without the blocks that fill up units.
    let alone = match scan.components[..] {
        [index] => Some(&frame.components[index]),
        _ => None,
    };
    let [wide, high] = alone.map_or(frame.units, |component| component.blocks);
    for unit in 0..wide * high {
        if markers.restart_interval > 0 && unit > 0 && unit % markers.restart_interval == 0 {
            stretch.restart(unit / markers.restart_interval)?;
        }
        let (x, y) = (unit % wide, unit / wide);
        for (part, &index) in scan.components.iter().enumerate() {
            let component = &frame.components[index];
            let [h, v] = if alone.is_some() { [1, 1] } else { component.sampling };
            for (dy, dx) in (0..v).flat_map(|dy| (0..h).map(move |dx| (dy, dx))) {
                let place = [x * h + dx, y * v + dy];
                if stretch.block(part, place, component, &mut decoded[index]).is_none() || stretch.bits.ran_out() {
                    return Err(match stretch.bits.is_at_its_end() {
                        true => truncated(&format!("a scan ends after {unit} of {} units", wide * high)),
                        false => broken(&format!("unit {unit} of a scan is damaged")),
                    });
                }
            }
        }
    }
    if stretch.blocks_to_skip > 0 {
        return Err(broken("a scan ends within a run of blocks"));
    }
    Ok(stretch.bits.rest().1)
}

/// Prepares a component for a scan.
fn start(
    markers: &Markers<'_>,
    frame: &Frame,
    scan: &Scan,
    component: &Component,
    decoded: &mut Decoded,
) -> Result<(), String> {
    let ([first, last], [high, low]) = (scan.band, scan.bits);
    let before = if high == 0 { ALL } else { high };
    if decoded.missing[first..=last].iter().any(|missing| *missing != before) {
        return Err(broken("a scan codes what another has coded, or refines what none has"));
    }
    decoded.missing[first..=last].fill(low);
    if decoded.quantisation.is_none() {
        decoded.quantisation = Some(markers.quantisation_of(component)?);
        if frame.progressive {
            decoded.coefficients = vec![[0; 64]; component.n_blocks()];
        } else {
            decoded.samples = vec![0; 64 * component.n_blocks()];
        }
    }
    Ok(())
}

/// The state within a scan.
struct Stretch<'a> {
    bits: Bits<'a>,
    mode: Mode,
    band: [usize; 2],
    /// The low bits that are left out.
    low: u8,
    /// For each component of the scan, the codes that it needs. Others are empty.
    codes: Vec<[Option<Code>; 2]>,
    /// For each component of the scan, its last DC coefficient.
    dc: Vec<i32>,
    /// The blocks without further new coefficients.
    blocks_to_skip: u32,
}

#[derive(Clone, Copy)]
enum Mode {
    Sequential,
    DcFirst,
    DcRefine,
    AcFirst,
    AcRefine,
}

impl<'a> Stretch<'a> {
    fn new(markers: &Markers<'_>, frame: &Frame, scan: &Scan, bits: Bits<'a>) -> Result<Self, String> {
        let mode = match (frame.progressive, scan.band[0], scan.bits[0]) {
            (false, ..) => Mode::Sequential,
            (true, 0, 0) => Mode::DcFirst,
            (true, 0, _) => Mode::DcRefine,
            (true, _, 0) => Mode::AcFirst,
            (true, ..) => Mode::AcRefine,
        };
        let needs = match mode {
            Mode::Sequential => [true, true],
            Mode::DcFirst => [true, false],
            Mode::DcRefine => [false, false],
            Mode::AcFirst | Mode::AcRefine => [false, true],
        };
        let mut codes = Vec::new();
        for numbers in &scan.codes {
            let code = |kind: usize| needs[kind].then(|| markers.code(kind, numbers[kind])).transpose();
            codes.push([code(0)?, code(1)?]);
        }
        let dc = vec![0; scan.components.len()];
        Ok(Self { bits, mode, band: scan.band, low: scan.bits[1], codes, dc, blocks_to_skip: 0 })
    }

    /// Goes on behind restart marker `n`, counted from 1.
    fn restart(&mut self, n: usize) -> Result<(), String> {
        let ((unread, at), bytes) = (self.bits.rest(), self.bits.data);
        let fill = bytes.get(at..).unwrap_or_default().iter().take_while(|byte| **byte == 0xff).count();
        let Some(marker) = bytes.get(at + fill).filter(|_| unread == 0 && fill > 0) else {
            return Err(if at + fill >= bytes.len() {
                truncated(&format!("it ends before restart {n} of a scan"))
            } else {
                broken(&format!("restart {n} of a scan is not where it should be"))
            });
        };
        match *marker {
            marker if usize::from(marker) == 0xd0 + (n - 1) % 8 && self.blocks_to_skip == 0 => {
                self.bits = Bits::new(bytes, at + fill + 1);
                self.dc.fill(0);
                Ok(())
            }
            0xd9 => Err(truncated(&format!("a scan ends before restart {n}"))),
            _ => Err(broken(&format!("restart {n} of a scan is missing"))),
        }
    }

    /// Decodes a block. Returns `None` if it is damaged.
    ///
    /// Blocks outside of the component only fill up a unit.
    fn block(&mut self, part: usize, [x, y]: [usize; 2], component: &Component, decoded: &mut Decoded) -> Option<()> {
        let [wide, high] = component.blocks;
        let is_inside = x < wide && y < high;
        if let Mode::Sequential = self.mode {
            let mut block = [0; 64];
            self.sequential(part, &mut block)?;
            if let Some(quantisation) = decoded.quantisation.as_ref().filter(|_| is_inside) {
                let stride = 8 * wide;
                dct::inverse(&block, quantisation, &mut decoded.samples[8 * (y * stride + x)..], stride);
            }
            return Some(());
        }
        let mut outside = [0; 64];
        let block = if is_inside { &mut decoded.coefficients[y * wide + x] } else { &mut outside };
        match self.mode {
            Mode::Sequential | Mode::DcFirst => block[0] = (self.next_dc(part)? << self.low) as i16,
            Mode::DcRefine => block[0] |= i16::from(self.bits.bit()) << self.low,
            Mode::AcFirst => self.ac_first(part, block)?,
            Mode::AcRefine => self.ac_refine(part, block)?,
        }
        Some(())
    }

    /// Returns the next DC coefficient, without the bits that are left out.
    #[inline]
    fn next_dc(&mut self, part: usize) -> Option<i32> {
        let size = self.bits.symbol(self.codes[part][0].as_ref()?)?;
        if size > 11 {
            return None;
        }
        self.dc[part] += self.bits.signed(size.into());
        // A block of 8-bit samples has no larger mean.
        ((-2048..2048).contains(&(self.dc[part] << self.low))).then_some(self.dc[part])
    }

    #[inline]
    fn sequential(&mut self, part: usize, block: &mut [i16; 64]) -> Option<()> {
        block[0] = self.next_dc(part)? as i16;
        let code = self.codes[part][1].as_ref()?;
        // A copy, which stays in registers.
        let mut bits = self.bits;
        let mut at = 1;
        while at < 64 {
            match bits.symbol(code)? {
                0x00 => break,
                0xf0 => at += 16,
                symbol => {
                    at += usize::from(symbol >> 4);
                    *block.get_mut(usize::from(*ZIGZAG.get(at)?))? = coefficient(&mut bits, symbol)?;
                    at += 1;
                }
            }
        }
        self.bits = bits;
        (at <= 64).then_some(())
    }

    fn ac_first(&mut self, part: usize, block: &mut [i16; 64]) -> Option<()> {
        if self.blocks_to_skip > 0 {
            self.blocks_to_skip -= 1;
            return Some(());
        }
        let code = self.codes[part][1].as_ref()?;
        let [mut at, last] = self.band;
        while at <= last {
            let symbol = self.bits.symbol(code)?;
            let run = symbol >> 4;
            if symbol & 15 > 0 {
                at += usize::from(run);
                if at > last {
                    return None;
                }
                block[usize::from(ZIGZAG[at])] = coefficient(&mut self.bits, symbol)? << self.low;
                at += 1;
            } else if run == 15 {
                at += 16;
            } else {
                self.blocks_to_skip = (1 << run) + self.bits.number(run.into()) - 1;
                return Some(());
            }
        }
        (at == last + 1).then_some(())
    }

    fn ac_refine(&mut self, part: usize, block: &mut [i16; 64]) -> Option<()> {
        let code = self.codes[part][1].as_ref()?;
        let [mut at, last] = self.band;
        let one = 1_i16 << self.low;
        let refine = |bits: &mut Bits<'_>, value: &mut i16| {
            if bits.bit() && *value & one == 0 {
                *value = value.wrapping_add(if *value >= 0 { one } else { -one });
            }
        };
        while at <= last && self.blocks_to_skip == 0 {
            let symbol = self.bits.symbol(code)?;
            let mut run = symbol >> 4;
            let new = match symbol & 15 {
                0 if run < 15 => {
                    self.blocks_to_skip = (1 << run) + self.bits.number(run.into());
                    break;
                }
                0 => 0,
                1 => {
                    if self.bits.bit() {
                        one
                    } else {
                        -one
                    }
                }
                _ => return None,
            };
            // Zeros are counted, what is not zero is refined on the way.
            loop {
                let value = block.get_mut(usize::from(ZIGZAG[at]))?;
                if *value != 0 {
                    refine(&mut self.bits, value);
                } else if run == 0 {
                    *value = new;
                    at += 1;
                    break;
                } else {
                    run -= 1;
                }
                at += 1;
                if at > last {
                    return None;
                }
            }
        }
        if self.blocks_to_skip > 0 {
            for place in ZIGZAG.get(at..=last).unwrap_or_default() {
                let value = block.get_mut(usize::from(*place))?;
                if *value != 0 {
                    refine(&mut self.bits, value);
                }
            }
            self.blocks_to_skip -= 1;
        }
        Some(())
    }
}

/// Returns the coefficient that `symbol` announces, of 1 to 10 bits. Those of 8-bit samples have no more.
#[inline(always)]
fn coefficient(bits: &mut Bits<'_>, symbol: u8) -> Option<i16> {
    let size = symbol & 15;
    (1..=10).contains(&size).then(|| bits.signed(size.into()) as i16)
}
