//! Protobuf bodies as Kubernetes' own Go client writes them, recorded with what they mean in JSON
//! (`cargo xtask protobuf`): every kind, with all fields, with fields that are zero, and with none.

use std::io::{BufRead as _, BufReader};

use aphex_apiserver::input::protobuf::decode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::Value;

static BODIES: &[u8] = include_bytes!("../data/protobuf/bodies.jsonl.gz");

/// What JSON can say of nothing in two ways: `null`, or not at all.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// The first places where two values differ.
fn differences(path: &str, got: &Value, wanted: &Value, found: &mut Vec<String>) {
    match (got, wanted) {
        (Value::Object(got), Value::Object(wanted)) => {
            let mut fields: Vec<_> = got.keys().chain(wanted.keys()).collect();
            fields.sort();
            fields.dedup();
            for field in fields {
                let side = |map: &serde_json::Map<String, Value>| map.get(field).cloned().unwrap_or_default();
                differences(&format!("{path}.{field}"), &side(got), &side(wanted), found);
            }
        }
        (Value::Array(got), Value::Array(wanted)) if got.len() == wanted.len() => {
            for (index, (got, wanted)) in got.iter().zip(wanted).enumerate() {
                differences(&format!("{path}[{index}]"), got, wanted, found);
            }
        }
        _ if got != wanted => found.push(format!("{path}: got {got}, wanted {wanted}")),
        _ => {}
    }
}

#[test]
fn every_body_means_what_its_json_means() {
    let (mut count, mut found) = (0, Vec::new());
    for line in BufReader::new(GzDecoder::new(BODIES)).lines() {
        let body: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let what = format!("{} {} ({})", body["apiVersion"], body["kind"], body["how"]);
        let bytes = STANDARD.decode(body["protobuf"].as_str().unwrap()).unwrap();
        let (mut got, mut wanted) = (decode(&bytes).unwrap(), body["json"].clone());
        without_nulls(&mut got);
        without_nulls(&mut wanted);
        differences(&what, &got, &wanted, &mut found);
        count += 1;
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found[..found.len().min(40)].join("\n"));
    assert!(count > 200, "{count} bodies");
}
