//! CEL expressions, written by tenants, over payloads, written by strangers.
#![no_main]

use aphex_cel::{Environment, Limits, Value};
use aphex_fuzz::texts;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some([expression, body]) = texts(data) else { return };
    let Ok(program) = Environment::triggers().compile(expression, &["body", "header"]) else { return };
    let body = serde_json::from_str(body).unwrap_or_default();
    let header = serde_json::json!({ "X-Github-Event": ["push"] });
    let bindings = [("body", Value::from_json_doubles(&body)), ("header", Value::from_json(&header))];
    let limits = Limits::with_cost(100_000);
    let evaluation = program.evaluate_traced(&bindings, &limits, &[]);
    let again = program.evaluate_measured(&bindings, &limits);
    assert_eq!(evaluation.cost, again.cost, "the cost of an expression does not depend on chance");
    assert_eq!(evaluation.result.is_ok(), again.result.is_ok());
});
