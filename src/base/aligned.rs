//! Memory on cache-line boundaries.

use bytes::Bytes;

const LINE: usize = 64;

/// Bytes that start on a 64-byte boundary, as kernels and the engine file want them.
#[derive(Default)]
pub struct Aligned {
    /// A little more than is asked for. Not a vector of aligned lines: of those the allocator writes every zero itself,
    /// of plain bytes the system hands out pages of zeros as they are touched.
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        Self::within(vec![0; len + LINE - 1], len)
    }

    /// `len` zero bytes, or `None` where there is not so much memory.
    pub fn try_zeroed(len: usize) -> Option<Self> {
        let memory = bytemuck::try_zeroed_vec(len.checked_add(LINE - 1)?).ok()?;
        Some(Self::within(memory, len))
    }

    fn within(memory: Vec<u8>, len: usize) -> Self {
        let start = memory.as_ptr().align_offset(LINE);
        Aligned { memory, start, len }
    }

    /// A copy of `bytes`.
    pub fn copy(bytes: &[u8]) -> Self {
        let mut a = Aligned::zeroed(bytes.len());
        a.bytes_mut().copy_from_slice(bytes);
        a
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    /// The bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        Aligned::copy(self.bytes())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_zeroed_and_copied() {
        for len in [0, 1, 63, 64, 1000, 1 << 20] {
            let mut a = Aligned::try_zeroed(len).unwrap();
            assert!(a.bytes().len() == len && a.bytes().iter().all(|&b| b == 0));
            a.bytes_mut().fill(7);
            let copy = a.clone();
            assert_eq!(copy.bytes(), a.bytes());
            assert!([&a, &copy].iter().all(|a| a.bytes().as_ptr().addr().is_multiple_of(LINE)));
        }
        assert!(Aligned::try_zeroed(usize::MAX).is_none());
        assert!(Aligned::default().bytes().is_empty());
    }
}
