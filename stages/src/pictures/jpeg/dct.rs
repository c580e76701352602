//! The inverse discrete cosine transform.

use std::num::Wrapping;

/// The place of each coefficient in its block, in the order in which they are coded.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// The bits behind the point of the constants.
const CONSTANT: usize = 13;
/// The bits that are kept between the columns and the rows.
const BETWEEN: usize = 2;

/// Coefficients of a damaged file may be of any size. They give wrong pixels, but the same on every machine.
type Number = Wrapping<i32>;

/// Writes the 8 x 8 samples of a block, given by its coefficients and their quantisation, both in rows.
///
/// This is the algorithm of Loeffler, Ligtenberg and Moschytz (1989) with 12 multiplications, in the fixed point of
/// `jpeg_idct_islow` of libjpeg, so that the samples are the same.
pub(super) fn inverse(coefficients: &[i16; 64], quantisation: &[u16; 64], samples: &mut [u8], stride: usize) {
    let at = |i: usize| Wrapping(i32::from(coefficients[i]) * i32::from(quantisation[i]));
    // Whether a column has more than its first coefficient, by the bits of the rows below.
    let mut below = [0; 8];
    for row in coefficients.as_chunks::<8>().0[1..].iter() {
        below.iter_mut().zip(row).for_each(|(below, coefficient)| *below |= coefficient);
    }
    if below == [0; 8] && coefficients[1..8] == [0; 7] {
        let sample = sample(at(0) << BETWEEN, BETWEEN + 3);
        samples.chunks_mut(stride).take(8).for_each(|row| row[..8].fill(sample));
        return;
    }
    let mut columns = [[Wrapping(0); 8]; 8];
    for (i, column) in columns.iter_mut().enumerate() {
        if below[i] == 0 {
            *column = [at(i) << BETWEEN; 8];
        } else {
            let line = one_dimension(std::array::from_fn(|row| at(8 * row + i)));
            *column = line.map(|value| descale(value, CONSTANT - BETWEEN));
        }
    }
    // All rows together, so that the compiler can use vectors.
    let mut transposed = [[0; 8]; 8];
    for row in 0..8 {
        let line = one_dimension(std::array::from_fn(|i| columns[i][row]));
        (0..8).for_each(|i| transposed[i][row] = sample(line[i], CONSTANT + BETWEEN + 3));
    }
    for (row, line) in samples.chunks_mut(stride).take(8).enumerate() {
        let line: &mut [u8; 8] = line.first_chunk_mut().expect("a row has eight samples");
        *line = std::array::from_fn(|i| transposed[i][row]);
    }
}

/// Returns `value` divided by 2^`bits`, rounded to the nearest.
#[inline]
fn descale(value: Number, bits: usize) -> Number {
    (value + (Wrapping(1) << (bits - 1))) >> bits
}

#[inline]
fn sample(value: Number, bits: usize) -> u8 {
    (descale(value, bits) + Wrapping(128)).0.clamp(0, 255) as u8
}

/// Returns the transform of a line, scaled by the square root of 8 and 2^[`CONSTANT`].
#[inline(always)]
fn one_dimension(line: [Number; 8]) -> [Number; 8] {
    let constant = |value| Wrapping(value);
    let [c0, c1, c2, c3, c4, c5, c6, c7] = line;

    // The even part.
    let z = (c2 + c6) * constant(4433); // 0.541196100
    let even2 = z - c6 * constant(15137); // 1.847759065
    let even3 = z + c2 * constant(6270); // 0.765366865
    let (sum, difference) = ((c0 + c4) << CONSTANT, (c0 - c4) << CONSTANT);
    let even = [sum + even3, difference + even2, difference - even2, sum - even3];

    // The odd part.
    let z5 = (c7 + c3 + c5 + c1) * constant(9633); // 1.175875602
    let z1 = (c7 + c1) * constant(-7373); // -0.899976223
    let z2 = (c5 + c3) * constant(-20995); // -2.562915447
    let z3 = (c7 + c3) * constant(-16069) + z5; // -1.961570560
    let z4 = (c5 + c1) * constant(-3196) + z5; // -0.390180644
    let odd = [
        c1 * constant(12299) + z1 + z4, // 1.501321110
        c3 * constant(25172) + z2 + z3, // 3.072711026
        c5 * constant(16819) + z2 + z4, // 2.053119869
        c7 * constant(2446) + z1 + z3,  // 0.298631336
    ];

    std::array::from_fn(|i| if i < 4 { even[i] + odd[i] } else { even[7 - i] - odd[7 - i] })
}
