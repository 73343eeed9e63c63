//! Base64 in strides of sixteen characters, by WebAssembly's SIMD: more than twice as fast there as one by
//! one. What is no whole stride of plain characters is left to the careful way.

#[cfg(target_arch = "wasm32")]
use simd::decode_stride;

/// Decodes stride after stride while there is room, up to the first that holds something else than the 64
/// characters; how many that were. Each is 16 characters, and 12 bytes.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
pub(crate) fn decode(base64: &[u8], bytes: &mut [u8]) -> usize {
    let (strides, _) = base64.as_chunks();
    let (room, _) = bytes.as_chunks_mut();
    let mut decoded = 0;
    for (stride, room) in strides.iter().zip(room) {
        let Some(bytes) = decode_stride(stride) else {
            break;
        };
        *room = bytes;
        decoded += 1;
    }
    decoded
}

/// What tests have instead, where there is no such SIMD.
#[cfg(not(target_arch = "wasm32"))]
fn decode_stride(stride: &[u8; 16]) -> Option<[u8; 12]> {
    use base64::Engine;
    let engine = base64::engine::general_purpose::STANDARD;
    engine.decode(stride).ok()?.try_into().ok()
}

#[cfg(target_arch = "wasm32")]
mod simd {
    use std::arch::wasm32::{
        i8x16_all_true, u8x16, u8x16_add, u8x16_eq, u8x16_lt, u8x16_splat, u8x16_sub,
        u8x16_swizzle, u16x8_shl, u16x8_shr, u16x8_splat, u32x4_extract_lane, u32x4_shl, u32x4_shr,
        u32x4_splat, u64x2, u64x2_extract_lane, v128, v128_and, v128_or,
    };

    #[target_feature(enable = "simd128")]
    pub(super) fn decode_stride(stride: &[u8; 16]) -> Option<[u8; 12]> {
        let [low, high] = halves(u128::from_le_bytes(*stride));
        let characters = u64x2(low, high);
        // How far each character is from its value, 0 to 63; nothing for one that has none.
        let run = |first: u8, length: u8, far: u8| {
            let offset = u8x16_sub(characters, u8x16_splat(first));
            v128_and(u8x16_lt(offset, u8x16_splat(length)), u8x16_splat(far))
        };
        let single = |character: u8, far: u8| {
            let equal = u8x16_eq(characters, u8x16_splat(character));
            v128_and(equal, u8x16_splat(far))
        };
        let letters = v128_or(
            run(b'A', 26, 0u8.wrapping_sub(b'A')),
            run(b'a', 26, 26u8.wrapping_sub(b'a')),
        );
        let signs = v128_or(single(b'+', 62 - b'+'), single(b'/', 63 - b'/'));
        let far = v128_or(v128_or(letters, signs), run(b'0', 10, 52 - b'0'));
        if !i8x16_all_true(far) {
            return None;
        }
        let packed = pack(u8x16_add(characters, far));
        let mut bytes = [0; 12];
        let (first, last) = bytes.split_at_mut(8);
        first.copy_from_slice(&u64x2_extract_lane::<0>(packed).to_le_bytes());
        last.copy_from_slice(&u32x4_extract_lane::<2>(packed).to_le_bytes());
        Some(bytes)
    }

    /// Sixteen values of six bits as twelve bytes: by twos, then by fours, then without the gaps.
    #[target_feature(enable = "simd128")]
    fn pack(values: v128) -> v128 {
        let first = v128_and(values, u16x8_splat(0xff));
        let twos = v128_or(u16x8_shl(first, 6), u16x8_shr(values, 8));
        let first = v128_and(twos, u32x4_splat(0xffff));
        let fours = v128_or(u32x4_shl(first, 12), u32x4_shr(twos, 16));
        let order = u8x16(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 255, 255, 255, 255);
        u8x16_swizzle(fours, order)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves of it")]
    const fn halves(both: u128) -> [u64; 2] {
        [both as u64, (both >> 64) as u64]
    }
}
