//! SHA-1's compression of four contents at once, one in each lane of a SIMD register.
//!
//! WebAssembly has no instructions for SHA-1, as processors do: one content after the other goes at a third of
//! the speed there. An error in here could only refuse good bytes: wrong ones would have to meet the checksum
//! that Odoo has.

#![expect(clippy::many_single_char_names, reason = "the names of the standard")]
#![allow(
    clippy::redundant_closure,
    reason = "a function that needs SIMD is no Fn, but a closure within one is"
)]

use std::hint::black_box;

#[cfg(not(target_arch = "wasm32"))]
use portable as simd;
use simd::{Lanes, add, and, lanes, load, or, rotate, splat, words, xor};

use super::together::{Block, State};

/// How many contents a register takes.
pub(super) const LANES: usize = 4;

/// The standard's constants, each for twenty rounds.
const CONSTANTS: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];

/// The state of each content after as many more blocks as all four have.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
pub(super) fn compress(states: [State; LANES], contents: [&[Block]; LANES]) -> [State; LANES] {
    // A constant that the compiler knows it adds last of all, where each round has to wait for it.
    let constants = black_box(CONSTANTS.map(|constant| splat(constant)));
    let mut state = [splat(0); 5];
    let [a, b, c, d] = states;
    for ((((word, a), b), c), d) in state.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *word = lanes([a, b, c, d]);
    }
    let [a, b, c, d] = contents;
    for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
        compress_blocks(&mut state, [a, b, c, d], constants);
    }
    let [a, b, c, d, e] = state.map(|lanes| words(lanes));
    let mut states = [State::default(); LANES];
    for (((((state, a), b), c), d), e) in states.iter_mut().zip(a).zip(b).zip(c).zip(d).zip(e) {
        *state = [a, b, c, d, e];
    }
    states
}

/// SHA-1's compression function on a block of each content.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn compress_blocks(state: &mut [Lanes; 5], blocks: [&Block; LANES], constants: [Lanes; 4]) {
    let mut schedule = load(blocks);
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    macro_rules! round {
        ($mix:ident $k:ident $i:expr, $a:ident $b:ident $c:ident $d:ident $e:ident) => {
            if $i >= 16 {
                let mixed = xor(
                    xor(schedule[($i + 8) % 16], schedule[($i + 2) % 16]),
                    xor(schedule[$i % 16], schedule[($i + 13) % 16]),
                );
                schedule[$i % 16] = rotate::<1>(mixed);
            }
            let word = add(schedule[$i % 16], $k);
            $e = add(rotate::<5>($a), add($mix!($b $c $d), add($e, word)));
            $b = rotate::<30>($b);
            // What each round has come to is written down, so that it is worked out before the next.
            // Compilers put the whole schedule first else, and have no registers left for it.
            black_box($e);
        };
    }
    macro_rules! rounds {
        ($mix:ident $k:ident: $($i:literal)*) => {$(
            round!($mix $k $i, a b c d e);
            round!($mix $k $i + 1, e a b c d);
            round!($mix $k $i + 2, d e a b c);
            round!($mix $k $i + 3, c d e a b);
            round!($mix $k $i + 4, b c d e a);
        )*};
    }
    macro_rules! choice {
        ($b:ident $c:ident $d:ident) => {
            xor($d, and($b, xor($c, $d)))
        };
    }
    macro_rules! parity {
        ($b:ident $c:ident $d:ident) => {
            xor($b, xor($c, $d))
        };
    }
    macro_rules! majority {
        ($b:ident $c:ident $d:ident) => {
            or(and($b, $c), and($d, or($b, $c)))
        };
    }
    let [first, second, third, fourth] = constants;
    rounds!(choice first: 0 5 10 15);
    rounds!(parity second: 20 25 30 35);
    rounds!(majority third: 40 45 50 55);
    rounds!(parity fourth: 60 65 70 75);
    for (state, word) in state.iter_mut().zip([a, b, c, d, e]) {
        *state = add(*state, word);
    }
}

#[cfg(target_arch = "wasm32")]
mod simd {
    use std::arch::wasm32::{
        i8x16_shuffle, i32x4_shuffle, i64x2_shuffle, u32x4, u32x4_extract_lane, u32x4_shl,
        u32x4_shr, u64x2,
    };
    pub(super) use std::arch::wasm32::{
        u32x4_add as add, u32x4_splat as splat, v128 as Lanes, v128_and as and, v128_or as or,
        v128_xor as xor,
    };

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(super) fn rotate<const BY: u32>(lanes: Lanes) -> Lanes {
        or(u32x4_shl(lanes, BY), u32x4_shr(lanes, 32 - BY))
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(super) fn lanes([a, b, c, d]: [u32; 4]) -> Lanes {
        u32x4(a, b, c, d)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(super) fn words(lanes: Lanes) -> [u32; 4] {
        [
            u32x4_extract_lane::<0>(lanes),
            u32x4_extract_lane::<1>(lanes),
            u32x4_extract_lane::<2>(lanes),
            u32x4_extract_lane::<3>(lanes),
        ]
    }

    /// The first words of the blocks, then the second ones, and so on.
    #[inline]
    #[target_feature(enable = "simd128")]
    pub(super) fn load(blocks: [&super::Block; 4]) -> [Lanes; 16] {
        let [a, b, c, d] = blocks.map(|block| quarters(block));
        // Written out, since a loop would write the words to memory and read them again.
        let [a, b, c, d] = [
            transposed(a[0], b[0], c[0], d[0]),
            transposed(a[1], b[1], c[1], d[1]),
            transposed(a[2], b[2], c[2], d[2]),
            transposed(a[3], b[3], c[3], d[3]),
        ];
        [
            a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1],
            d[2], d[3],
        ]
    }

    /// A block's words, by fours.
    #[inline]
    #[target_feature(enable = "simd128")]
    fn quarters(block: &super::Block) -> [Lanes; 4] {
        let (quarters, _) = block.as_chunks();
        std::array::from_fn(|at| quarters.get(at).map_or(splat(0), |bytes| four_words(bytes)))
    }

    /// The first words of these, the second ones, the third and the fourth.
    #[inline]
    #[target_feature(enable = "simd128")]
    fn transposed(a: Lanes, b: Lanes, c: Lanes, d: Lanes) -> [Lanes; 4] {
        let (ab, cd) = (
            i32x4_shuffle::<0, 4, 1, 5>(a, b),
            i32x4_shuffle::<0, 4, 1, 5>(c, d),
        );
        let (more_ab, more_cd) = (
            i32x4_shuffle::<2, 6, 3, 7>(a, b),
            i32x4_shuffle::<2, 6, 3, 7>(c, d),
        );
        [
            i64x2_shuffle::<0, 2>(ab, cd),
            i64x2_shuffle::<1, 3>(ab, cd),
            i64x2_shuffle::<0, 2>(more_ab, more_cd),
            i64x2_shuffle::<1, 3>(more_ab, more_cd),
        ]
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of it")]
    fn four_words(bytes: &[u8; 16]) -> Lanes {
        let both = u128::from_le_bytes(*bytes);
        let bytes = u64x2(both as u64, (both >> 64) as u64);
        i8x16_shuffle::<3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12>(bytes, bytes)
    }
}

/// The same for targets without it, where nothing but tests uses it.
#[cfg(not(target_arch = "wasm32"))]
mod portable {
    pub(super) type Lanes = [u32; 4];

    fn each([a, b, c, d]: Lanes, [e, f, g, h]: Lanes, both: impl Fn(u32, u32) -> u32) -> Lanes {
        [both(a, e), both(b, f), both(c, g), both(d, h)]
    }

    pub(super) fn add(a: Lanes, b: Lanes) -> Lanes {
        each(a, b, u32::wrapping_add)
    }

    pub(super) fn and(a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| a & b)
    }

    pub(super) fn or(a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| a | b)
    }

    pub(super) fn xor(a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| a ^ b)
    }

    pub(super) fn rotate<const BY: u32>(lanes: Lanes) -> Lanes {
        lanes.map(|word| word.rotate_left(BY))
    }

    pub(super) fn splat(word: u32) -> Lanes {
        [word; 4]
    }

    pub(super) fn lanes(words: [u32; 4]) -> Lanes {
        words
    }

    pub(super) fn words(lanes: Lanes) -> [u32; 4] {
        lanes
    }

    pub(super) fn load(blocks: [&super::Block; 4]) -> [Lanes; 16] {
        let mut words = [splat(0); 16];
        let [a, b, c, d] = blocks.map(|block| block.as_chunks().0);
        for ((((words, a), b), c), d) in words.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *words = [a, b, c, d].map(|bytes| u32::from_be_bytes(*bytes));
        }
        words
    }
}
