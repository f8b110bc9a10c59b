//! Memory on cache-line boundaries.

use bytes::Bytes;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

// SAFETY: 64 bytes without padding; every pattern is valid, zero among them.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Line {}

/// Bytes that start on a 64-byte boundary, as kernels and the engine file want them.
#[derive(Clone, Default)]
pub struct Aligned {
    lines: Vec<Line>,
    len: usize,
}

impl Aligned {
    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        Aligned { lines: bytemuck::zeroed_vec(len.div_ceil(64)), len }
    }

    /// `len` zero bytes, or `None` where there is not so much memory.
    pub fn try_zeroed(len: usize) -> Option<Self> {
        // the system hands out zeros, page by page as they are touched
        Some(Aligned { lines: bytemuck::try_zeroed_vec(len.div_ceil(64)).ok()?, len })
    }

    /// A copy of `bytes`.
    pub fn copy(bytes: &[u8]) -> Self {
        let mut a = Aligned::zeroed(bytes.len());
        a.bytes_mut().copy_from_slice(bytes);
        a
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    /// The bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl From<Aligned> for Bytes {
    fn from(a: Aligned) -> Bytes {
        Bytes::from_owner(a)
    }
}
