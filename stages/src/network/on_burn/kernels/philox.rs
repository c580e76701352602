//! Philox4x32-10 (Salmon et al. 2011), as in [`crate::philox`].

use cubecl::prelude::*;

/// Returns word `word`, 0 to 3, of the block at the counter (`purpose`, `major`, `minor`, `block`) under the key (`key_0`, `key_1`).
#[cube]
pub(super) fn number(purpose: u32, major: u32, minor: u32, block: u32, key_0: u32, key_1: u32, word: u32) -> u32 {
    let mut c0 = purpose;
    let mut c1 = major;
    let mut c2 = minor;
    let mut c3 = block;
    let mut k0 = key_0;
    let mut k1 = key_1;
    #[unroll]
    for _ in 0..10 {
        let high_0 = c0.mul_hi(0xD251_1F53u32);
        let low_0 = c0 * 0xD251_1F53u32;
        let high_1 = c2.mul_hi(0xCD9E_8D57u32);
        let low_1 = c2 * 0xCD9E_8D57u32;
        c0 = high_1 ^ c1 ^ k0;
        c1 = low_1;
        c2 = high_0 ^ c3 ^ k1;
        c3 = low_0;
        k0 += 0x9E37_79B9u32;
        k1 += 0xBB67_AE85u32;
    }
    let first = select(word == 0u32, c0, c1);
    let second = select(word == 2u32, c2, c3);
    select(word < 2u32, first, second)
}
