//! The reference of all keys, made of the schema's doc comments: JSON Schema for editors, Markdown for people.

use super::de::keys_of;
use super::schema::{self, Schema};
use serde_json::Value;
use std::fmt::Write;

/// The JSON Schema of a configuration, pretty-printed.
pub fn json_schema() -> String {
    format!("{:#}\n", schemars::schema_for!(Schema).as_value())
}

/// The reference page: every key in the order of its declaration, with type, default and meaning.
pub fn markdown() -> String {
    let root: Value = schemars::schema_for!(Schema).into();
    let mut page = String::from(
        "# Configuration\n\nPaths are relative to the folder of the configuration file, entries of a list file to the \
         list, paths on the command line (`--set` too) to the working directory. `${NAME}` in a path stands for \
         an environment variable. Any key can be set on the command line: `--set calibration.samples=100`.\n",
    );
    section(&root, &root, "", &mut page);
    page
}

/// The keys of each group, in the order of their declaration: JSON objects are sorted by name.
fn declared(title: &str) -> &'static [&'static str] {
    match title {
        "Schema" => keys_of::<Schema>(),
        "Cpu" => keys_of::<schema::Cpu>(),
        "Model" => keys_of::<schema::Model>(),
        "Preprocess" => keys_of::<schema::Preprocess>(),
        "Data" => keys_of::<schema::Data>(),
        "Calibration" => keys_of::<schema::Calibration>(),
        "Evaluation" => keys_of::<schema::Evaluation>(),
        "Gate" => keys_of::<schema::Gate>(),
        "Precision" => keys_of::<schema::Precision>(),
        "Rule" => keys_of::<schema::Rule>(),
        "Build" => keys_of::<schema::Build>(),
        "TrtCache" => keys_of::<schema::TrtCache>(),
        "Output" => keys_of::<schema::Output>(),
        _ => &[],
    }
}

/// The table of a group, then those of the groups in it.
fn section(root: &Value, group: &Value, path: &str, page: &mut String) {
    let title = group["title"].as_str().unwrap_or_default();
    let heading = if path.is_empty() { "Top level".to_string() } else { format!("`{path}`") };
    let about = group["description"].as_str().unwrap_or_default();
    let _ = write!(
        page,
        "\n## {heading}\n\n{}\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n",
        one_line(about)
    );
    let mut inner = Vec::new();
    for key in declared(title) {
        let property = &group["properties"][*key];
        let target = target(root, property);
        let required =
            group["required"].as_array().is_some_and(|r| r.iter().any(|n| n.as_str() == Some(*key)));
        let is_group = !declared(target.1).is_empty() && target.0["properties"].is_object();
        let default = match &property["default"] {
            _ if required => "required".to_string(),
            Value::Null => "–".into(),
            _ if is_group => "–".into(),
            v if v.as_str() == Some("") => "–".into(),
            v => format!("`{}`", v.to_string().trim_matches('"')),
        };
        let meaning = property["description"].as_str().or(target.0["description"].as_str());
        let _ = writeln!(
            page,
            "| `{key}` | {} | {default} | {} |",
            type_words(root, property).replace('|', "\\|"),
            one_line(meaning.unwrap_or_default()).replace('|', "\\|")
        );
        if is_group && !(path.contains('.') && target.1 == "Preprocess") {
            let dot = if path.is_empty() { "" } else { "." };
            let list = if property["type"] == "array" { "[]" } else { "" };
            inner.push((format!("{path}{dot}{key}{list}"), target));
        }
    }
    for (path, (group, title)) in inner {
        let mut group = group.clone();
        group["title"] = title.into();
        section(root, &group, &path, page);
    }
}

/// The schema that a property refers to, behind `$ref`, `anyOf` with null, and lists; and its name.
fn target<'a>(root: &'a Value, property: &'a Value) -> (&'a Value, &'a str) {
    let of_list = if property["type"] == "array" { &property["items"] } else { property };
    let options = of_list["anyOf"].as_array();
    let chosen = options.and_then(|o| o.iter().find(|v| v["$ref"].is_string())).unwrap_or(of_list);
    match chosen["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
        Some(name) => (&root["$defs"][name], name),
        None => (chosen, ""),
    }
}

fn type_words(root: &Value, property: &Value) -> String {
    if let Some(options) = property["anyOf"].as_array() {
        let words: Vec<String> =
            options.iter().filter(|o| o["type"] != "null").map(|o| type_words(root, o)).collect();
        return words.join(" or ");
    }
    if property["$ref"].is_string() {
        return type_words(root, target(root, property).0);
    }
    if let Some(variants) = property["oneOf"].as_array().filter(|_| property["properties"].is_null()) {
        return variants.iter().map(variant_words).collect::<Vec<_>>().join(", ");
    }
    if let Some(names) = property["enum"].as_array() {
        return names
            .iter()
            .map(|n| format!("`{}`", n.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let kind = match &property["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|k| *k != "null").unwrap_or(""),
        kind => kind.as_str().unwrap_or(""),
    };
    match kind {
        "string" => "text".into(),
        "integer" => "whole number".into(),
        "boolean" => "true or false".into(),
        "array" => format!("list of {}", type_words(root, &property["items"])),
        "object" => "group".into(),
        other => other.into(),
    }
}

/// One choice of an enum: its name, or the key that it is written under.
fn variant_words(variant: &Value) -> String {
    let name = variant["const"].as_str().map(str::to_string);
    let key = variant["properties"].as_object().and_then(|p| p.keys().next().map(|k| format!("{k}: ..")));
    format!("`{}`", name.or(key).unwrap_or_default())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
