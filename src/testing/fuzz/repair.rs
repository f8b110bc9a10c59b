//! Checksums made right again, so that mutations reach what they protect. Written from the documents of the formats,
//! not with their writers.

use crate::base::Digest;

/// Bytes of the header of a file of sections, and of a row of its table.
const HEADER: usize = 64;
const ROW: usize = 24;

fn number(bytes: &[u8], at: usize, n: usize) -> usize {
    bytes[at..at + n].iter().rev().fold(0, |sum, &b| sum << 8 | usize::from(b))
}

fn put(bytes: &mut [u8], at: usize, value: u64, n: usize) {
    bytes[at..at + n].copy_from_slice(&value.to_le_bytes()[..n]);
}

/// What engine files begin with: magic and version.
pub const ENGINE: &[u8; 12] = b"QNTZENG\n\x05\0\0\0";
/// What files of answers begin with.
pub const ANSWERS: &[u8; 12] = b"QNTZANS\n\x01\0\0\0";

/// A file of sections: what it begins with, its length and the CRC-32 of its sections, table and header. The padding
/// stays as it is.
pub fn sections(b: &mut [u8], begin: &[u8; 12]) {
    if b.len() < HEADER {
        return;
    }
    b[..12].copy_from_slice(begin);
    let end = HEADER + number(b, 12, 4).min(8) * ROW;
    if b.len() < end + 4 {
        return;
    }
    for row in (HEADER..end).step_by(ROW) {
        let (offset, length) = (number(b, row + 8, 8), number(b, row + 16, 8));
        if let Some(section) = offset.checked_add(length).and_then(|end| b.get(offset..end)) {
            let crc = crc32fast::hash(section);
            put(b, row + 4, crc.into(), 4);
        }
    }
    let crc = crc32fast::hash(&b[HEADER..end]);
    put(b, end, crc.into(), 4);
    put(b, 16, b.len() as u64, 8);
    let crc = crc32fast::hash(&b[..60]);
    put(b, 60, crc.into(), 4);
}

/// A calibration cache: the `crc` line of every block and the `checksum` at the end.
pub fn calibration_cache(text: &str) -> String {
    let mut out = String::new();
    let mut block = 0; // where it begins
    for line in text.split_inclusive('\n') {
        if line.starts_with("crc ") {
            out += &format!("crc {:08x}\n", crc32fast::hash(&out.as_bytes()[block..]));
        } else if line.starts_with("checksum ") {
            out += &format!("checksum {}\n", Digest::of(out.as_bytes()));
        } else {
            out += line;
            if line == "\n" {
                block = out.len();
            }
        }
    }
    out
}
