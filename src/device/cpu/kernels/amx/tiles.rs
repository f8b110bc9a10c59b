//! Two by two tiles: the registers' configuration, and the product in assembly.

use super::{ROWS, STEP_WEIGHTS};
use std::arch::asm;

/// Configured tile registers; released when dropped.
pub struct Tiles;

/// The operand of `ldtilecfg`.
#[repr(C, align(64))]
struct Config([u8; 64]);

impl Tiles {
    /// Tiles 0 to 3 (sums) and 4 and 5 (pixels) of `rows` rows, 6 and 7 (weights) of 16; 64 bytes a row.
    ///
    /// # Safety
    /// The CPU has AMX, and the operating system permits it.
    pub unsafe fn new(rows: usize) -> Tiles {
        let mut config = Config([0; 64]);
        config.0[0] = 1; // the only palette
        for tile in 0..8 {
            config.0[16 + 2 * tile] = 64;
            config.0[48 + tile] = if tile < 6 { rows as u8 } else { ROWS as u8 };
        }
        // SAFETY: the caller's promise; the configuration is valid for palette 1.
        unsafe { asm!("ldtilecfg [{}]", in(reg) config.0.as_ptr(), options(nostack, readonly)) };
        Tiles
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: there is AMX where `new` has been.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Two runs by one panel.
pub struct Job<'a> {
    /// Where the runs are read.
    pub x: [*const u8; 2],
    /// Bytes from a pixel of a run to the next.
    pub stride: usize,
    /// Byte offsets of the steps along K.
    pub steps: &'a [usize],
    /// The panel.
    pub weights: &'a [i8],
    /// What sums start with, if not 0.
    pub start: Option<*const u8>,
    /// Where the sums of the first run go; those of the second are [`ROWS`] rows below.
    pub to: *mut u8,
    /// Bytes between the rows of sums.
    pub pitch: usize,
    /// Bytes from a step's weights to what is fetched meanwhile.
    pub ahead: usize,
}

/// A method that computes two by two tiles with one kind of product: everything in one block of assembly, as nothing
/// promises that tiles survive between two. It fetches the given lines of the cache of what is needed next.
macro_rules! tiles {
    ($name:ident, $product:literal $(, $line:literal)*) => {
        /// The sums of two runs, each of 16 rows, by two tiles of channels.
        ///
        /// # Safety
        /// Inside of [`Avx512::within`]; every step of every row of both runs may be read; `weights` has all steps; `to`
        /// has 32 rows of 128 bytes.
        #[inline(always)]
        pub unsafe fn $name(&self, job: Job) {
            assert!(job.weights.len() >= job.steps.len() * STEP_WEIGHTS && !job.steps.is_empty());
            // SAFETY: the caller's promise; fetching ahead is harmless wherever it is.
            unsafe {
                asm!(
                    "test {start}, {start}",
                    "jz 3f",
                    // rows 0 bytes apart: the same numbers in each
                    "xor {at:e}, {at:e}",
                    "tileloadd tmm0, [{start} + {at}*1]",
                    "tileloadd tmm1, [{start} + {at}*1 + 64]",
                    "tileloadd tmm2, [{start} + {at}*1]",
                    "tileloadd tmm3, [{start} + {at}*1 + 64]",
                    "jmp 2f",
                    "3:",
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "2:",
                    "mov {start}, [{steps}]",
                    "lea {at}, [{x0} + {start}]",
                    "tileloadd tmm4, [{at} + {stride}*1]",
                    "tileloadd tmm6, [{w} + {wide}*1]",
                    concat!($product, " tmm0, tmm4, tmm6"),
                    "tileloadd tmm7, [{w} + {wide}*1 + 64]",
                    "lea {at}, [{x1} + {start}]",
                    concat!($product, " tmm1, tmm4, tmm7"),
                    "tileloadd tmm5, [{at} + {stride}*1]",
                    "/* {ahead} */",
                    $(concat!("prefetcht1 [{w} + {ahead}*1 + 64*", $line, "]"),)*
                    "add {steps}, 8",
                    "add {w}, 2048",
                    concat!($product, " tmm2, tmm5, tmm6"),
                    concat!($product, " tmm3, tmm5, tmm7"),
                    "dec {n}",
                    "jnz 2b",
                    "tilestored [{to} + {pitch}*1], tmm0",
                    "tilestored [{to} + {pitch}*1 + 64], tmm1",
                    "mov {at}, {pitch}",
                    "shl {at}, 4",
                    "add {to}, {at}",
                    "tilestored [{to} + {pitch}*1], tmm2",
                    "tilestored [{to} + {pitch}*1 + 64], tmm3",
                    start = inout(reg) job.start.unwrap_or(std::ptr::null()) => _,
                    at = out(reg) _,
                    x0 = in(reg) job.x[0],
                    x1 = in(reg) job.x[1],
                    stride = in(reg) job.stride,
                    steps = inout(reg) job.steps.as_ptr() => _,
                    w = inout(reg) job.weights.as_ptr() => _,
                    wide = in(reg) 128usize,
                    n = inout(reg) job.steps.len() => _,
                    to = inout(reg) job.to => _,
                    pitch = in(reg) job.pitch,
                    ahead = in(reg) job.ahead,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

/// [`tiles!`] with all lines of a step's weights fetched ahead.
macro_rules! tiles_ahead {
    ($name:ident, $product:literal) => {
        tiles!(
            $name, $product, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14",
            "15", "16", "17", "18", "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30",
            "31"
        );
    };
}

impl Tiles {
    tiles!(u8, "tdpbusd");
    tiles!(s8, "tdpbssd");
    tiles_ahead!(u8_ahead, "tdpbusd");
    tiles_ahead!(s8_ahead, "tdpbssd");
}
