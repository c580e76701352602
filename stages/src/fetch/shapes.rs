//! Colour pictures of 20 shapes in 5 textures, 32 x 32 pixels. Place, size, colours, background and noise are random, so neither
//! a single pixel nor the mean colour gives the class away. A mirrored picture has the same class. All arithmetic is in integers,
//! so every machine draws the same pictures.

use crate::philox::{Purpose, Stream};

/// The width and the height of a picture.
const SIDE: i32 = 32;

/// The seed of the embedded data. It never changes.
const SEED: u64 = 0x7368_6170_6573; // "shapes"

/// The names of the textures. The fine class is 5 * shape + texture.
pub(super) const TEXTURES: [&str; 5] = ["solid", "outlined", "banded", "striped", "checkered"];

/// Returns whether a point is inside a shape. x and y are from -256 to 256, and y grows downwards.
type Inside = fn(x: i32, y: i32) -> bool;

/// The names and the outlines of the shapes. Each shape is its own mirror image.
pub(super) const SHAPES: [(&str, Inside); 20] = [
    ("circle", |x, y| x * x + y * y <= 236 * 236),
    ("square", |x, y| x.abs().max(y.abs()) <= 208),
    ("triangle", |x, y| (-232..=216).contains(&y) && x.abs() * 448 <= (y + 232) * 252),
    ("funnel", |x, y| (-216..=232).contains(&y) && x.abs() * 448 <= (232 - y) * 252),
    ("diamond", |x, y| x.abs() + y.abs() <= 256),
    ("plus", |x, y| x.abs().min(y.abs()) <= 80 && x.abs().max(y.abs()) <= 248),
    ("saltire", |x, y| (x.abs() - y.abs()).abs() <= 104 && x.abs().max(y.abs()) <= 232),
    ("slab", |x, y| x.abs() <= 256 && y.abs() <= 104),
    ("pillar", |x, y| x.abs() <= 104 && y.abs() <= 256),
    ("star", |x, y| (x.abs() + 72) * (y.abs() + 72) <= 72 * 332 && x.abs().max(y.abs()) <= 256),
    ("heart", |x, y| {
        let lobe = (x.abs() - 116) * (x.abs() - 116) + (y + 96) * (y + 96) <= 124 * 124;
        lobe || (y >= -96 && x.abs() * 332 <= (236 - y) * 232)
    }),
    ("tee", |x, y| x.abs() <= 240 && (-240..=-88).contains(&y) || x.abs() <= 80 && (-88..=240).contains(&y)),
    ("arch", |x, y| x.abs() <= 232 && y.abs() <= 232 && !(x.abs() <= 92 && y >= -72)),
    ("ladder", |x, y| (100..=240).contains(&x.abs()) && y.abs() <= 240 || x.abs() <= 100 && y.abs() <= 64),
    ("hourglass", |x, y| y.abs() <= 240 && x.abs() <= y.abs() * 7 / 8 + 28),
    ("bowtie", |x, y| x.abs() <= 240 && y.abs() <= x.abs() * 7 / 8 + 28),
    ("dome", |x, y| (-128..=112).contains(&y) && x * x + (y - 112) * (y - 112) <= 244 * 244),
    ("arrow", |x, y| (-248..=0).contains(&y) && x.abs() <= y + 248 || x.abs() <= 76 && (0..=240).contains(&y)),
    ("pair", |x, y| (x.abs() - 132) * (x.abs() - 132) + y * y <= 120 * 120),
    ("stack", |x, y| x * x + (y.abs() - 132) * (y.abs() - 132) <= 120 * 120),
];

const N_CLASSES: u32 = (SHAPES.len() * TEXTURES.len()) as u32;

/// The two splits, which have no picture in common.
#[derive(Debug, Clone, Copy)]
pub(super) enum Split {
    Train = 0,
    Test = 1,
}

/// Returns the fine class and the pixels, `[3, 32, 32]`, of picture `index` of `split`. The hundred pictures from a multiple of
/// 100 on have each class once.
pub(super) fn picture(split: Split, index: u32) -> (u8, Vec<u8>) {
    // The order of the classes has a stream of its own.
    let mut classes: Vec<u8> = (0..N_CLASSES as u8).collect();
    Stream::new(SEED, Purpose::Shapes, 2 + split as u32, index / N_CLASSES).shuffle(&mut classes);
    let class = classes[(index % N_CLASSES) as usize];
    let mut draws = Draws { stream: Stream::new(SEED, Purpose::Shapes, split as u32, index), next: 0 };
    (class, draw(usize::from(class), &mut draws))
}

/// The random numbers of one picture, in order.
struct Draws {
    stream: Stream,
    next: u64,
}

impl Draws {
    /// Returns a number from `low` to `high`, both included.
    fn between(&mut self, low: i32, high: i32) -> i32 {
        self.next += 1;
        low + self.stream.below(self.next - 1, (high - low + 1) as u32) as i32
    }

    fn colour(&mut self) -> [i32; 3] {
        [(); 3].map(|()| self.between(16, 240))
    }
}

/// The number of points that are sampled in a pixel along each axis, to smooth edges.
const FINE: i32 = 4;

fn draw(class: usize, draws: &mut Draws) -> Vec<u8> {
    let (_, inside) = SHAPES[class / TEXTURES.len()];
    let texture = class % TEXTURES.len();
    // Half the shape's side, and its middle, in sixteenths of a pixel.
    let radius = draws.between(9 * 16, 13 * 16);
    let slack = SIDE * 8 - radius;
    let (middle_x, middle_y) = (SIDE * 8 + draws.between(-slack, slack), SIDE * 8 + draws.between(-slack, slack));
    let pitch = draws.between(4 * 16, 5 * 16 + 8);
    let (phase_x, phase_y) = (draws.between(0, pitch - 1), draws.between(0, pitch - 1));
    let (front, back) = contrasting(draws);
    // The gaps of a texture are close to the background.
    let gap: [i32; 3] = std::array::from_fn(|c| (front[c] + 4 * back[c]) / 5);
    let slope = [draws.between(-24, 24), draws.between(-24, 24)];
    let loudness = draws.between(8, 32);

    let is_in = |x: i32, y: i32| inside((x - middle_x) * 256 / radius, (y - middle_y) * 256 / radius);
    let first_half = |at: i32, phase: i32| (at + phase).rem_euclid(pitch) * 2 < pitch;
    let colour_at = |x: i32, y: i32| {
        if !is_in(x, y) {
            return back;
        }
        let on = match TEXTURES[texture] {
            "outlined" => {
                let rim = 34;
                return if [(rim, 0), (-rim, 0), (0, rim), (0, -rim)].iter().all(|(dx, dy)| is_in(x + dx, y + dy)) {
                    back
                } else {
                    front
                };
            }
            "banded" => first_half(y, phase_y),
            "striped" => first_half(x - middle_x, phase_x),
            "checkered" => first_half(y, phase_y) == first_half(x - middle_x, phase_x),
            _ => true,
        };
        if on { front } else { gap }
    };
    let mut pixels = vec![0; 3 * (SIDE * SIDE) as usize];
    let step = 16 / FINE;
    for y in 0..SIDE {
        for x in 0..SIDE {
            let mut sum = [0; 3];
            for (fine_y, fine_x) in (0..FINE).flat_map(|y| (0..FINE).map(move |x| (y, x))) {
                let colour = colour_at(16 * x + step * fine_x + step / 2, 16 * y + step * fine_y + step / 2);
                sum.iter_mut().zip(colour).for_each(|(sum, value)| *sum += value);
            }
            let tilt = (slope[0] * (2 * x - SIDE) + slope[1] * (2 * y - SIDE)) / SIDE;
            for (channel, sum) in sum.iter().enumerate() {
                let value = sum / (FINE * FINE) + tilt + noise(draws, loudness);
                pixels[channel * (SIDE * SIDE) as usize + (y * SIDE + x) as usize] = value.clamp(0, 255) as u8;
            }
        }
    }
    pixels
}

/// Returns two colours that clearly differ in brightness. Either may be the brighter one.
fn contrasting(draws: &mut Draws) -> ([i32; 3], [i32; 3]) {
    let brightness = |colour: [i32; 3]| 2 * colour[0] + 5 * colour[1] + colour[2]; // in eighths
    loop {
        let (one, other) = (draws.colour(), draws.colour());
        if (brightness(one) - brightness(other)).abs() >= 8 * 72 {
            return (one, other);
        }
    }
}

/// Returns noise that is nearly normal, a sum of four bytes, with a standard deviation of `loudness` * 37 / 64.
fn noise(draws: &mut Draws, loudness: i32) -> i32 {
    draws.next += 1;
    let sum: i32 = draws.stream.u32(draws.next - 1).to_le_bytes().iter().map(|byte| i32::from(*byte)).sum();
    (sum - 510) * loudness / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_symmetric_and_differ_from_each_other() {
        let points = || (-256..=256).step_by(8).flat_map(|y| (-256..=256).step_by(8).map(move |x| (x, y)));
        let drawn = SHAPES.map(|(name, inside)| {
            assert!(points().all(|(x, y)| inside(x, y) == inside(-x, y)), "{name}");
            points().map(|(x, y)| inside(x, y)).collect::<Vec<_>>()
        });
        for (i, one) in drawn.iter().enumerate() {
            for (j, other) in drawn[..i].iter().enumerate() {
                let differing = one.iter().zip(other).filter(|(a, b)| a != b).count();
                assert!(differing * 12 > one.len(), "{} and {}", SHAPES[i].0, SHAPES[j].0);
            }
        }
    }

    /// Choosing the class with the nearest mean colour is hardly better than chance, which is 1 in 100.
    #[test]
    fn the_mean_colour_does_not_give_the_class_away() {
        let mean = |pixels: &[u8]| {
            std::array::from_fn::<_, 3, _>(|c| pixels[c * 1024..][..1024].iter().map(|x| i64::from(*x)).sum::<i64>())
        };
        let mut sums = [[0; 3]; 100];
        for i in 0..1000 {
            let (class, pixels) = picture(Split::Train, i);
            sums[usize::from(class)].iter_mut().zip(mean(&pixels)).for_each(|(sum, x)| *sum += x);
        }
        let distance =
            |sum: &[i64; 3], colour: &[i64; 3]| (0..3).map(|c| (sum[c] / 10 - colour[c]).pow(2)).sum::<i64>();
        let is_right = |i: &u32| {
            let (class, pixels) = picture(Split::Test, *i);
            let colour = mean(&pixels);
            (0..100).min_by_key(|c| distance(&sums[*c], &colour)) == Some(usize::from(class))
        };
        let right = (0..500).filter(is_right).count();
        assert!(right <= 15, "{right} of 500");
    }
}
