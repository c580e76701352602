//! From the samples of the components to red, green and blue.

use super::frame::{Component, Frame};

/// What the components mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Model {
    Grey,
    Rgb,
    /// Luminance and two differences of colour.
    Ycc,
    /// Cyan, magenta, yellow and black, as Adobe's programs write them: 255 is no ink.
    Cmyk,
    /// The first three as [`Model::Ycc`], and black.
    Ycck,
}

impl Model {
    /// Returns what the components mean, by the rules of libjpeg.
    pub(super) fn of(frame: &Frame, is_jfif: bool, adobe_transform: Option<u8>) -> Self {
        let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
        match (ids.len(), adobe_transform) {
            (1, _) => Self::Grey,
            (3, _) if is_jfif => Self::Ycc,
            (3, Some(0)) => Self::Rgb,
            (3, None) if ids == *b"RGB" => Self::Rgb,
            (3, _) => Self::Ycc,
            (_, None | Some(0)) => Self::Cmyk,
            (_, Some(_)) => Self::Ycck,
        }
    }

    /// Writes a row of red, green and blue, given by a row of each component.
    pub(super) fn write(self, rows: [&[u8]; 4], [red, green, blue]: [&mut [u8]; 3]) {
        let width = red.len();
        let [a, b, c, d] = rows.map(|row| &row[..width.min(row.len())]);
        match self {
            Self::Grey => [red, green, blue].map(|plane| plane.copy_from_slice(a)),
            Self::Rgb => [(red, a), (green, b), (blue, c)].map(|(plane, row)| plane.copy_from_slice(row)),
            Self::Ycc => rgb_row_of_ycc([a, b, c], [red, green, blue]),
            Self::Cmyk => [(red, a), (green, b), (blue, c)].map(|(plane, inks)| {
                plane.iter_mut().zip(inks.iter().zip(d)).for_each(|(out, (ink, black))| *out = inked(*ink, *black));
            }),
            Self::Ycck => {
                // The differences give the inks, of which Adobe's programs write the complement.
                rgb_row_of_ycc([a, b, c], [&mut *red, &mut *green, &mut *blue]);
                [red, green, blue].map(|plane| {
                    plane.iter_mut().zip(d).for_each(|(ink, black)| *ink = inked(255 - *ink, *black));
                })
            }
        };
    }
}

fn rgb_row_of_ycc([a, b, c]: [&[u8]; 3], [red, green, blue]: [&mut [u8]; 3]) -> [(); 3] {
    // One plane after the other, so that the compiler can use vectors.
    let plane = |plane: &mut [u8], channel: usize| {
        for (out, ((a, b), c)) in plane.iter_mut().zip(a.iter().zip(b).zip(c)) {
            *out = rgb_of_ycc([*a, *b, *c])[channel];
        }
    };
    [plane(red, 0), plane(green, 1), plane(blue, 2)]
}

/// Returns a colour of JFIF in the 16-bit fixed point of libjpeg.
#[inline(always)]
fn rgb_of_ycc([luminance, blue, red]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(luminance), i32::from(blue) - 128, i32::from(red) - 128);
    const HALF: i32 = 1 << 15;
    [
        y + ((91881 * cr + HALF) >> 16),               // 1.402
        y + ((-22554 * cb - 46802 * cr + HALF) >> 16), // 0.34414 and 0.71414
        y + ((116130 * cb + HALF) >> 16),              // 1.772
    ]
    .map(|value| value.clamp(0, 255) as u8)
}

/// Returns how bright paper is under an ink and black, all as the complement: the product, rounded.
#[inline]
fn inked(ink: u8, black: u8) -> u8 {
    let product = u32::from(ink) * u32::from(black) + 128;
    (((product >> 8) + product) >> 8) as u8
}

/// Gives the rows of a component in the width and height of the picture.
pub(super) struct Upsampled<'a> {
    samples: &'a [u8],
    stride: usize,
    component: &'a Component,
    row: Vec<u8>,
}

impl<'a> Upsampled<'a> {
    pub(super) fn new(component: &'a Component, samples: &'a [u8]) -> Self {
        let row = vec![0; component.factors[0] * component.size[0]];
        Self { samples, stride: 8 * component.blocks[0], component, row }
    }

    /// Returns row `y` of the picture, or one longer.
    ///
    /// Where there are half as many samples in a direction, those between are interpolated with a triangle, 3/4 of the nearer and
    /// 1/4 of the farther sample, as libjpeg does, with its rounding: the halves are rounded up and down in turn. For other
    /// factors samples are repeated. So are those of rows of one or two samples.
    pub(super) fn row(&mut self, y: usize) -> &[u8] {
        let [width, height] = self.component.size;
        let line = |y: usize| &self.samples[self.stride * y..][..width];
        let nearest = line(y / self.component.factors[1]);
        let [h, v] = self.component.factors;
        let other = || {
            let y = if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(height - 1) };
            line(y)
        };
        let row = &mut self.row;
        match (h, v) {
            (1, 1) => return nearest,
            (2, 1) if width > 2 => {
                row[0] = nearest[0];
                row[2 * width - 1] = nearest[width - 1];
                for (pair, out) in nearest.windows(2).zip(row[1..].chunks_exact_mut(2)) {
                    let [left, right] = [pair[0], pair[1]].map(u32::from);
                    out[0] = ((3 * left + right + 2) / 4) as u8;
                    out[1] = ((3 * right + left + 1) / 4) as u8;
                }
            }
            (1, 2) => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                for ((near, far), out) in nearest.iter().zip(other()).zip(row) {
                    *out = ((3 * u32::from(*near) + u32::from(*far) + bias) / 4) as u8;
                }
            }
            (2, 2) if width > 2 => {
                let far = other();
                let sum = |x: usize| 3 * u32::from(nearest[x]) + u32::from(far[x]);
                row[0] = ((4 * sum(0) + 8) / 16) as u8;
                row[2 * width - 1] = ((4 * sum(width - 1) + 7) / 16) as u8;
                let mut left = sum(0);
                for ((near, far), out) in nearest[1..].iter().zip(&far[1..]).zip(row[1..].chunks_exact_mut(2)) {
                    let right = 3 * u32::from(*near) + u32::from(*far);
                    out[0] = ((3 * left + right + 7) / 16) as u8;
                    out[1] = ((3 * right + left + 8) / 16) as u8;
                    left = right;
                }
            }
            (h, _) => {
                for (sample, out) in nearest.iter().zip(row.chunks_exact_mut(h)) {
                    out.fill(*sample);
                }
            }
        }
        &self.row
    }
}
