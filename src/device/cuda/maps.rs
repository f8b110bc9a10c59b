//! Tensor maps: how the copy engine of Hopper and later sees a tensor of bytes. A map holds the tensor's address, and is
//! handed to a kernel by value.

use super::driver::check;
use crate::base::Result;
use bytemuck::{Pod, Zeroable};
use cudarc::driver::sys::{self, CUtensorMapDataType as Type, CUtensorMapSwizzle as Swizzle};

/// An encoded map, as the kernels' `TensorMap`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct TensorMap([u64; 16]);

/// A tensor of bytes on the GPU, innermost axis first.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    /// Its address, a multiple of 16.
    pub address: u64,
    /// Bytes or elements of each axis. What is read beyond is 0; what would be written there is not, but for the rest of
    /// 16 bytes of the innermost axis.
    pub sizes: &'a [usize],
    /// Bytes from one element of each axis but the innermost to the next: multiples of 16.
    pub strides: &'a [usize],
    /// The span of the swizzle in shared memory, in bytes: 32, 64 or 128; 0 for none.
    pub swizzle: usize,
}

/// What is copied of images at once: `pixels` of them, in the order in which a window visits its places.
#[derive(Clone, Copy, Debug)]
pub struct Gather {
    /// Channels of each.
    pub channels: usize,
    /// How many.
    pub pixels: usize,
    /// Rows and columns of padding above and to the left.
    pub begin: [usize; 2],
    /// From the last row and column to the last place of the window's first tap: negative where the window reaches
    /// further than the padding.
    pub end: [i64; 2],
    /// Rows and columns from one place of the window to the next.
    pub strides: [usize; 2],
}

impl Bytes<'_> {
    /// The map by which boxes of these sizes are copied.
    ///
    /// # Errors
    /// `CUDA` where the driver refuses sizes, strides or box.
    pub fn boxes(&self, sizes: &[usize]) -> Result<TensorMap> {
        let mut map = TensorMap::zeroed();
        let (all, strides, sizes) = (longs(self.sizes), longs(self.strides), ints(sizes));
        let steps = vec![1u32; all.len()];
        debug_assert!(strides.len() + 1 == all.len() && sizes.len() == all.len());
        // SAFETY: the map is 128 bytes at a multiple of 64, as the driver wants them; each list has as many numbers as the
        // tensor has axes (strides one fewer). The address is kept, not followed.
        let code = unsafe {
            sys::cuTensorMapEncodeTiled(
                (&raw mut map).cast(),
                Type::CU_TENSOR_MAP_DATA_TYPE_UINT8,
                all.len() as u32,
                self.address as *mut _,
                all.as_ptr(),
                strides.as_ptr(),
                sizes.as_ptr(),
                steps.as_ptr(),
                INTERLEAVE,
                self.swizzle(),
                PROMOTION,
                FILL,
            )
        };
        check("describe a tensor to the copy engine", code.result())?;
        Ok(map)
    }

    /// The map by which the pixels under a tap of a window are gathered. Axes are channels, columns, rows, images.
    ///
    /// # Errors
    /// `CUDA` where the driver refuses sizes, strides or window.
    pub fn gathered(&self, g: &Gather) -> Result<TensorMap> {
        let mut map = TensorMap::zeroed();
        let (all, strides) = (longs(self.sizes), longs(self.strides));
        let lower = [-(g.begin[1] as i32), -(g.begin[0] as i32)];
        let upper = [g.end[1] as i32, g.end[0] as i32];
        let steps = [1, g.strides[1] as u32, g.strides[0] as u32, 1];
        debug_assert!(all.len() == 4 && strides.len() == 3);
        // SAFETY: as in `boxes`; corners have two numbers, one for each spatial axis.
        let code = unsafe {
            sys::cuTensorMapEncodeIm2col(
                (&raw mut map).cast(),
                Type::CU_TENSOR_MAP_DATA_TYPE_UINT8,
                4,
                self.address as *mut _,
                all.as_ptr(),
                strides.as_ptr(),
                lower.as_ptr(),
                upper.as_ptr(),
                g.channels as u32,
                g.pixels as u32,
                steps.as_ptr(),
                INTERLEAVE,
                self.swizzle(),
                PROMOTION,
                FILL,
            )
        };
        check("describe a window to the copy engine", code.result())?;
        Ok(map)
    }

    fn swizzle(&self) -> Swizzle {
        match self.swizzle {
            0 => Swizzle::CU_TENSOR_MAP_SWIZZLE_NONE,
            32 => Swizzle::CU_TENSOR_MAP_SWIZZLE_32B,
            64 => Swizzle::CU_TENSOR_MAP_SWIZZLE_64B,
            _ => Swizzle::CU_TENSOR_MAP_SWIZZLE_128B,
        }
    }
}

const INTERLEAVE: sys::CUtensorMapInterleave = sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE;
const PROMOTION: sys::CUtensorMapL2promotion =
    sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_128B;
const FILL: sys::CUtensorMapFloatOOBfill = sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;

fn longs(v: &[usize]) -> Vec<u64> {
    v.iter().map(|&n| n as u64).collect()
}

fn ints(v: &[usize]) -> Vec<u32> {
    v.iter().map(|&n| n as u32).collect()
}
