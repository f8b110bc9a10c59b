//! The JSON Schema of `report.json`, made from the type.

use super::Report;
use schemars::Schema;

/// The schema (draft 2020-12) that every report.json of this version satisfies.
pub fn schema() -> Schema {
    schemars::schema_for!(Report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{sample, to_json};
    use serde_json::Value;

    fn value(report: &Report) -> Value {
        serde_json::from_str(&to_json(report)).unwrap()
    }

    #[test]
    fn reports_satisfy_the_schema_and_others_do_not() {
        let schema = serde_json::to_value(schema()).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        for report in [sample::classifier(), sample::regressor(), Report::new("empty")] {
            let errors: Vec<String> = validator.iter_errors(&value(&report)).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}");
        }
        assert!(!validator.is_valid(&serde_json::json!({ "schema_version": 1 })));
        let mut wrong = value(&sample::small());
        wrong["layers"][0]["precision"] = "int9".into();
        assert!(!validator.is_valid(&wrong));
    }

    /// The names that other programs read, present in every report of a classifier.
    const STABLE: &[&str] = &[
        "/schema_version",
        "/model",
        "/verdict",
        "/accuracy/n",
        "/accuracy/reference/top1",
        "/accuracy/reference/top5",
        "/accuracy/engine/top1",
        "/accuracy/engine/top5",
        "/accuracy/drop_top1",
        "/accuracy/agreement_top1",
        "/accuracy/mean_kl",
        "/coverage/int8_nodes",
        "/coverage/int8_macs",
        "/layers/0/name",
        "/layers/0/op",
        "/layers/0/precision",
        "/layers/0/reason",
        "/layers/0/sqnr_db",
        "/layers/0/time_us",
        "/latency_ms/reference/min",
        "/latency_ms/reference/mean",
        "/latency_ms/reference/median",
        "/latency_ms/reference/p90",
        "/latency_ms/reference/p95",
        "/latency_ms/reference/p99",
        "/latency_ms/engine/min",
        "/latency_ms/engine/mean",
        "/latency_ms/engine/median",
        "/latency_ms/engine/p90",
        "/latency_ms/engine/p95",
        "/latency_ms/engine/p99",
        "/size_bytes/model",
        "/size_bytes/engine",
        "/memory_bytes/arena",
        "/memory_bytes/activations_sum",
        "/memory_bytes/peak_rss",
        "/seconds/import",
        "/seconds/reference",
        "/seconds/calibrate",
        "/seconds/build",
        "/seconds/evaluate",
        "/seconds/report",
    ];

    #[test]
    fn every_stable_key_is_there() {
        let classifier = value(&sample::classifier());
        for key in STABLE {
            assert!(classifier.pointer(key).is_some(), "{key}");
        }
        // what was not measured is null, not absent
        let empty = value(&Report::new("empty"));
        for key in
            ["/accuracy", "/latency_ms/engine", "/size_bytes/engine", "/memory_bytes/arena", "/seconds/build"]
        {
            assert_eq!(empty.pointer(key), Some(&Value::Null), "{key}");
        }
    }
}
