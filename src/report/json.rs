//! `report.json`: written, and read back with a clear error.

use super::model::{Report, SCHEMA_VERSION};
use crate::base::{Diagnostic, Result, codes::report::FOREIGN};
use serde_json::Value;

/// The report as indented JSON, keys in the order of the type, with a final newline.
pub fn to_json(report: &Report) -> String {
    // the type has string keys only and no fallible serializers, so this cannot fail
    let mut text = serde_json::to_string_pretty(report).unwrap_or_default();
    text.push('\n');
    text
}

/// Reads a report of this schema version, every number to the bit.
///
/// # Errors
/// [`FOREIGN`] where the text is no JSON, no report, a report of a newer quantize, or where a field has a wrong
/// type; the last names the field.
pub fn from_json(text: &str) -> Result<Report> {
    let value: Value = serde_json::from_str(text).map_err(|e| {
        foreign(format!("the file is not JSON: {e}")).help("`quantize` writes this file as report.json")
    })?;
    check_version(&value)?;
    serde_path_to_error::deserialize(value).map_err(|e| {
        foreign(format!("the report's `{}` cannot be read: {}", e.path(), e.inner()))
            .help("the file was changed by hand or by another program; make the report again")
    })
}

/// The version must be there and be one that we know.
fn check_version(value: &Value) -> Result<()> {
    match value.get("schema_version") {
        None => {
            Err(foreign("the file is JSON, but no report of quantize: it has no `schema_version`".into()))
        }
        Some(v) => match v.as_u64() {
            Some(v) if v == u64::from(SCHEMA_VERSION) => Ok(()),
            Some(v) if v > u64::from(SCHEMA_VERSION) => {
                Err(foreign(format!("the report has schema version {v}, written by a newer quantize"))
                    .expected(format!("schema version {SCHEMA_VERSION}"))
                    .help("read it with the quantize that wrote it, or a newer one"))
            }
            _ => Err(foreign(format!("`schema_version` is {v}"))
                .expected(format!("schema version {SCHEMA_VERSION}"))),
        },
    }
}

fn foreign(what: String) -> Box<Diagnostic> {
    Diagnostic::new(FOREIGN, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use proptest::prelude::*;

    #[test]
    fn a_report_survives_the_round_trip() {
        for report in [sample::classifier(), sample::regressor(), Report::new("empty")] {
            assert!(from_json(&to_json(&report)).unwrap() == report, "{}", report.model);
        }
    }

    proptest! {
        /// Also numbers whose shortest decimal form a quick parser reads one unit off.
        #[test]
        fn written_again_it_is_the_same_bytes(seconds in proptest::num::f64::NORMAL, bytes: u64) {
            let mut report = sample::small();
            report.seconds.build = Some(seconds);
            report.size_bytes.engine = Some(bytes);
            let text = to_json(&report);
            prop_assert_eq!(to_json(&from_json(&text).unwrap()), text);
        }
    }

    #[test]
    fn the_json_is_what_it_was() {
        insta::assert_snapshot!("report.json", to_json(&sample::small()));
    }

    #[test]
    fn foreign_files_get_a_sentence() {
        let with = |key: &str, value: Value| {
            let mut v: Value = serde_json::from_str(&to_json(&sample::small())).unwrap();
            v.as_object_mut().unwrap().insert(key.into(), value);
            from_json(&v.to_string()).unwrap_err().to_string()
        };
        let said = [
            from_json("<html>").unwrap_err().to_string(),
            from_json("[1, 2]").unwrap_err().to_string(),
            with("schema_version", 999.into()),
            with("schema_version", "one".into()),
            with("coverage", serde_json::json!({ "int8_nodes": "many", "int8_macs": 1 })),
        ];
        for (message, words) in said.iter().zip([
            "not JSON",
            "no report of quantize",
            "newer quantize",
            "`schema_version` is \"one\"",
            "`coverage.int8_nodes`",
        ]) {
            assert!(message.contains(words), "{message}");
        }
    }
}
