//! The text form of graphs, read. [`super::print`] describes it.

use super::array::Array;
use super::attrs::{Attr, Attrs, Check};
use super::graph::{ChannelScales, Fact, Graph, Node, Value, ValueId};
use super::ops::Op;
use super::precision::Precision;
use super::print::is_plain;
use crate::base::codes::model::MALFORMED;
use crate::base::nearest::nearest;
use crate::base::quant::{QuantParams, Scale};
use crate::base::{DType, Diagnostic, Place, Result, Shape, Tensor};
use serde::de::DeserializeOwned;
use std::collections::HashMap;

impl Graph {
    /// The graph of a text. Names, types and numbers are checked; whether the graph makes sense is for
    /// [`Graph::verify`] to say.
    ///
    /// # Errors
    /// With line and column, where the text is not as [`super::print`] describes it.
    pub fn parse(text: &str) -> Result<Graph> {
        let mut p = Parser { text, at: 0, graph: Graph::default(), values: HashMap::new() };
        match p.statements() {
            Ok(()) => Ok(p.graph),
            Err(what) => Err(Diagnostic::new(MALFORMED, what).at(place(text, p.at))),
        }
    }
}

/// Line and column of a byte of `text`.
fn place(text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or("").chars().count();
    let shown = text.lines().nth(line).unwrap_or("").chars().take(200).collect();
    Place::File { path: "graph text".into(), position: Some((line + 1, column + 1)), line: Some(shown) }
}

struct Parser<'a> {
    text: &'a str,
    /// The byte to read next; where it stands when something fails is where the error is.
    at: usize,
    graph: Graph,
    values: HashMap<String, ValueId>,
}

// Words and punctuation.
impl<'a> Parser<'a> {
    /// What is left, after spaces.
    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start_matches([' ', '\t', '\r']);
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Check<()> {
        match self.eat(token) {
            true => Ok(()),
            false => Err(format!("`{token}` is expected here")),
        }
    }

    /// Eats a whole word.
    fn keyword(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let found = rest.strip_prefix(word).is_some_and(|r| !r.starts_with(is_plain));
        if found {
            self.at += word.len();
        }
        found
    }

    /// A plain word; a colon at its end is punctuation.
    fn word(&mut self) -> Check<&'a str> {
        let rest = self.rest();
        let word = rest[..rest.find(|c| !is_plain(c)).unwrap_or(rest.len())].trim_end_matches(':');
        self.at += word.len();
        if word.is_empty() { Err("a name is expected here".into()) } else { Ok(word) }
    }

    fn name(&mut self) -> Check<String> {
        if self.rest().starts_with('"') { self.json("a quoted name") } else { Ok(self.word()?.to_string()) }
    }

    fn json<T: DeserializeOwned>(&mut self, what: &str) -> Check<T> {
        let rest = self.rest();
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter();
        let value = stream.next().and_then(|v| v.ok()).ok_or_else(|| format!("{what} is expected here"))?;
        self.at += stream.byte_offset();
        Ok(value)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Check<T> {
        let start = self.at;
        let word = self.word().map_err(|_| "a number is expected here")?;
        word.parse().map_err(|_| {
            self.at = start;
            format!("`{word}` is no such number as is expected here")
        })
    }

    /// Items between brackets, with commas.
    fn list<T>(&mut self, [open, close]: [&str; 2], item: impl Fn(&mut Self) -> Check<T>) -> Check<Vec<T>> {
        self.expect(open)?;
        let mut items = Vec::new();
        if self.eat(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if !self.eat(",") {
                self.expect(close)?;
                return Ok(items);
            }
        }
    }
}

const ROUND: [&str; 2] = ["(", ")"];
const SQUARE: [&str; 2] = ["[", "]"];

// Types and numbers.
impl Parser<'_> {
    fn fact(&mut self) -> Check<Fact> {
        let dtype: DType = self.word()?.parse()?;
        let shape = Shape(self.list(SQUARE, Self::number)?);
        match shape.checked_numel() {
            Some(_) => Ok(Fact { dtype, shape }),
            None => Err(format!("a tensor of {shape} is too large")),
        }
    }

    fn tensor(&mut self, fact: &Fact) -> Check<Tensor> {
        let start = self.at;
        let (dtype, shape) = (fact.dtype, fact.shape.clone());
        let wrong = |n: usize| format!("{n} numbers for {dtype}{}", fact.shape);
        let fits = |n: usize| if n == fact.shape.numel() { Ok(()) } else { Err(wrong(n)) };
        let array = match dtype {
            DType::F64 => {
                let v: Vec<f64> = self.list(SQUARE, Self::number)?;
                fits(v.len()).map(|_| Array::real(shape, v))
            }
            d if d.is_float() => {
                let v: Vec<f32> = self.list(SQUARE, Self::number)?;
                fits(v.len()).map(|_| Array::real(shape, v.into_iter().map(f64::from).collect()))
            }
            _ => {
                let v: Vec<i64> = self.list(SQUARE, Self::number)?;
                fits(v.len()).map(|_| Array::int(shape, v))
            }
        };
        array.map(|a| a.to_tensor(dtype)).inspect_err(|_| self.at = start)
    }

    fn scale(&mut self) -> Check<Scale> {
        Scale::try_from(self.number::<f32>()?)
    }

    fn attr(&mut self) -> Check<Attr> {
        let rest = self.rest();
        if rest.starts_with('"') {
            return Ok(Attr::Str(self.json("a quoted word")?));
        }
        if rest.starts_with('[') {
            let items = self.list(SQUARE, |p| Ok(p.word()?.to_string()))?;
            let ints: std::result::Result<Vec<i64>, _> = items.iter().map(|i| i.parse()).collect();
            let floats = || items.iter().map(|i| i.parse().map_err(|_| format!("`{i}` is no number")));
            return Ok(match ints {
                Ok(ints) => Attr::Ints(ints),
                Err(_) => Attr::Floats(floats().collect::<Check<_>>()?),
            });
        }
        let start = self.at;
        let word = self.word()?;
        if self.text[self.at..].starts_with('[') {
            self.at = start;
            let fact = self.fact()?;
            return Ok(Attr::Tensor(self.tensor(&fact)?));
        }
        let int = word.parse().map(Attr::Int).ok();
        Ok(int.or(word.parse().map(Attr::Float).ok()).unwrap_or_else(|| Attr::Str(word.into())))
    }

    /// `%name: type` and what may follow it.
    fn definition(&mut self) -> Check<Value> {
        self.expect("%")?;
        let name = self.name()?;
        self.expect(":")?;
        let mut value = Value::new(name, self.fact()?);
        while self.eat("@") {
            match self.word()? {
                "channels" => {
                    self.expect("(axis=")?;
                    let axis = self.number()?;
                    self.expect(",")?;
                    self.expect("scales=")?;
                    value.channels = Some(ChannelScales { axis, scales: self.list(SQUARE, Self::scale)? });
                    self.expect(")")?;
                }
                "folded" => value.folded = self.list(ROUND, Self::name)?,
                word => {
                    let dtype: DType = word.parse()?;
                    if !dtype.is_int8() {
                        return Err(format!("values are quantized to i8 or u8, not to {dtype}"));
                    }
                    self.expect("(scale=")?;
                    let scale = self.scale()?;
                    self.expect(",")?;
                    self.expect("zero=")?;
                    let zero = if dtype == DType::I8 {
                        self.number::<i8>()?.into()
                    } else {
                        self.number::<u8>()?.into()
                    };
                    value.quant = Some(QuantParams { dtype, scale, zero_point: zero });
                    self.expect(")")?;
                }
            }
        }
        Ok(value)
    }
}

// Statements.
impl Parser<'_> {
    fn statements(&mut self) -> Check<()> {
        loop {
            if self.eat("\n") {
                continue;
            }
            if self.rest().is_empty() {
                return Ok(());
            }
            self.statement()?;
            if !self.rest().is_empty() {
                self.expect("\n").map_err(|_| "the end of the line is expected here")?;
            }
        }
    }

    fn statement(&mut self) -> Check<()> {
        if self.keyword("graph") {
            self.graph.name = self.name()?;
        } else if self.keyword("input") {
            let value = self.definition()?;
            let id = self.define(value)?;
            self.graph.inputs.push(id);
        } else if self.keyword("const") {
            let mut value = self.definition()?;
            if self.rest().starts_with('#') {
                return Err("the constant is abbreviated; only the full form can be read".into());
            }
            self.expect("=")?;
            value.constant = Some(self.tensor(&value.fact.clone())?);
            self.define(value)?;
        } else if self.keyword("output") {
            let value = self.value()?;
            self.graph.outputs.push(value);
            let name = if self.keyword("as") { self.name()? } else { self.graph.value(value).name.clone() };
            self.graph.output_names.push(name);
        } else if self.rest().starts_with('%') {
            self.node()?;
        } else {
            return Err("graph, input, const, output or a node is expected here".into());
        }
        Ok(())
    }

    fn define(&mut self, value: Value) -> Check<ValueId> {
        let name = value.name.clone();
        let id = self.graph.add_value(value);
        match self.values.insert(name.clone(), id) {
            Some(_) => Err(format!("%{name} is defined twice")),
            None => Ok(id),
        }
    }

    fn value(&mut self) -> Check<ValueId> {
        let start = self.at;
        self.expect("%")?;
        let name = self.name()?;
        self.values.get(&name).copied().ok_or_else(|| {
            self.at = start;
            let near = nearest(&name, self.values.keys().map(String::as_str));
            let hint = near.map_or(String::new(), |n| format!("; did you mean %{n}?"));
            format!("%{name} is not defined{hint}")
        })
    }

    fn node(&mut self) -> Check<()> {
        let mut outputs = Vec::new();
        loop {
            outputs.push(self.definition()?);
            if !self.eat(",") {
                break;
            }
        }
        self.expect("=")?;
        let start = self.at;
        let kind = self.word()?;
        self.expect("(")?;
        let mut inputs = Vec::new();
        while !self.eat(")") {
            if !inputs.is_empty() {
                self.expect(",")?;
            }
            inputs.push(self.value()?);
        }
        let mut attrs = Attrs::new();
        if self.rest().starts_with('{') {
            for (name, attr) in self.list(["{", "}"], |p| {
                let name = p.word()?.to_string();
                p.expect("=")?;
                Ok((name, p.attr()?))
            })? {
                attrs = attrs.with(&name, attr);
            }
        }
        let end = std::mem::replace(&mut self.at, start);
        let op = Op::parse(kind, attrs)?;
        self.at = end;
        self.expect("#")?;
        let mut node = Node::new(self.name()?, op, inputs, Vec::new());
        if self.keyword("from") {
            node.origin = self.list(SQUARE, Self::name)?;
        }
        for (word, int8) in [("int8", true), ("float", false)] {
            if self.keyword(word) {
                node.precision = Some(Precision { int8, reason: self.json("a reason")? });
            }
        }
        for value in outputs {
            node.outputs.push(self.define(value)?);
        }
        self.graph.add_node(node);
        Ok(())
    }
}
