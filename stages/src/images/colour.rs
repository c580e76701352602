//! Random changes of colours: the formulas of torchvision's `ColorJitter` on floating-point images.

use super::{draws::Draws, normalisation::Normalisation};
use crate::{
    parameters,
    params::{Domain, Hyper},
};

parameters! {
    /// Random changes of brightness, contrast, saturation and hue.
    pub struct ColourJitter = defaults {
        /// Every value is multiplied by a factor of 1 - this, but at least 0, to 1 + this.
        brightness: Hyper<f64> [STRENGTH] = Hyper::Value(0.0),
        /// The distance of every value to the mean grey of the image is multiplied by such a factor.
        contrast: Hyper<f64> [STRENGTH] = Hyper::Value(0.0),
        /// The distance of every pixel to its grey is multiplied by such a factor. Only for images of 3 channels.
        saturation: Hyper<f64> [STRENGTH] = Hyper::Value(0.0),
        /// The hue is turned by up to this part of a circle in either direction. Only for images of 3 channels.
        hue: Hyper<f64> [Domain::Between(0.0, 0.5)] = Hyper::Value(0.0),
    }
}

const STRENGTH: Domain = Domain::Between(0.0, 10.0);

/// The changes that are drawn for one image, in their order.
pub(super) type Changes = [Change; 4];

/// One change of the colours of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    Brightness(f64),
    Contrast(f64),
    Saturation(f64),
    Hue(f64),
}

impl ColourJitter {
    /// Returns a part that needs 3 channels and is not 0.
    pub(super) fn coloured(&self) -> Option<String> {
        let parts = [("saturation", &self.saturation), ("hue", &self.hue)];
        parts.into_iter().find_map(|(name, part)| match part {
            Hyper::Value(strength) if *strength > 0.0 => Some(format!("`ColourJitter({name}: {strength})`")),
            _ => None,
        })
    }

    /// Draws the changes of one image: the first number decides their order, the next ones their strengths.
    pub(super) fn draw(&self, draws: &mut Draws) -> Changes {
        let mut order = draws.below(24) as usize;
        let mut factor = |strength: &Hyper<f64>| {
            let strength = strength.get();
            draws.between((1.0 - strength).max(0.0), 1.0 + strength)
        };
        let brightness = Change::Brightness(factor(&self.brightness));
        let contrast = Change::Contrast(factor(&self.contrast));
        let saturation = Change::Saturation(factor(&self.saturation));
        let hue = self.hue.get();
        let mut left = vec![brightness, contrast, saturation, Change::Hue(draws.between(-hue, hue))];
        std::array::from_fn(|_| {
            let n = left.len();
            let at = order % n;
            order /= n;
            left.remove(at)
        })
    }
}

impl Change {
    fn is_identity(self) -> bool {
        match self {
            Self::Brightness(factor) | Self::Contrast(factor) | Self::Saturation(factor) => factor == 1.0,
            Self::Hue(turn) => turn == 0.0,
        }
    }

    /// Changes the planes of an image, with values from 0 to 1.
    fn apply(self, planes: &mut [&mut [f32]]) {
        match (self, planes) {
            (Self::Brightness(factor), planes) => {
                let factor = factor as f32;
                planes.iter_mut().flat_map(|plane| plane.iter_mut()).for_each(|x| *x = clamp(*x * factor));
            }
            (Self::Contrast(factor), planes) => {
                let n = planes[0].len();
                let sum: f64 = (0..n).map(|at| f64::from(grey(planes, at))).sum();
                let mean = (sum / n as f64) as f32;
                planes.iter_mut().flat_map(|plane| plane.iter_mut()).for_each(|x| *x = blend(*x, mean, factor));
            }
            (Self::Saturation(factor), planes) => {
                for at in 0..planes[0].len() {
                    let grey = grey(planes, at);
                    planes.iter_mut().for_each(|plane| plane[at] = blend(plane[at], grey, factor));
                }
            }
            (Self::Hue(turn), [r, g, b]) => {
                for ((r, g), b) in r.iter_mut().zip(g.iter_mut()).zip(b.iter_mut()) {
                    [*r, *g, *b] = turned([*r, *g, *b], turn as f32);
                }
            }
            (Self::Hue(_), _) => unreachable!("the hue is turned only if there are 3 channels"),
        }
    }
}

/// Makes the changes to `image`, normalised values `[c, h, w]`. They are made to values of 0 to 1, before normalisation, and
/// clamped to that range. Changes of strength 0 are left out.
pub(super) fn apply(changes: &Changes, image: &mut [f32], Normalisation { scale, offset }: &Normalisation) {
    let changes: Vec<_> = changes.iter().filter(|change| !change.is_identity()).collect();
    if changes.is_empty() {
        return;
    }
    let n = image.len() / scale.len();
    let mut planes: Vec<&mut [f32]> = image.chunks_exact_mut(n).collect();
    for ((plane, scale), offset) in planes.iter_mut().zip(scale).zip(offset) {
        plane.iter_mut().for_each(|x| *x = clamp((*x - offset) / scale / 255.0));
    }
    changes.into_iter().for_each(|change| change.apply(&mut planes));
    for ((plane, scale), offset) in planes.iter_mut().zip(scale).zip(offset) {
        plane.iter_mut().for_each(|x| *x = *x * 255.0 * scale + offset);
    }
}

fn clamp(x: f32) -> f32 {
    x.clamp(0.0, 1.0)
}

/// torchvision's `_blend`: `factor` of `x` and the rest of `other`.
fn blend(x: f32, other: f32, factor: f64) -> f32 {
    clamp(factor as f32 * x + (1.0 - factor) as f32 * other)
}

/// Returns the grey of a pixel: its luma (ITU-R BT.601) if there are 3 channels, otherwise their mean.
fn grey(planes: &[&mut [f32]], at: usize) -> f32 {
    match planes {
        [r, g, b] => 0.2989 * r[at] + 0.587 * g[at] + 0.114 * b[at],
        planes => planes.iter().map(|plane| plane[at]).sum::<f32>() / planes.len() as f32,
    }
}

/// Returns a colour with its hue turned by `turn` circles.
fn turned([r, g, b]: [f32; 3], turn: f32) -> [f32; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let range = most - least;
    if range == 0.0 {
        return [r, g, b];
    }
    let (saturation, [r_off, g_off, b_off]) = (range / most, [r, g, b].map(|x| (most - x) / range));
    let sixths = if most == r {
        b_off - g_off
    } else if most == g {
        2.0 + r_off - b_off
    } else {
        4.0 + g_off - r_off
    };
    let hue = sixths / 6.0 + 1.0 + turn;
    let sixths = (hue - hue.floor()) * 6.0;
    let part = sixths - sixths.floor();
    let p = clamp(most * (1.0 - saturation));
    let q = clamp(most * (1.0 - saturation * part));
    let t = clamp(most * (1.0 - saturation * (1.0 - part)));
    match sixths as u32 % 6 {
        0 => [most, t, p],
        1 => [q, most, p],
        2 => [p, most, t],
        3 => [p, q, most],
        4 => [t, p, most],
        _ => [most, p, q],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(change: Change, pixels: &[[f32; 3]]) -> Vec<[f32; 3]> {
        let mut planes: Vec<Vec<f32>> = (0..3).map(|c| pixels.iter().map(|pixel| pixel[c]).collect()).collect();
        change.apply(&mut planes.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        (0..pixels.len()).map(|at| std::array::from_fn(|c| planes[c][at])).collect()
    }

    #[track_caller]
    fn close(found: &[[f32; 3]], expected: &[[f32; 3]]) {
        let far = found.as_flattened().iter().zip(expected.as_flattened()).any(|(a, b)| (a - b).abs() > 2e-6);
        assert!(!far && found.len() == expected.len(), "{found:?} {expected:?}");
    }

    const PIXELS: [[f32; 3]; 4] = [[0.8, 0.2, 0.4], [0.1, 0.9, 0.3], [0.25, 0.25, 0.25], [0.0, 0.5, 1.0]];

    /// Expected values are computed in f64 by torchvision's formulas, and the hues by Python's `colorsys`.
    #[test]
    fn changes_agree_with_the_formulas_in_f64() {
        close(
            &changed(Change::Brightness(1.5), &PIXELS),
            &[[1.0, 0.3, 0.6], [0.15, 1.0, 0.45], [0.375, 0.375, 0.375], [0.0, 0.75, 1.0]],
        );
        close(
            &changed(Change::Contrast(0.6), &PIXELS),
            &[
                [0.645_198_5, 0.285_198_5, 0.405_198_5],
                [0.225_198_5, 0.705_198_5, 0.345_198_5],
                [0.315_198_5, 0.315_198_5, 0.315_198_5],
                [0.165_198_5, 0.465_198_5, 0.765_198_5],
            ],
        );
        close(
            &changed(Change::Contrast(1.8), &PIXELS),
            &[
                [1.0, 0.029_603, 0.389_603],
                [0.0, 1.0, 0.209_603],
                [0.119_603, 0.119_603, 0.119_603],
                [0.0, 0.569_603, 1.0],
            ],
        );
        close(
            &changed(Change::Saturation(0.3), &PIXELS),
            &[
                [0.521_484, 0.341_484, 0.401_484],
                [0.444_673, 0.684_673, 0.504_673],
                [0.249_982_5, 0.249_982_5, 0.249_982_5],
                [0.285_25, 0.435_25, 0.585_25],
            ],
        );
        close(
            &changed(Change::Saturation(2.0), &PIXELS),
            &[[1.0, 0.0, 0.397_88], [0.0, 1.0, 0.007_61], [0.250_025, 0.250_025, 0.250_025], [0.0, 0.5925, 1.0]],
        );
        close(
            &changed(Change::Hue(0.25), &PIXELS),
            &[[0.7, 0.8, 0.2], [0.1, 0.3, 0.9], [0.25, 0.25, 0.25], [1.0, 0.0, 1.0]],
        );
        close(
            &changed(Change::Hue(-0.4), &PIXELS),
            &[[0.2, 0.64, 0.8], [0.9, 0.1, 0.22], [0.25, 0.25, 0.25], [0.9, 1.0, 0.0]],
        );
    }

    #[test]
    fn a_whole_turn_and_grey_keep_the_hue() {
        for turn in [0.0, 1.0, -1.0] {
            close(&changed(Change::Hue(turn), &PIXELS), &PIXELS);
        }
        let greys = [[0.0; 3], [0.5; 3], [1.0; 3]];
        assert_eq!(changed(Change::Hue(0.3), &greys), greys);
    }

    #[test]
    fn a_grey_image_changes_in_brightness_and_contrast() {
        let mut plane = [0.1, 0.3, 0.8];
        Change::Contrast(0.5).apply(&mut [&mut plane]);
        assert!(plane.iter().zip([0.25, 0.35, 0.6]).all(|(a, b)| (a - b).abs() < 1e-6), "{plane:?}");
        Change::Brightness(2.0).apply(&mut [&mut plane]);
        assert!(plane.iter().zip([0.5, 0.7, 1.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{plane:?}");
    }

    #[test]
    fn all_orders_are_drawn_and_factors_are_in_their_ranges() {
        let jitter = ColourJitter {
            brightness: Hyper::Value(0.4),
            contrast: Hyper::Value(2.0),
            saturation: Hyper::Value(0.0),
            hue: Hyper::Value(0.1),
        };
        let mut orders = std::collections::BTreeSet::new();
        for image in 0..400 {
            let changes = jitter.draw(&mut Draws::new(3, 0, 0, image));
            orders.insert(changes.map(|change| match change {
                Change::Brightness(factor) => (0, (0.6..1.4).contains(&factor)),
                Change::Contrast(factor) => (1, (0.0..3.0).contains(&factor)),
                Change::Saturation(factor) => (2, factor == 1.0),
                Change::Hue(turn) => (3, turn.abs() < 0.1),
            }));
        }
        assert_eq!(orders.len(), 24);
        assert!(orders.iter().flatten().all(|(_, is_in_range)| *is_in_range));
    }
}
