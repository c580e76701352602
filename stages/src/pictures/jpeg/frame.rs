//! The segments of a JPEG before and between its scans.

use super::{
    dct::ZIGZAG,
    huffman::{Code, USUAL},
    words::{broken, truncated, unsupported},
};

/// The header of a frame: what a picture consists of.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
    /// The units that all components together are coded in, in a row and in a column.
    pub(super) units: [usize; 2],
}

/// A component of a picture, such as its luminance. All pairs are (horizontal, vertical).
#[derive(Debug)]
pub(super) struct Component {
    pub(super) id: u8,
    /// The samples for each `factors` of the component that has the most.
    pub(super) sampling: [usize; 2],
    /// How many times the picture is as large as the component.
    pub(super) factors: [usize; 2],
    /// The number of the table of its quantisation.
    table: usize,
    /// The samples in a row and in a column.
    pub(super) size: [usize; 2],
    /// The blocks in a row and in a column.
    pub(super) blocks: [usize; 2],
}

/// The header of a scan.
#[derive(Debug)]
pub(super) struct Scan {
    /// The indices of its components.
    pub(super) components: Vec<usize>,
    /// The numbers of the codes of DC and AC coefficients for each of them.
    pub(super) codes: Vec<[usize; 2]>,
    /// The first and the last coefficient that are coded, in zigzag order.
    pub(super) band: [usize; 2],
    /// How many low bits were left out before this scan, if one refines it, and how many are left out after it.
    pub(super) bits: [u8; 2],
}

/// What the markers lead to.
pub(super) enum Next {
    Frame(Frame),
    Scan(Scan),
    End,
}

/// Reads the markers of a file, and keeps the tables that they define.
pub(super) struct Markers<'a> {
    bytes: &'a [u8],
    /// Where the next marker is, or bytes that precede it.
    pub(super) at: usize,
    quantisation: [Option<[u16; 64]>; 4],
    /// The codes of DC and of AC coefficients.
    codes: [[Option<Code>; 4]; 2],
    /// The number of units between two restarts. 0 if there are none.
    pub(super) restart_interval: usize,
    pub(super) is_jfif: bool,
    /// What an Adobe marker says of the colours.
    pub(super) adobe_transform: Option<u8>,
}

impl<'a> Markers<'a> {
    /// Returns the markers of a file that begins with the one of its start.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 2,
            quantisation: [None; 4],
            codes: Default::default(),
            restart_interval: 0,
            is_jfif: false,
            adobe_transform: None,
        }
    }

    /// Returns the next marker, or `None` at the end of the file. Other bytes before it are passed over.
    pub(super) fn marker(&mut self) -> Option<u8> {
        loop {
            self.at += self.bytes.get(self.at..)?.iter().position(|byte| *byte == 0xff)?;
            self.at += self.bytes[self.at..].iter().position(|byte| *byte != 0xff)?;
            self.at += 1;
            if self.bytes[self.at - 1] != 0 {
                return Some(self.bytes[self.at - 1]);
            }
        }
    }

    /// Returns the content of the segment that begins here.
    pub(super) fn segment(&mut self) -> Result<&'a [u8], String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
        let length = length.ok_or_else(|| truncated("it ends in a header"))?;
        if length < 2 {
            return Err(broken("a header has no length"));
        }
        self.at += length;
        rest.get(2..length).ok_or_else(|| truncated("it ends in a header"))
    }

    /// Reads up to the next frame or scan. `frame` is the one before.
    pub(super) fn next(&mut self, frame: Option<&Frame>) -> Result<Next, String> {
        while let Some(marker) = self.marker() {
            match marker {
                0xc0..=0xc2 => {
                    if frame.is_some() {
                        return Err(broken("it has two frames"));
                    }
                    return Frame::read(marker == 0xc2, self.segment()?).map(Next::Frame);
                }
                0xc4 => self.huffman()?,
                0xc9 | 0xca | 0xcc => return Err(unsupported("an arithmetic-coded JPEG")),
                0xc3 | 0xcb => return Err(unsupported("a lossless JPEG")),
                0xc5..=0xc7 | 0xcd..=0xcf | 0xde => return Err(unsupported("a hierarchical JPEG")),
                0xf7 => return Err(unsupported("a JPEG-LS picture")),
                0xd9 => return Ok(Next::End),
                0xda => {
                    let frame = frame.ok_or_else(|| broken("a scan precedes the frame"))?;
                    return Scan::read(self.segment()?, frame).map(Next::Scan);
                }
                0xdb => self.quantisation()?,
                0xdd => {
                    let interval = self.segment()?.first_chunk().ok_or_else(|| broken("a restart interval is cut"))?;
                    self.restart_interval = usize::from(u16::from_be_bytes(*interval));
                }
                0xe0 => {
                    let jfif = self.segment()?;
                    self.is_jfif |= jfif.starts_with(b"JFIF\0") && jfif.len() >= 14;
                }
                0xee => {
                    if let Some([b'A', b'd', b'o', b'b', b'e', .., transform]) = self.segment()?.first_chunk::<12>() {
                        self.adobe_transform = Some(*transform);
                    }
                }
                // Markers without content: restarts that are left over, another start, and one for arithmetic coding.
                0xd0..=0xd8 | 0x01 => {}
                _ => {
                    self.segment()?;
                }
            }
        }
        Ok(Next::End)
    }

    fn quantisation(&mut self) -> Result<(), String> {
        let mut rest = self.segment()?;
        while let Some((&head, values)) = rest.split_first() {
            let size = match head >> 4 {
                0 => 64,
                1 => 128,
                _ => return Err(broken("a quantisation table has an unknown form")),
            };
            let table = self.quantisation.get_mut(usize::from(head & 15));
            let table = table.ok_or_else(|| broken("there are more than four quantisation tables"))?.insert([0; 64]);
            let (values, others) =
                values.split_at_checked(size).ok_or_else(|| broken("a quantisation table is cut"))?;
            for (i, value) in values.chunks_exact(size / 64).enumerate() {
                table[usize::from(ZIGZAG[i])] = value.iter().fold(0, |value, byte| value << 8 | u16::from(*byte));
            }
            rest = others;
        }
        Ok(())
    }

    fn huffman(&mut self) -> Result<(), String> {
        let mut rest = self.segment()?;
        while let Some((&head, table)) = rest.split_first() {
            let code =
                self.codes.get_mut(usize::from(head >> 4)).and_then(|codes| codes.get_mut(usize::from(head & 15)));
            let code = code.ok_or_else(|| broken("a Huffman table has an unknown number"))?;
            let cut = || broken("a Huffman table is cut");
            let (lengths, symbols) = table.split_first_chunk::<16>().ok_or_else(cut)?;
            let n = lengths.iter().map(|n| usize::from(*n)).sum();
            let (symbols, others) = symbols.split_at_checked(n).ok_or_else(cut)?;
            *code = Some(Code::new(lengths, symbols).ok_or_else(|| broken("a Huffman table is no code"))?);
            rest = others;
        }
        Ok(())
    }

    /// Returns the quantisation of a component.
    pub(super) fn quantisation_of(&self, component: &Component) -> Result<[u16; 64], String> {
        self.quantisation[component.table].ok_or_else(|| broken("a quantisation table is missing"))
    }

    /// Returns a code: `kind` is 0 for DC, 1 for AC coefficients.
    pub(super) fn code(&self, kind: usize, number: usize) -> Result<Code, String> {
        let usual = || USUAL.get(number).and_then(|usual| Code::new(&usual[kind].0, usual[kind].1));
        let code = self.codes[kind][number].clone().or_else(usual);
        code.ok_or_else(|| broken("a Huffman table is missing"))
    }
}

impl Frame {
    fn read(progressive: bool, segment: &[u8]) -> Result<Self, String> {
        let &[precision, h1, h0, w1, w0, n, ref components @ ..] = segment else {
            return Err(broken("the header of the frame is cut"));
        };
        if precision != 8 {
            return Err(unsupported(&format!("a JPEG of {precision} bits a sample")));
        }
        let [width, height] = [[w1, w0], [h1, h0]].map(|side| usize::from(u16::from_be_bytes(side)));
        if height == 0 {
            return Err(unsupported("a JPEG that tells its height only behind its pixels (DNL)"));
        }
        if width == 0 {
            return Err(broken("it has no width"));
        }
        if ![1, 3, 4].contains(&n) {
            return Err(unsupported(&format!("a JPEG of {n} components")));
        }
        if components.len() != 3 * usize::from(n) {
            return Err(broken("the header of the frame has another length than its components"));
        }
        let components = components.chunks_exact(3);
        let sampling = |component: &[u8]| [component[1] >> 4, component[1] & 15].map(usize::from);
        let is_possible =
            |component: &[u8]| sampling(component).iter().all(|factor| (1..=4).contains(factor)) && component[2] < 4;
        if !components.clone().all(is_possible) {
            return Err(broken("a component has an impossible sampling or table"));
        }
        let most = components.clone().map(sampling).fold([0, 0], |[h, v], [h1, v1]| [h.max(h1), v.max(v1)]);
        let units = [width.div_ceil(8 * most[0]), height.div_ceil(8 * most[1])];
        let mut frame = Self { width, height, progressive, components: Vec::new(), units };
        for component in components {
            let sampling = sampling(component);
            if most[0] % sampling[0] != 0 || most[1] % sampling[1] != 0 {
                let [[h, v], [h1, v1]] = [sampling, most];
                return Err(unsupported(&format!("a JPEG of fractional sampling, {h}x{v} beside {h1}x{v1}")));
            }
            if frame.components.iter().any(|other| other.id == component[0]) {
                return Err(broken("two components have the same number"));
            }
            let size = [(width * sampling[0]).div_ceil(most[0]), (height * sampling[1]).div_ceil(most[1])];
            frame.components.push(Component {
                id: component[0],
                sampling,
                factors: [most[0] / sampling[0], most[1] / sampling[1]],
                table: component[2].into(),
                size,
                blocks: size.map(|samples| samples.div_ceil(8)),
            });
        }
        Ok(frame)
    }
}

impl Component {
    pub(super) fn n_blocks(&self) -> usize {
        self.blocks[0] * self.blocks[1]
    }
}

impl Scan {
    fn read(segment: &[u8], frame: &Frame) -> Result<Self, String> {
        let cut = || broken("the header of a scan is cut");
        let (&n, rest) = segment.split_first().ok_or_else(cut)?;
        let (components, rest) = rest.split_at_checked(2 * usize::from(n)).ok_or_else(cut)?;
        let &[first, last, bits] = rest.first_chunk().ok_or_else(cut)?;
        let mut scan = Self {
            components: Vec::new(),
            codes: Vec::new(),
            band: [first, last].map(usize::from),
            bits: [bits >> 4, bits & 15],
        };
        for component in components.chunks_exact(2) {
            let index = frame.components.iter().position(|known| known.id == component[0]);
            let index = index.ok_or_else(|| broken("a scan has an unknown component"))?;
            let codes = [component[1] >> 4, component[1] & 15].map(usize::from);
            if scan.components.contains(&index) || codes.iter().any(|code| *code > 3) {
                return Err(broken("a scan has a component twice or an impossible table"));
            }
            scan.components.push(index);
            scan.codes.push(codes);
        }
        let blocks = |index: &usize| frame.components[*index].sampling.iter().product::<usize>();
        if n == 0 || (n > 1 && scan.components.iter().map(blocks).sum::<usize>() > 10) {
            return Err(broken("the units of a scan have no or more than ten blocks"));
        }
        if frame.progressive {
            let ([first, last], [high, low]) = (scan.band, scan.bits);
            let is_band = if first == 0 { last == 0 } else { first <= last && last < 64 && n == 1 };
            if !is_band || low > 13 || (high > 0 && high != low + 1) {
                return Err(broken("a scan codes an impossible part of the coefficients"));
            }
        } else {
            // As libjpeg does, whatever the header says.
            (scan.band, scan.bits) = ([0, 63], [0, 0]);
        }
        Ok(scan)
    }
}
