//! Lines and words of the cache's text, with the place of what is wrong in them.

use crate::base::codes::calibration::DAMAGED_CACHE;
use crate::base::digest::Digest;
use crate::base::quant::Range;
use crate::base::{Diagnostic, Place, Result};
use std::path::Path;
use std::str::{FromStr, Split};

/// A text, read line by line.
pub struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    /// The byte at which the next line begins.
    at: usize,
    /// The number of the line read last, from 1, and its text.
    last: (usize, &'a str),
}

impl<'a> Reader<'a> {
    /// At the beginning of `text`.
    pub fn new(text: &'a str, path: &'a Path) -> Self {
        Reader { path, text, at: 0, last: (0, "") }
    }

    /// The number of the line read last, from 1.
    pub fn number(&self) -> usize {
        self.last.0
    }

    /// The first word of the next line.
    pub fn peek(&self) -> &'a str {
        self.ahead().split(' ').next().unwrap_or_default()
    }

    /// The next line without its end; empty at the end of the text.
    pub fn next(&mut self) -> &'a str {
        let line = self.ahead();
        self.at = (self.at + line.len() + 1).min(self.text.len());
        self.last = (self.last.0 + 1, line);
        line
    }

    /// The next line, which must begin with the word `key`.
    pub fn line(&mut self, key: &str) -> Result<Line<'a>> {
        let at_end = self.at == self.text.len();
        let mut words = self.next().split(' ');
        let line = |words| Line { path: self.path, number: self.last.0, text: self.last.1, words };
        match words.next() {
            Some(word) if word == key => Ok(line(words)),
            _ if at_end => Err(self.damaged(format!("the file ends where a line `{key} ...` was expected"))),
            _ => Err(self.damaged(format!("expected a line `{key} ...`"))),
        }
    }

    /// The bytes read since byte `from`, see [`Reader::position`].
    pub fn since(&self, from: usize) -> &'a [u8] {
        &self.text.as_bytes()[from..self.at]
    }

    /// The byte at which the next line begins.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The error that the line read last is wrong.
    pub fn damaged(&self, what: impl Into<String>) -> Box<Diagnostic> {
        damaged(self.path, self.last, what.into())
    }

    fn ahead(&self) -> &'a str {
        self.text[self.at..].split('\n').next().unwrap_or_default()
    }
}

/// What is left of a line.
pub struct Line<'a> {
    path: &'a Path,
    number: usize,
    text: &'a str,
    words: Split<'a, char>,
}

impl<'a> Line<'a> {
    /// The next word.
    pub fn word<T: FromStr>(&mut self) -> Result<T> {
        let word = self.words.next().unwrap_or_default();
        word.parse().map_err(|_| self.wrong(format!("`{word}` is not what belongs there")))
    }

    /// The word after the word `key`.
    pub fn after<T: FromStr>(&mut self, key: &str) -> Result<T> {
        match self.words.next() {
            Some(word) if word == key => self.word(),
            _ => Err(self.wrong(format!("the word `{key}` is missing"))),
        }
    }

    /// The word after the word `key`, where the line does not end before it.
    pub fn perhaps<T: FromStr>(&mut self, key: &str) -> Result<Option<T>> {
        match self.words.clone().next() {
            Some(_) => self.after(key).map(Some),
            None => Ok(None),
        }
    }

    /// The only word left.
    pub fn only<T: FromStr>(mut self) -> Result<T> {
        let value = self.word()?;
        self.end()?;
        Ok(value)
    }

    /// Nothing is left.
    pub fn end(mut self) -> Result<()> {
        match self.words.next() {
            Some(word) => Err(self.wrong(format!("`{word}` and what follows do not belong there"))),
            None => Ok(()),
        }
    }

    /// All words left.
    pub fn all<T: FromStr>(mut self) -> Result<Vec<T>> {
        let n = self.words.clone().count();
        (0..n).map(|_| self.word()).collect()
    }

    /// A digest, and nothing more.
    pub fn digest(self) -> Result<Digest> {
        let wrong = self.wrong("expected a digest of 64 hex digits");
        Digest::try_from(self.only::<String>()?).map_err(|_| wrong)
    }

    /// A name in double quotes: the rest of the line.
    pub fn name(self) -> Result<String> {
        let rest = self.text.split_once(' ').map_or("", |(_, rest)| rest);
        serde_json::from_str(rest).map_err(|_| self.wrong("expected a name in double quotes"))
    }

    /// Two ends of a range.
    pub fn range(&mut self) -> Result<Range> {
        let (lo, hi): (f32, f32) = (self.word()?, self.word()?);
        match lo.is_finite() && hi.is_finite() && lo <= 0.0 && hi >= 0.0 {
            true => Ok(Range { lo, hi }),
            false => Err(self.wrong("a range must be finite and hold 0")),
        }
    }

    /// The error that this line is wrong.
    pub fn wrong(&self, what: impl Into<String>) -> Box<Diagnostic> {
        damaged(self.path, (self.number, self.text), what.into())
    }
}

/// The error that a line, given with its number, is wrong.
pub fn damaged(path: &Path, (number, text): (usize, &str), what: String) -> Box<Diagnostic> {
    let line: String = text.chars().take(80).collect();
    let place = Place::File { path: path.to_path_buf(), position: Some((number, 1)), line: Some(line) };
    Diagnostic::new(DAMAGED_CACHE, format!("the calibration cache is damaged: {what}"))
        .at(place)
        .help("delete the file to calibrate again; its statistics cannot be repaired")
}
