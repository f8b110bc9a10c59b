//! The variants of the family: how tiles are cut and shared, where pixels come from, and which are tried.

use super::super::hopper::Job;
use super::super::patches::Patches;
use super::MOST_ROWS;
use std::fmt;
use std::str::FromStr;

/// How two warpgroups share the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Split {
    Channels,
    Pixels,
    Tiles,
}

/// Where pixels come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    Flat,
    Im2col,
    Halo,
    Raw16,
    Patches,
}

/// Names in variants and in the kernel.
pub const SPLITS: [(Split, &str, &str); 3] = [
    (Split::Channels, "channels", "BY_CHANNELS"),
    (Split::Pixels, "pixels", "BY_PIXELS"),
    (Split::Tiles, "tiles", "BY_TILES"),
];
pub const READS: [(Read, &str, &str); 5] = [
    (Read::Flat, "flat", "FLAT"),
    (Read::Im2col, "im2col", "IM2COL"),
    (Read::Halo, "halo", "HALO"),
    (Read::Raw16, "raw16", "RAW16"),
    (Read::Patches, "patches", "PATCHES"),
];

/// A row of one of these tables.
pub fn row<T: Copy + PartialEq>(
    table: &[(T, &'static str, &'static str)],
    of: T,
) -> (&'static str, &'static str) {
    table.iter().find(|r| r.0 == of).map_or(("", ""), |r| (r.1, r.2))
}

/// `128x256-channels-k128-b2-flat-resident-contiguous`: a tile of 128 channels by 256 pixels, shared by channels, steps of
/// 128 bytes, two buffers of output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Variant {
    /// Channels and pixels of a tile.
    pub tile: [usize; 2],
    /// How two warpgroups share it.
    pub split: Split,
    /// Bytes of a step along k.
    pub block: usize,
    /// Buffers of output.
    pub buffers: usize,
    /// Where pixels come from.
    pub read: Read,
    /// Do all weights stay in shared memory?
    pub resident: bool,
    /// Is a tile of outputs one run of bytes?
    pub contiguous: bool,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [c, p] = self.tile;
        let (split, read) = (row(&SPLITS, self.split).0, row(&READS, self.read).0);
        write!(f, "{c}x{p}-{split}-k{}-b{}-{read}", self.block, self.buffers)?;
        for (on, name) in [(self.resident, "-resident"), (self.contiguous, "-contiguous")] {
            f.write_str(if on { name } else { "" })?;
        }
        Ok(())
    }
}

impl FromStr for Variant {
    type Err = ();
    fn from_str(s: &str) -> std::result::Result<Self, ()> {
        let mut parts = s.split('-');
        let mut next = || parts.next().ok_or(());
        let number = |s: &str| s.parse::<usize>().map_err(|_| ());
        let (c, p) = next()?.split_once('x').ok_or(())?;
        let tile = [number(c)?, number(p)?];
        let split = next()?;
        let split = SPLITS.iter().find(|r| r.1 == split).ok_or(())?.0;
        let block = number(next()?.strip_prefix('k').ok_or(())?)?;
        let buffers = number(next()?.strip_prefix('b').ok_or(())?)?;
        let read = next()?;
        let read = READS.iter().find(|r| r.1 == read).ok_or(())?.0;
        let (resident, contiguous) = (s.contains("-resident"), s.contains("-contiguous"));
        Ok(Variant { tile, split, block, buffers, read, resident, contiguous })
    }
}

/// Tiles, how they are shared, and buffers of output (without and with a residual), the most promising first. What won
/// nowhere in a study of three networks at batches of 1 to 256 is not here.
const NARROW: [([usize; 2], Split, [usize; 2]); 4] = [
    ([64, 512], Split::Pixels, [2, 3]),
    ([64, 256], Split::Tiles, [4, 5]),
    ([64, 256], Split::Tiles, [2, 3]),
    ([64, 128], Split::Pixels, [2, 3]),
];
const WIDE: [([usize; 2], Split, [usize; 2]); 8] = [
    ([128, 256], Split::Channels, [1, 2]),
    ([128, 128], Split::Tiles, [4, 5]),
    ([128, 128], Split::Tiles, [2, 3]),
    ([128, 128], Split::Channels, [2, 3]),
    ([128, 64], Split::Channels, [2, 3]),
    ([64, 256], Split::Tiles, [2, 3]),
    ([64, 512], Split::Pixels, [2, 3]),
    ([64, 128], Split::Pixels, [2, 3]),
];

/// Bytes of all buffers of halves.
const MOST_STAGED: usize = 96 << 10;

/// Bytes of a step along k: all of a pixel's in as few steps as waste little.
fn block(depth: usize) -> usize {
    match depth {
        c if c % 128 == 0 || c > 192 => 128,
        c if c > 32 => 64,
        _ => 32,
    }
}

/// Everything to try for a job.
pub fn candidates(job: &Job) -> Vec<Variant> {
    let mut all = Vec::new();
    let mut add = |tile: [usize; 2], split, buffers: usize, read, contiguous, block| {
        // of halves so many buffers that stages have room beside them
        let most = if job.is_half() { (MOST_STAGED / (2 * tile[0] * tile[1])).max(1) } else { buffers };
        let buffers = buffers.min(most);
        let v = Variant { tile, split, block, buffers, read, resident: true, contiguous };
        if !all.contains(&v) {
            all.extend([v, Variant { resident: false, ..v }]);
        }
    };
    let outputs = job.sizes.outputs;
    let whole = outputs.next_multiple_of(64);
    let (block, read) = (block(job.depth()), if job.is_flat() { Read::Flat } else { Read::Im2col });
    let raw = job.is_flat() && job.x.bytes() == 16 && !job.is_half();
    // an output's rows in one run: pixels of a tile by how many channels they have
    let runs: &[([usize; 2], Split)] = match whole {
        64 => &[([64, 512], Split::Pixels), ([64, 256], Split::Tiles)],
        128 => &[([128, 256], Split::Pixels), ([128, 128], Split::Tiles)],
        192 => &[([192, 128], Split::Pixels), ([192, 64], Split::Tiles)],
        256 => &[([256, 128], Split::Pixels), ([256, 64], Split::Tiles)],
        _ => &[],
    };
    if raw {
        runs.iter().take(1).for_each(|r| add(r.0, r.1, 2, Read::Raw16, true, 32));
        add([128, 256], Split::Channels, 4, Read::Raw16, false, 32);
        add([64, 512], Split::Pixels, 2, Read::Raw16, false, 32);
    }
    if job.is_flat() {
        for &(tile, split) in runs {
            [6, 2].into_iter().for_each(|buffers| add(tile, split, buffers, read, true, block));
        }
    }
    let row = job.sizes.window.input[1] + 2;
    if let Some(patches) = Patches::of(job).filter(|_| job.sizes.window.output[1] <= MOST_ROWS) {
        let [height, width] = job.sizes.window.output;
        let block = patches.block();
        let registers = width.next_multiple_of(16) / 2;
        let rows = [4, 2, 1].into_iter().find(|rows| height.is_multiple_of(*rows) && rows * registers <= 128);
        // a pixel of 64 halves is a whole line of banks: as it is stored by the copy engine, rows take turns
        for (buffers, contiguous) in [(4, true), (2, true), (4, false), (2, false)] {
            if contiguous || job.is_half() {
                let tile = [64, rows.unwrap_or(1) * width];
                add(tile, Split::Tiles, buffers, Read::Patches, contiguous, block);
            }
        }
    }
    if outputs <= 64 {
        // whole rows, as many as one instruction takes
        let rows = (1..=16).rev().filter(|rows| rows * row <= MOST_ROWS && (rows * row).is_multiple_of(8));
        let block = if job.is_half() { block } else { 64 };
        rows.take(2).for_each(|rows| add([64, rows * row], Split::Tiles, 2, Read::Halo, false, block));
    }
    for (tile, split, buffers) in if outputs <= 64 { &NARROW[..] } else { &WIDE[..] } {
        add(*tile, *split, buffers[usize::from(job.residual.is_some())], read, false, block);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_read_as_they_are_written() {
        for (read, name, _) in READS {
            let v = Variant {
                tile: [128, 256],
                split: Split::Tiles,
                block: 64,
                buffers: 3,
                read,
                resident: true,
                contiguous: false,
            };
            assert_eq!(v.to_string(), format!("128x256-tiles-k64-b3-{name}-resident"));
            assert_eq!(v.to_string().parse(), Ok(v));
        }
        assert_eq!("128x256-tiles".parse::<Variant>(), Err(()));
    }
}
