//! Plain loops, compiled for wide registers too, and what they will read.

/// Calls `f`, compiled for registers of eight floats where this CPU has them. The result is the same: nothing is
/// reordered or fused that the source does not reorder or fuse. `f` and what it calls must be `#[inline(always)]`, or it
/// stays as it is.
#[inline(always)]
pub fn wide<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has the instructions.
        return unsafe { avx2(f) };
    }
    f()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Asks for the line of the cache at `p`, to read it soon. Harmless wherever `p` points.
#[inline(always)]
pub fn fetch(p: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: fetching never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}
