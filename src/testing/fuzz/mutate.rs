//! Mutations of files: what a fuzzer without coverage does.

use crate::base::random::SplitMix64;

/// A source of mutated files, the same for the same seed.
pub struct Mutator {
    random: SplitMix64,
}

/// Texts and numbers that readers trip over.
const TOKENS: &[&[u8]] = &[
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff\x0f",
    b"\0\0\0\0\0\0\0\x80",
    b"18446744073709551615",
    b"-9223372036854775808",
    b"1e308",
    b"-1",
    b"NaN",
    b"inf",
    b"[[[[[[[[[[[[[[[[",
    b"{a: {a: {a: {a: ",
    b"&a [*a, *a]",
    b"\"\\u0000\"",
    b"\n",
    b": ",
    "\u{feff}é\u{10ffff}".as_bytes(),
];

impl Mutator {
    /// A mutator with this seed.
    pub fn new(seed: u64) -> Self {
        Mutator { random: SplitMix64::new(seed) }
    }

    /// One of the files after a few mutations.
    pub fn next(&mut self, files: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = files[self.random.below(files.len())].clone();
        for _ in 0..1 + self.random.below(4) {
            let other = &files[self.random.below(files.len())];
            self.mutate(&mut bytes, other);
        }
        bytes
    }

    /// A range of `n` bytes, mostly a short one.
    fn range(&mut self, n: usize) -> std::ops::Range<usize> {
        let start = self.random.below(n + 1);
        let most = if self.random.below(4) == 0 { n } else { 16 };
        start..start + self.random.below(most.min(n - start) + 1)
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        if bytes.is_empty() {
            return bytes.extend_from_slice(other);
        }
        let at = self.random.below(bytes.len());
        match self.random.below(8) {
            0 => bytes[at] ^= 1 << self.random.below(8),
            1 => bytes[at] = self.random.next_u64() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(self.range(bytes.len()))),
            4 => {
                let copy = bytes[self.range(bytes.len())].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            5 => {
                let part = &other[self.range(other.len())];
                drop(bytes.splice(at..at, part.iter().copied()));
            }
            6 => {
                let token = TOKENS[self.random.below(TOKENS.len())];
                drop(bytes.splice(at..at, token.iter().copied()));
            }
            _ => {
                let token = TOKENS[self.random.below(TOKENS.len())];
                let end = bytes.len().min(at + token.len());
                drop(bytes.splice(at..end, token.iter().copied()));
            }
        }
    }
}
