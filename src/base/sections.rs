//! Binary files of checksummed sections: the form that engine files and files of answers share.
//!
//! ```text
//! 0   magic, 8 bytes          8    version u32, little endian as all numbers here
//! 12  sections u32             16   length of the whole file u64
//! 24  zero                     60   CRC-32 of bytes 0..60
//! 64  section table: per section kind u32, CRC-32 u32, offset u64, length u64; then CRC-32 of the table, zeros to 64
//! ..  sections, each from a multiple of 64, zeros between
//! ```
//!
//! Every byte is covered by a checksum or must be zero, so that any flipped bit and any truncation is found.

use super::{Code, Diagnostic, Result};
use bytes::Bytes;
use std::ops::Range;

/// Sections begin at multiples of this.
pub const ALIGN: usize = 64;
const ROW: usize = 24;

/// Sections a file may have at most; more is taken for damage.
const MAX_SECTIONS: usize = 64;

/// A kind of file.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// What its files begin with.
    pub magic: &'static [u8; 8],
    /// The version that this program writes and reads.
    pub version: u32,
    /// What its files are called: `engine file`.
    pub what: &'static str,
    /// What writes them: `quantize build`.
    pub writer: &'static str,
    /// The code of damage.
    pub code: Code,
    /// What to do about damage.
    pub help: &'static str,
}

impl Form {
    /// The bytes of a file of these sections, each a kind and its content.
    pub fn write(&self, sections: &[(u32, &[u8])]) -> Vec<u8> {
        let table_end = (ALIGN + sections.len() * ROW + 4).next_multiple_of(ALIGN);
        let whole = sections.iter().map(|(_, b)| b.len().next_multiple_of(ALIGN)).sum::<usize>();
        let mut out = Vec::with_capacity(table_end + whole);
        out.resize(table_end, 0);
        for (i, (kind, bytes)) in sections.iter().enumerate() {
            let offset = out.len();
            out.extend_from_slice(bytes);
            out.resize(out.len().next_multiple_of(ALIGN), 0);
            let row = &mut out[ALIGN + i * ROW..][..ROW];
            row[0..4].copy_from_slice(&kind.to_le_bytes());
            row[4..8].copy_from_slice(&crc32fast::hash(bytes).to_le_bytes());
            row[8..16].copy_from_slice(&(offset as u64).to_le_bytes());
            row[16..24].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        }
        let rows = ALIGN..ALIGN + sections.len() * ROW;
        let crc = crc32fast::hash(&out[rows.clone()]);
        out[rows.end..rows.end + 4].copy_from_slice(&crc.to_le_bytes());
        let length = out.len() as u64;
        out[0..8].copy_from_slice(self.magic);
        out[8..12].copy_from_slice(&self.version.to_le_bytes());
        out[12..16].copy_from_slice(&(sections.len() as u32).to_le_bytes());
        out[16..24].copy_from_slice(&length.to_le_bytes());
        let crc = crc32fast::hash(&out[..60]);
        out[60..64].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The sections of a file, which share its bytes.
    ///
    /// # Errors
    /// Another kind of file, another version, any damage.
    pub fn read(&self, file: &Bytes) -> Result<Sections> {
        let ranges = self.ranges(file)?;
        let found = ranges.into_iter().map(|(kind, range)| (kind, file.slice(range))).collect();
        Ok(Sections { form: *self, found })
    }

    /// The diagnostic of a file that cannot be used.
    pub fn damaged(&self, what: impl Into<String>) -> Box<Diagnostic> {
        Diagnostic::new(self.code, what).help(self.help)
    }

    /// Kind and place of every section, after every check that needs no understanding of their contents.
    fn ranges(&self, b: &[u8]) -> Result<Vec<(u32, Range<usize>)>> {
        self.check_header(b)?;
        let count = number::<4>(b, 12) as usize;
        let end = ALIGN + count.min(MAX_SECTIONS) * ROW;
        if count > MAX_SECTIONS
            || b.len() < end + 4
            || number::<4>(b, end) as u32 != crc32fast::hash(&b[ALIGN..end])
        {
            return Err(self.damaged("the section table's checksum does not fit"));
        }
        let mut found = Vec::with_capacity(count);
        let mut last = end + 4;
        for row in b[ALIGN..end].chunks_exact(ROW) {
            let (kind, crc) = (number::<4>(row, 0) as u32, number::<4>(row, 4) as u32);
            let (offset, length) = (number::<8>(row, 8), number::<8>(row, 16));
            let range = offset.checked_add(length).filter(|&e| e <= b.len() as u64 && offset >= last as u64);
            let Some(range) = range.map(|e| offset as usize..e as usize) else {
                return Err(self.damaged(format!("section {kind} lies outside the file")));
            };
            self.zeros(b, last..range.start)?;
            if crc32fast::hash(&b[range.clone()]) != crc {
                return Err(self.damaged(format!("the checksum of section {kind} does not fit")));
            }
            last = range.end;
            found.push((kind, range));
        }
        self.zeros(b, last..b.len())?;
        Ok(found)
    }

    fn check_header(&self, b: &[u8]) -> Result<()> {
        if b.len() < 8 || &b[..8] != self.magic {
            let wanted = format!("a file that `{}` wrote", self.writer);
            return Err(self.damaged(format!("this is no {}", self.what)).expected(wanted));
        }
        if b.len() < ALIGN {
            return Err(self.damaged(format!("the file ends after {} bytes, inside its header", b.len())));
        }
        let version = number::<4>(b, 8) as u32;
        let good = number::<4>(b, 60) as u32 == crc32fast::hash(&b[..60]);
        if version != self.version && good {
            let which = if version > self.version { "a newer" } else { "an older" };
            return Err(self
                .damaged(format!("the file has format {version}, written by {which} version of quantize"))
                .expected(format!("format {}", self.version)));
        }
        if !good {
            return Err(self.damaged("the header's checksum does not fit"));
        }
        let stated = number::<8>(b, 16);
        match stated == b.len() as u64 {
            true => Ok(()),
            false => Err(self.damaged(format!("the file has {} bytes, its header says {stated}", b.len()))),
        }
    }

    fn zeros(&self, b: &[u8], range: Range<usize>) -> Result<()> {
        match b[range].iter().all(|&x| x == 0) {
            true => Ok(()),
            false => Err(self.damaged("bytes between the sections are not zero")),
        }
    }
}

/// The sections of a file whose checksums fit.
pub struct Sections {
    form: Form,
    found: Vec<(u32, Bytes)>,
}

impl Sections {
    /// The content of the first section of this kind; `name` is for the message where there is none.
    pub fn find(&self, kind: u32, name: &str) -> Result<Bytes> {
        let found = self.found.iter().find(|s| s.0 == kind).map(|s| s.1.clone());
        found.ok_or_else(|| self.form.damaged(format!("the {name} section is missing")))
    }
}

fn number<const N: usize>(b: &[u8], at: usize) -> u64 {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(&b[at..at + N]);
    u64::from_le_bytes(wide)
}
