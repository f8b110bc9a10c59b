//! Copies of much.

/// Copies past the caches, for somebody else to read: a processor that stores whole lines so need not read them first.
/// Both sides are equally long.
#[cfg(target_arch = "x86_64")]
pub fn past_caches(from: &[u8], to: &mut [u8]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    const LANE: usize = size_of::<__m128i>();
    assert_eq!(from.len(), to.len(), "both sides of a copy");
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

/// Copies.
#[cfg(not(target_arch = "x86_64"))]
pub fn past_caches(from: &[u8], to: &mut [u8]) {
    to.copy_from_slice(from);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From anywhere to anywhere, of any length.
    #[test]
    fn all_bytes_arrive() {
        let from: Vec<u8> = (0..5000).map(|i| (i % 251) as u8).collect();
        for (start, len) in [(0, 0), (1, 5), (3, 100), (0, 4096), (5, 4990)] {
            for offset in [0, 1, 15, 16] {
                let mut to = vec![0xa5; offset + len + 33];
                past_caches(&from[start..start + len], &mut to[offset..offset + len]);
                assert!(from[start..start + len] == to[offset..offset + len], "{len} bytes");
                assert!(to[..offset].iter().chain(&to[offset + len..]).all(|&b| b == 0xa5));
            }
        }
    }
}
