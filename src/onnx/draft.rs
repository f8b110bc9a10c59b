//! A node on its way from the file into the graph.

use super::attrs;
use super::dialect;
use super::external::ExternalData;
use super::proto::{ModelProto, NodeProto};
use crate::base::Result;
use crate::ir::Attrs;
use std::collections::{HashMap, HashSet};

/// A node of the file, its attributes read, its name made unique.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub name: String,
    /// The operator: its ONNX type, in today's terms once [`super::dialect`] has seen it.
    pub kind: String,
    /// The operator as the file has it, for messages: `Foo (opset 13)`, `Bar (com.acme opset 1)`.
    pub shown: String,
    /// The version of its operator set.
    pub opset: i64,
    /// Names of the values it reads; an absent one is empty. No empty one at the end.
    pub inputs: Vec<String>,
    /// Names of the values it writes; an absent one is empty.
    pub outputs: Vec<String>,
    pub attrs: Attrs,
    /// What stands in the way of importing it, if anything is known already.
    pub refused: Option<String>,
}

/// Makes drafts: knows the model's operator sets, its local functions and the names given so far.
pub(super) struct Drafter {
    opsets: HashMap<String, i64>,
    functions: HashSet<(String, String)>,
    names: HashSet<String>,
}

/// The standard operators' domain has two spellings.
pub(super) fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

impl Drafter {
    pub(super) fn new(model: &ModelProto) -> Self {
        let opsets = model.opset_import.iter().map(|o| (domain(&o.domain).to_string(), o.version));
        let functions = model.functions.iter().map(|f| (domain(&f.domain).to_string(), f.name.clone()));
        Drafter { opsets: opsets.collect(), functions: functions.collect(), names: HashSet::new() }
    }

    /// The draft of node number `index` of the file.
    pub(super) fn draft(
        &mut self,
        n: &NodeProto,
        index: usize,
        external: &mut ExternalData,
    ) -> Result<Draft> {
        let domain = domain(&n.domain);
        let opset = self.opsets.get(domain).copied().unwrap_or(0);
        let (attrs, refused) = attrs::read(n, external)?;
        let mut inputs = n.input.clone();
        while inputs.last().is_some_and(String::is_empty) {
            inputs.pop();
        }
        let kind = dialect::standard(domain, &n.op_type).filter(|k| dialect::is_known(k));
        Ok(Draft {
            name: self.unique(if n.name.is_empty() {
                format!("{}_{index}", n.op_type)
            } else {
                n.name.clone()
            }),
            kind: kind.clone().unwrap_or_else(|| n.op_type.clone()),
            shown: format!("{} ({}opset {opset})", n.op_type, spaced(domain)),
            opset,
            inputs,
            outputs: n.output.clone(),
            attrs,
            refused: self.refusal(n, domain, kind.is_some(), &refused),
        })
    }

    fn refusal(&self, n: &NodeProto, domain: &str, known: bool, attributes: &[String]) -> Option<String> {
        if self.functions.contains(&(domain.to_string(), n.op_type.clone())) {
            return Some("is a function of the model itself; inline it (`onnx.inliner`)".into());
        }
        match attributes {
            _ if !known => Some("the operator is not supported".into()),
            [] => None,
            [one] => Some(format!("{one} is not supported")),
            many => Some(format!("{} are not supported", many.join(", "))),
        }
    }

    /// A name that no node has yet: this one, or with a number behind it.
    pub(super) fn unique(&mut self, wanted: String) -> String {
        let (mut name, mut i) = (wanted.clone(), 2);
        while !self.names.insert(name.clone()) {
            name = format!("{wanted}_{i}");
            i += 1;
        }
        name
    }
}

fn spaced(domain: &str) -> String {
    if domain.is_empty() { String::new() } else { format!("{domain} ") }
}
