//! What a command has found, shown as aligned text or as JSON.

use serde_json::{Map, Value};
use std::fmt::{self, Write};

/// Text for people, and the value behind it for programs.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    text: String,
    value: Value,
}

impl Cell {
    /// A value and how people read it.
    pub fn new(text: impl Into<String>, value: impl Into<Value>) -> Self {
        Cell { text: text.into(), value: value.into() }
    }

    /// Bytes: `44.7 MB`.
    pub fn bytes(n: u64) -> Self {
        Cell::new(crate::report::words::bytes(Some(n)), n)
    }

    /// A count: `1,234`.
    pub fn count(n: u64) -> Self {
        Cell::new(crate::report::words::count(n), n)
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        let text = text.into();
        Cell { value: Value::from(text.clone()), text }
    }
}

/// Rows under headings. Numbers align to the right, text to the left.
#[derive(Clone, Debug)]
pub struct Table {
    key: &'static str,
    /// What stands above it in text, if not the key.
    title: Option<String>,
    columns: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table. `key` names it in JSON and stands above it in text; `columns` are keys and headings.
    pub fn new(key: &'static str, columns: &'static [&'static str]) -> Self {
        Table { key, title: None, columns, rows: Vec::new() }
    }

    /// The table under another title.
    pub fn titled(mut self, title: &str) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Adds a row with one cell per column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn to_json(&self) -> Value {
        let row = |cells: &Vec<Cell>| {
            let pairs = self.columns.iter().zip(cells).map(|(k, c)| (k.replace(' ', "_"), c.value.clone()));
            Value::Object(pairs.collect())
        };
        self.rows.iter().map(row).collect()
    }
}

/// Facts, tables and sentences, in this order.
#[derive(Clone, Debug, Default)]
pub struct Page {
    facts: Vec<(&'static str, Cell)>,
    tables: Vec<Table>,
    notes: Vec<String>,
}

impl Page {
    /// Adds a fact.
    pub fn fact(&mut self, key: &'static str, cell: impl Into<Cell>) {
        self.facts.push((key, cell.into()));
    }

    /// Adds a fact that may be unknown; then it is left out.
    pub fn maybe(&mut self, key: &'static str, cell: Option<impl Into<Cell>>) {
        if let Some(cell) = cell {
            self.fact(key, cell);
        }
    }

    /// Adds a table; an empty one is left out of the text.
    pub fn table(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// Adds a sentence.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// The page as text, or as JSON.
    pub fn render(&self, json: bool) -> String {
        if json { format!("{:#}\n", self.to_json()) } else { self.to_string() }
    }

    fn to_json(&self) -> Value {
        let facts = self.facts.iter().map(|(k, c)| (k.replace(' ', "_"), c.value.clone()));
        let tables = self.tables.iter().map(|t| (t.key.replace(' ', "_"), t.to_json()));
        let mut all: Map<String, Value> = facts.chain(tables).collect();
        if !self.notes.is_empty() {
            all.insert("notes".into(), self.notes.clone().into());
        }
        Value::Object(all)
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.facts.iter().map(|(k, _)| k.len()).max().unwrap_or(0);
        for (key, cell) in &self.facts {
            writeln!(f, "{key:width$}  {}", cell.text)?;
        }
        let mut blank = !self.facts.is_empty();
        for table in self.tables.iter().filter(|t| !t.rows.is_empty()) {
            write!(f, "{}{table}", if blank { "\n" } else { "" })?;
            blank = true;
        }
        for (i, note) in self.notes.iter().enumerate() {
            writeln!(f, "{}{note}", if blank && i == 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chars = |s: &str| s.chars().count();
        let cells = |i: usize| self.rows.iter().filter_map(move |r| r.get(i));
        let columns = self.columns.iter().enumerate();
        let widths: Vec<usize> =
            columns.map(|(i, c)| cells(i).map(|x| chars(&x.text)).max().unwrap_or(0).max(chars(c))).collect();
        let right: Vec<bool> =
            (0..widths.len()).map(|i| cells(i).all(|c| c.value.is_number() || c.value.is_null())).collect();
        let line = |texts: &[&str]| {
            let mut line = String::from(" ");
            for ((text, width), right) in texts.iter().zip(&widths).zip(&right) {
                let _ = match right {
                    true => write!(line, " {text:>width$} "),
                    false => write!(line, " {text:<width$} "),
                };
            }
            line.trim_end().to_string()
        };
        writeln!(f, "{}", self.title.as_deref().unwrap_or(self.key))?;
        writeln!(f, "{}", line(self.columns))?;
        for row in &self.rows {
            writeln!(f, "{}", line(&row.iter().map(|c| c.text.as_str()).collect::<Vec<_>>()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_aligned_and_json_has_the_values() {
        let mut page = Page::default();
        page.fact("model", "resnet");
        page.fact("size", Cell::bytes(1500));
        let mut table = Table::new("steps", &["name", "time us"]);
        table.row(["conv".into(), Cell::new("7", 7)]);
        table.row(["add".into(), Cell::new("10", 10)]);
        page.table(table);
        page.note("That is all.");
        assert_eq!(
            page.render(false),
            "model  resnet\nsize   1.5 kB\n\nsteps\n  name  time us\n  conv        7\n  add        10\n\nThat is all.\n"
        );
        let json: Value = serde_json::from_str(&page.render(true)).unwrap();
        assert_eq!(json["size"], 1500);
        assert_eq!(json["steps"][1]["time_us"], 10);
    }
}
