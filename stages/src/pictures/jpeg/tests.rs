use fastrand::Rng;

use super::{
    colour::Model,
    dct,
    encoder::{Component, Jpeg, Scan},
    size,
};

/// Returns the width, the height and the pixels.
fn decode(bytes: &[u8]) -> Result<([usize; 2], Vec<u8>), String> {
    let planes = super::decode(bytes)?;
    let [red, green, blue] = planes.each_ref().map(|plane| plane.as_raw());
    let pixels = red.iter().zip(green).zip(blue).flat_map(|((red, green), blue)| [*red, *green, *blue]).collect();
    Ok(([planes[0].width(), planes[0].height()].map(|side| side as usize), pixels))
}

/// Returns a block whose samples are mostly within 0 and 255 after quantisation.
fn block(random: &mut Rng, quantisation: &[u16; 64]) -> [i16; 64] {
    std::array::from_fn(|i| {
        let most = if i == 0 { 900 } else { 300 / (1 + i as i32 % 8 + i as i32 / 8) };
        let is_zero = i > 0 && random.usize(..4) > 0;
        if is_zero { 0 } else { (random.i32(-most..=most) / i32::from(quantisation[i])) as i16 }
    })
}

/// Returns a picture of random coefficients in one scan, baseline.
fn random(random: &mut Rng, size: [usize; 2], parts: &[(u8, [usize; 2])]) -> Jpeg {
    let all = (0..parts.len()).collect();
    let mut jpeg = Jpeg {
        size,
        components: Vec::new(),
        frame: 0xc0,
        scans: vec![Scan(all, [0, 63], [0, 0])],
        restart_interval: 0,
        segments: Vec::new(),
        usual_codes: false,
    };
    for &(id, sampling) in parts {
        let quantisation = std::array::from_fn(|_| random.u16(1..9));
        jpeg.components.push(Component { id, sampling, quantisation, blocks: Vec::new() });
    }
    let [wide, high] = jpeg.units();
    for component in &mut jpeg.components {
        let n = wide * high * component.sampling[0] * component.sampling[1];
        component.blocks = (0..n).map(|_| block(random, &component.quantisation)).collect();
    }
    jpeg
}

/// Returns the pixels in the slow, obvious way: each sample of each pixel by itself.
fn expected(jpeg: &Jpeg, model: Model) -> Vec<u8> {
    let (most, [units_wide, _]) = (jpeg.most(), jpeg.units());
    let planes: Vec<_> = jpeg.components.iter().map(|component| plane(component, units_wide)).collect();
    let sample = |i: usize, x: usize, y: usize| {
        let sampling = jpeg.components[i].sampling;
        let [w, h] = [0, 1].map(|d| (jpeg.size[d] * sampling[d]).div_ceil(most[d]) as i32);
        let at = |x: i32, y: i32| i32::from(planes[i](x.clamp(0, w - 1) as usize, y.clamp(0, h - 1) as usize));
        upsampled(&at, [most[0] / sampling[0], most[1] / sampling[1]], w, x as i32, y as i32)
    };
    let mut pixels = Vec::new();
    for (y, x) in (0..jpeg.size[1]).flat_map(|y| (0..jpeg.size[0]).map(move |x| (y, x))) {
        let samples: Vec<f64> = (0..jpeg.components.len()).map(|i| f64::from(sample(i, x, y))).collect();
        pixels.extend(colour(model, &samples));
    }
    pixels
}

/// Returns the samples of a component by place.
fn plane(component: &Component, units_wide: usize) -> impl Fn(usize, usize) -> u8 {
    let wide = units_wide * component.sampling[0];
    let blocks: Vec<[u8; 64]> = component
        .blocks
        .iter()
        .map(|block| {
            let mut samples = [0; 64];
            dct::inverse(block, &component.quantisation, &mut samples, 8);
            samples
        })
        .collect();
    move |x, y| blocks[y / 8 * wide + x / 8][y % 8 * 8 + x % 8]
}

/// Returns the sample at a pixel: 9/16, 3/16, 3/16 and 1/16 of the four next samples, or 3/4 and 1/4 of two.
fn upsampled(at: &dyn Fn(i32, i32) -> i32, factors: [usize; 2], width: i32, x: i32, y: i32) -> i32 {
    let side = |i: i32| if i % 2 == 0 { i / 2 - 1 } else { i / 2 + 1 };
    let odd = |i: i32| i % 2;
    match factors {
        [2, 1] if width > 2 => {
            let is_edge = x == 0 || x == 2 * width - 1;
            let rounding = if is_edge || odd(x) == 1 { 2 } else { 1 };
            (3 * at(x / 2, y) + at(side(x), y) + rounding) / 4
        }
        [1, 2] => (3 * at(x, y / 2) + at(x, side(y)) + 1 + odd(y)) / 4,
        [2, 2] if width > 2 => {
            let near = 3 * at(x / 2, y / 2) + at(x / 2, side(y));
            let far = 3 * at(side(x), y / 2) + at(side(x), side(y));
            (3 * near + far + 8 - odd(x)) / 16
        }
        [h, v] => at(x / h as i32, y / v as i32),
    }
}

/// Returns the colour by the formulas of JFIF and of Adobe's inks.
fn colour(model: Model, samples: &[f64]) -> [u8; 3] {
    let ycc = || {
        let (y, cb, cr) = (samples[0], samples[1] - 128.0, samples[2] - 128.0);
        [y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb].map(|value| value.round().clamp(0.0, 255.0))
    };
    let inked = |inks: [f64; 3]| inks.map(|ink| (ink * samples[3] / 255.0).round() as u8);
    match model {
        Model::Grey => [samples[0] as u8; 3],
        Model::Rgb => [0, 1, 2].map(|i| samples[i] as u8),
        Model::Ycc => ycc().map(|value| value as u8),
        Model::Cmyk => inked([samples[0], samples[1], samples[2]]),
        Model::Ycck => inked(ycc().map(|value| 255.0 - value)),
    }
}

#[track_caller]
fn check(jpeg: &Jpeg, model: Model, what: &str) {
    let (size, found) = decode(&jpeg.write()).unwrap_or_else(|why| panic!("{what}: {why}"));
    assert_eq!(size, jpeg.size, "{what}");
    // The formulas of colours are exact, those of libjpeg are rounded.
    let tolerance = if matches!(model, Model::Grey | Model::Rgb | Model::Cmyk) { 0 } else { 1 };
    for (i, (found, expected)) in found.iter().zip(expected(jpeg, model)).enumerate() {
        assert!(found.abs_diff(expected) <= tolerance, "{what}: {found} and {expected} at {i}");
    }
}

const ADOBE: fn(u8) -> Segment = |transform| (0xee, [b"Adobe\0d\0\0\0\0", &[transform][..]].concat());
const JFIF: (u8, &[u8]) = (0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");

/// A marker with its content.
type Segment = (u8, Vec<u8>);

/// All models, with the numbers of the components and the segments that say so.
fn models() -> Vec<(Model, Vec<u8>, Vec<Segment>)> {
    let jfif = || (JFIF.0, JFIF.1.to_vec());
    vec![
        (Model::Grey, vec![1], vec![jfif()]),
        (Model::Ycc, vec![1, 2, 3], vec![jfif()]),
        (Model::Ycc, vec![0, 1, 2], vec![]),
        (Model::Ycc, b"RGB".to_vec(), vec![jfif()]),
        (Model::Ycc, b"RGB".to_vec(), vec![ADOBE(1)]),
        (Model::Rgb, b"RGB".to_vec(), vec![]),
        (Model::Rgb, vec![1, 2, 3], vec![ADOBE(0)]),
        (Model::Ycc, vec![1, 2, 3], vec![jfif(), ADOBE(0)]),
        (Model::Cmyk, vec![1, 2, 3, 4], vec![]),
        (Model::Cmyk, vec![1, 2, 3, 4], vec![ADOBE(0)]),
        (Model::Ycck, vec![1, 2, 3, 4], vec![ADOBE(2)]),
    ]
}

/// Ways to code `n` components one after the other or together.
fn sequential(n: usize) -> Vec<Vec<Scan>> {
    let scans = |groups: Vec<Vec<usize>>| groups.into_iter().map(|group| Scan(group, [0, 63], [0, 0])).collect();
    let mut ways =
        vec![vec![(0..n).collect()], (0..n).map(|i| vec![i]).collect(), (0..n).rev().map(|i| vec![i]).collect()];
    if n > 1 {
        ways.push(vec![vec![0], (1..n).collect()]);
        ways.push(vec![(0..2).collect(), (2..n).collect()]);
        ways.push(vec![(0..n).rev().collect()]);
    }
    ways.retain(|way: &Vec<Vec<usize>>| way.iter().all(|group| !group.is_empty()));
    ways.into_iter().map(scans).collect()
}

/// Ways to code `n` components in parts of coefficients.
fn progressive(n: usize) -> Vec<Vec<Scan>> {
    let all: Vec<usize> = (0..n).collect();
    let each = |band: [usize; 2], bits: [u8; 2]| (0..n).map(move |i| Scan(vec![i], band, bits));
    let mut bands = vec![Scan(all.clone(), [0, 0], [0, 0])];
    bands.extend(each([1, 5], [0, 0]).chain(each([6, 63], [0, 0])));
    let mut bits = vec![Scan(all.clone(), [0, 0], [0, 1])];
    bits.extend(each([1, 63], [0, 2]).chain(each([1, 63], [2, 1])));
    bits.push(Scan(all.clone(), [0, 0], [1, 0]));
    bits.extend(each([1, 63], [1, 0]));
    // Coefficients before their means, in the opposite order, and with the means one by one.
    let mut backwards: Vec<Scan> = each([30, 63], [0, 3]).collect();
    backwards.extend(each([1, 29], [0, 0]).chain(each([30, 63], [3, 2])).chain(each([30, 63], [2, 1])));
    backwards.extend((0..n).rev().map(|i| Scan(vec![i], [0, 0], [0, 0])).chain(each([30, 63], [1, 0])));
    vec![bands, bits, backwards]
}

const SAMPLINGS: [[[usize; 2]; 3]; 16] = [
    [[1, 1], [1, 1], [1, 1]],
    [[2, 1], [1, 1], [1, 1]],
    [[1, 2], [1, 1], [1, 1]],
    [[2, 2], [1, 1], [1, 1]],
    [[2, 2], [2, 1], [1, 2]],
    [[2, 2], [2, 1], [2, 1]],
    [[4, 1], [1, 1], [1, 1]],
    [[1, 4], [1, 1], [1, 1]],
    [[4, 2], [1, 1], [1, 1]],
    [[4, 2], [2, 1], [1, 2]],
    [[3, 1], [1, 1], [1, 1]],
    [[1, 3], [1, 1], [1, 1]],
    [[3, 2], [1, 1], [1, 1]],
    [[1, 1], [2, 2], [1, 1]],
    [[2, 2], [2, 2], [2, 2]],
    [[4, 1], [2, 1], [1, 1]],
];

#[test]
fn every_structure_gives_the_pixels_of_its_coefficients() {
    let mut rng = Rng::with_seed(1);
    let mut n = 0;
    for (model, ids, segments) in models() {
        for (s, sampling) in SAMPLINGS.iter().enumerate() {
            let fourth = if s % 2 == 0 { sampling[0] } else { [1, 1] };
            let parts: Vec<_> = ids.iter().copied().zip(sampling.iter().copied().chain([fourth])).collect();
            for size in [[1, 1], [5, 3], [33, 18], [16, 32], [17, 49]] {
                let mut jpeg = random(&mut rng, size, &parts);
                jpeg.segments.clone_from(&segments);
                let ways =
                    [(0xc0, sequential(ids.len())), (0xc1, sequential(ids.len())), (0xc2, progressive(ids.len()))];
                for (frame, scans) in
                    ways.into_iter().flat_map(|(frame, ways)| ways.into_iter().map(move |way| (frame, way)))
                {
                    let blocks = |i: &usize| parts[*i].1.iter().product::<usize>();
                    if scans.iter().any(|scan| scan.0.len() > 1 && scan.0.iter().map(blocks).sum::<usize>() > 10) {
                        continue;
                    }
                    jpeg.restart_interval = rng.usize(0..4);
                    (jpeg.frame, jpeg.scans) = (frame, scans);
                    let what = format!(
                        "{model:?}, {parts:?}, {size:?}, {frame:x}, {:?}, restarts {}",
                        jpeg.scans, jpeg.restart_interval
                    );
                    check(&jpeg, model, &what);
                    n += 1;
                }
            }
        }
    }
    assert!(n > 5000, "{n}");
}

#[test]
fn the_inverse_transform_is_that_of_the_definition() {
    let mut rng = Rng::with_seed(2);
    let (mut errors, mut n) = (0.0, 0);
    for _ in 0..2000 {
        let quantisation = std::array::from_fn(|_| rng.u16(1..30));
        let block = block(&mut rng, &quantisation);
        let mut samples = [0; 64];
        dct::inverse(&block, &quantisation, &mut samples, 8);
        for (y, x) in (0..8).flat_map(|y| (0..8).map(move |x| (y, x))) {
            let mut sum = 128.0;
            for (v, u) in (0..8).flat_map(|v| (0..8).map(move |u| (v, u))) {
                let scale = |k: usize| if k == 0 { (1.0_f64 / 8.0).sqrt() } else { 0.5 };
                let wave = |k: usize, i: usize| (std::f64::consts::PI * k as f64 * (2 * i + 1) as f64 / 16.0).cos();
                let value = f64::from(block[8 * v + u]) * f64::from(quantisation[8 * v + u]);
                sum += value * scale(u) * scale(v) * wave(u, x) * wave(v, y);
            }
            let (found, expected) = (samples[8 * y + x], sum.round().clamp(0.0, 255.0) as u8);
            assert!(found.abs_diff(expected) <= 1, "{found} and {sum}");
            errors += f64::from(found != expected);
            n += 1;
        }
    }
    assert!(errors / f64::from(n) < 0.02, "{errors} of {n}");
}

#[test]
fn hostile_coefficients_are_computed_alike_everywhere() {
    let mut samples = [0; 64];
    dct::inverse(&[i16::MIN; 64], &[u16::MAX; 64], &mut samples, 8);
    dct::inverse(&[i16::MAX; 64], &[u16::MAX; 64], &mut samples, 8);
}

#[test]
fn codes_that_are_left_out_are_the_usual_ones() {
    let mut rng = Rng::with_seed(3);
    let mut jpeg = random(&mut rng, [40, 20], &[(1, [2, 2]), (2, [1, 1]), (3, [1, 1])]);
    jpeg.usual_codes = true;
    check(&jpeg, Model::Ycc, "without tables");
}

#[test]
fn quantisation_may_have_16_bits() {
    let mut rng = Rng::with_seed(4);
    let mut jpeg = random(&mut rng, [9, 9], &[(1, [1, 1])]);
    jpeg.components[0].quantisation[0] = 300;
    jpeg.components[0].blocks.iter_mut().for_each(|block| block[0] = 3);
    check(&jpeg, Model::Grey, "16 bits");
}

/// A photograph may have thousands of restarts.
#[test]
fn restarts_are_counted_beyond_255() {
    let mut rng = Rng::with_seed(9);
    let mut jpeg = random(&mut rng, [8 * 30, 8 * 20], &[(1, [1, 1])]);
    jpeg.restart_interval = 1;
    check(&jpeg, Model::Grey, "600 restarts");
}

/// Small pictures: baseline in one and in several scans with restarts, and progressive.
fn small() -> Vec<Jpeg> {
    let parts = [(1, [2, 2]), (2, [1, 1]), (3, [1, 1])];
    let mut rng = Rng::with_seed(5);
    let ways = [
        (0xc0, sequential(3).swap_remove(0), 0),
        (0xc0, sequential(3).swap_remove(1), 2),
        (0xc2, progressive(3).swap_remove(1), 0),
    ];
    let with = |(frame, scans, restart_interval)| {
        let jpeg = random(&mut rng, [20, 18], &parts);
        Jpeg { frame, scans, restart_interval, ..jpeg }
    };
    ways.into_iter().map(with).collect()
}

#[test]
fn a_truncated_picture_is_refused_or_whole() {
    for jpeg in small() {
        let whole = jpeg.write();
        let pixels = decode(&whole).unwrap();
        let mut read = 0;
        for end in 0..whole.len() {
            for tail in [&[][..], b"\xff\xd9", b"\xff"] {
                match decode(&[&whole[..end], tail].concat()) {
                    Ok(found) => {
                        assert!(found == pixels, "{end} of {} bytes", whole.len());
                        read += 1;
                    }
                    Err(why) => {
                        assert!(why.starts_with("a truncated JPEG") || why.starts_with("a broken JPEG"), "{why}")
                    }
                }
            }
        }
        // Only the end marker and the filling of the last byte may be missing.
        assert!((3..=12).contains(&read), "{read}");
    }
}

#[test]
fn no_mutation_makes_it_panic() {
    let mut rng = Rng::with_seed(6);
    for jpeg in small() {
        let whole = jpeg.write();
        for _ in 0..4000 {
            let mut bytes = whole.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..bytes.len());
                match rng.usize(..4) {
                    0 => bytes[at] = rng.u8(..),
                    1 => bytes[at] ^= 1 << rng.usize(..8),
                    2 => drop(bytes.drain(at..(at + rng.usize(1..20)).min(bytes.len()))),
                    _ => bytes.insert(at, 0xff),
                }
            }
            if size(&bytes).is_ok_and(|([width, height], _)| width * height < 1 << 20) {
                let _ = decode(&bytes);
            }
        }
    }
}

#[test]
fn what_is_not_read_is_refused_by_its_name() {
    let mut rng = Rng::with_seed(7);
    let mut refused = |change: &dyn Fn(&mut Jpeg), patch: (&[u8], usize, u8), expected: &str| {
        let mut jpeg = random(&mut rng, [20, 20], &[(1, [1, 1]), (2, [1, 1]), (3, [1, 1])]);
        change(&mut jpeg);
        let mut bytes = jpeg.write();
        let (marker, offset, value) = patch;
        if !marker.is_empty() {
            let at = bytes.windows(marker.len()).position(|window| window == marker).unwrap();
            bytes[at + offset] = value;
        }
        let why = decode(&bytes).unwrap_err();
        assert!(why.starts_with(expected), "{why}");
    };
    let none: (&[u8], usize, u8) = (&[], 0, 0);
    let frame: &[u8] = &[0xff, 0xc0];
    for (marker, name) in [
        (0xc3, "a lossless JPEG,"),
        (0xc5, "a hierarchical JPEG,"),
        (0xc6, "a hierarchical JPEG,"),
        (0xc7, "a hierarchical JPEG,"),
        (0xc9, "an arithmetic-coded JPEG,"),
        (0xca, "an arithmetic-coded JPEG,"),
        (0xcb, "a lossless JPEG,"),
        (0xcd, "a hierarchical JPEG,"),
        (0xce, "a hierarchical JPEG,"),
        (0xcf, "a hierarchical JPEG,"),
        (0xf7, "a JPEG-LS picture,"),
    ] {
        refused(&|jpeg| jpeg.frame = marker, none, name);
    }
    refused(&|_| {}, (frame, 4, 12), "a JPEG of 12 bits a sample,");
    refused(&|_| {}, (frame, 6, 0), "a JPEG that tells its height only behind its pixels (DNL)");
    refused(&|_| {}, (frame, 8, 0), "a broken JPEG: it has no width");
    refused(&|_| {}, (frame, 9, 2), "a JPEG of 2 components,");
    refused(&|_| {}, (frame, 11, 0x50), "a broken JPEG: a component has an impossible sampling");
    refused(&|_| {}, (frame, 10, 2), "a broken JPEG: two components have the same number");
    let sampled = |jpeg: &mut Jpeg| {
        let samplings = [[3, 1], [2, 1], [1, 1]];
        jpeg.components.iter_mut().zip(samplings).for_each(|(component, sampling)| component.sampling = sampling);
    };
    refused(&sampled, none, "a JPEG of fractional sampling, 2x1 beside 3x1,");
    refused(&|jpeg| jpeg.scans.clear(), none, "a truncated JPEG: a part of its scans is missing");
    refused(&|jpeg| jpeg.scans[0].0.truncate(2), none, "a truncated JPEG: a part of its scans is missing");
    let twice = |jpeg: &mut Jpeg| jpeg.scans = vec![Scan(vec![0], [0, 63], [0, 0]); 2];
    refused(&twice, none, "a broken JPEG: a scan codes what another has coded");
    let without_bits = |jpeg: &mut Jpeg| {
        jpeg.frame = 0xc2;
        jpeg.scans = progressive(3).swap_remove(1);
        jpeg.scans.pop();
    };
    refused(&without_bits, none, "a truncated JPEG: a part of its scans is missing");
    let out_of_order = |jpeg: &mut Jpeg| {
        jpeg.frame = 0xc2;
        jpeg.scans = progressive(3).swap_remove(1);
        jpeg.scans.remove(1);
    };
    refused(&out_of_order, none, "a broken JPEG: a scan codes what another has coded, or refines what none has");
    let restarting = |jpeg: &mut Jpeg| jpeg.restart_interval = 2;
    refused(&restarting, (&[0xff, 0xd1], 1, 0xd3), "a broken JPEG: restart 2 of a scan is missing");
    refused(&restarting, (&[0xff, 0xd1], 1, 0xd9), "a truncated JPEG: a scan ends before restart 2");
}
