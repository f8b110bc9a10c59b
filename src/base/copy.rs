//! Copies of much.

use rayon::prelude::*;

/// Bytes that a thread copies at a time.
const SHARE: usize = 1 << 18;

/// Copies by several threads where it is much: one alone is slower than the memory. What is written goes past the caches,
/// for somebody else to read. Both sides are equally long.
pub fn by_threads(from: &[u8], to: &mut [u8]) {
    assert_eq!(from.len(), to.len(), "both sides of a copy");
    match from.len() > SHARE {
        true => {
            to.par_chunks_mut(SHARE).zip(from.par_chunks(SHARE)).for_each(|(to, from)| past_caches(from, to))
        }
        false => to.copy_from_slice(from),
    }
}

/// One thread's share: a processor that stores whole lines so need not read them first.
#[cfg(target_arch = "x86_64")]
fn past_caches(from: &[u8], to: &mut [u8]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    const LANE: usize = size_of::<__m128i>();
    let begin = to.as_ptr().align_offset(LANE).min(to.len());
    let ((first, from), (head, to)) = (from.split_at(begin), to.split_at_mut(begin));
    head.copy_from_slice(first);
    let whole = to.len() / LANE * LANE;
    for (from, to) in from[..whole].chunks_exact(LANE).zip(to[..whole].chunks_exact_mut(LANE)) {
        // SAFETY: both have the bytes of a register, and `to` begins at a multiple of them. Every such processor has SSE2.
        unsafe { _mm_stream_si128(to.as_mut_ptr().cast(), _mm_loadu_si128(from.as_ptr().cast())) };
    }
    to[whole..].copy_from_slice(&from[whole..]);
    // SAFETY: orders the stores above before what follows; every such processor has it.
    unsafe { _mm_sfence() };
}

#[cfg(not(target_arch = "x86_64"))]
fn past_caches(from: &[u8], to: &mut [u8]) {
    to.copy_from_slice(from);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From anywhere to anywhere, of any length.
    #[test]
    fn all_bytes_arrive() {
        let from: Vec<u8> = (0..3 * SHARE + 77).map(|i| (i % 251) as u8).collect();
        for (start, len) in [(0, 0), (1, 5), (3, 100), (0, SHARE + 1), (5, 3 * SHARE + 70)] {
            for offset in [0, 1, 15, 16] {
                let mut to = vec![0xa5; offset + len + 33];
                by_threads(&from[start..start + len], &mut to[offset..offset + len]);
                assert!(from[start..start + len] == to[offset..offset + len], "{len} bytes");
                assert!(to[..offset].iter().chain(&to[offset + len..]).all(|&b| b == 0xa5));
                let mut alone = vec![0; len];
                past_caches(&from[start..start + len], &mut alone);
                assert!(from[start..start + len] == alone, "{len} bytes");
            }
        }
    }
}
