//! Rules as kube-apiserver judges them when they are written: types, costs, `oldSelf`, messages.
//!
//! `facts/expressions.json` holds schemas and expressions, `facts/expressions.answers.json.gz` what kube-apiserver
//! 1.35.4 answered to each, in the same order. With `APHEX_TEST_KUBECONFIG` and `kubectl` the answers are asked for
//! again and compared; with `APHEX_RECORD=1` beside it they are written down.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path as File;
use std::process::{Child, Command, Stdio};

use aphex_schema::structural;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::facts;

const CORPUS: &str = include_str!("facts/expressions.json");
const ANSWERS: &[u8] = include_bytes!("facts/expressions.answers.json.gz");
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All";

/// What we do not tell as the real server does, and why.
const DIFFERENCES: &[(&str, &str)] =
    &[("google.protobuf.Duration{seconds: 1} == self.dur", "there are no protobuf messages here")];

type Causes = Vec<Vec<String>>;

#[test]
fn rules_are_refused_with_the_causes_of_the_real_server() {
    let answers = recorded();
    let cases = cases();
    assert_eq!(cases.len(), answers.len(), "record the answers anew: the corpus has changed");
    let mut differences = Vec::new();
    let mut excused = 0;
    for (case, wanted) in cases.iter().zip(answers) {
        let errors = structural::parse(&case.schema).err().unwrap_or_default();
        let found = facts::anonymous(facts::causes(errors));
        if found == wanted {
            continue;
        }
        if DIFFERENCES.iter().any(|(rule, _)| case.shown.contains(rule)) {
            excused += 1;
        } else {
            differences.push(format!("{}\n  found  {found:?}\n  wanted {wanted:?}", case.shown));
        }
    }
    facts::assert_all(&differences);
    assert_eq!(excused, DIFFERENCES.len(), "a difference is gone: take it off the list");
}

#[test]
fn recorded_answers_are_those_of_the_live_server() {
    let Some(kubeconfig) = std::env::var_os("APHEX_TEST_KUBECONFIG") else {
        // Not `println!`: the harness would swallow it.
        let _ = writeln!(std::io::stdout().lock(), "left out: APHEX_TEST_KUBECONFIG names no API server");
        return;
    };
    let server = Proxy::start(&kubeconfig);
    let answers: Vec<Causes> = cases().iter().map(|case| server.answer(&case.schema)).collect();
    if std::env::var_os("APHEX_RECORD").is_some() {
        let path = File::new(env!("CARGO_MANIFEST_DIR")).join("tests/facts/expressions.answers.json.gz");
        let file = std::fs::File::create(path).unwrap();
        let mut packed = GzEncoder::new(file, flate2::Compression::best());
        packed.write_all(serde_json::to_string(&answers).unwrap().as_bytes()).unwrap();
        packed.finish().unwrap();
        return;
    }
    let cases = cases();
    let wrong = cases.iter().zip(recorded()).zip(answers).filter(|((_, recorded), live)| recorded != live);
    let differences: Vec<String> =
        wrong.map(|((case, recorded), live)| format!("{}: {recorded:?} is {live:?}", case.shown)).collect();
    facts::assert_all(&differences);
}

struct Case {
    schema: Value,
    shown: String,
}

/// Every case: a schema of the corpus with rules put in their places.
fn cases() -> Vec<Case> {
    let corpus: Value = serde_json::from_str(CORPUS).unwrap();
    let mut cases = Vec::new();
    for group in corpus["groups"].as_array().unwrap() {
        let schema = &corpus["schemas"][group["schema"].as_str().unwrap()];
        let each = group["each"].as_array().map(Vec::as_slice).unwrap_or_default();
        for rule in each {
            let rules = json!({ group["at"].as_str().unwrap(): [{ "rule": rule }] });
            cases.push(case(schema, &rules, &Value::Null));
        }
        if group["each"].is_null() {
            cases.push(case(schema, &group["rules"], &group["edit"]));
        }
    }
    cases
}

fn case(schema: &Value, rules: &Value, edits: &Value) -> Case {
    let mut schema = schema.clone();
    for (at, edit) in edits.as_object().into_iter().flatten() {
        *node(&mut schema, at) = edit.clone();
    }
    for (at, rules) in rules.as_object().unwrap() {
        node(&mut schema, at)["x-kubernetes-validations"] = rules.clone();
    }
    Case { schema, shown: rules.to_string() }
}

/// The node at a path of schema keys.
fn node<'v>(schema: &'v mut Value, at: &str) -> &'v mut Value {
    at.split('/').filter(|key| !key.is_empty()).fold(schema, |node, key| &mut node[key])
}

fn recorded() -> Vec<Causes> {
    serde_json::from_reader(GzDecoder::new(ANSWERS)).unwrap()
}

/// `kubectl proxy`, which signs in for us.
struct Proxy {
    child: Child,
    address: String,
}

impl Proxy {
    fn start(kubeconfig: &std::ffi::OsStr) -> Self {
        let mut child = Command::new("kubectl")
            .args(["proxy", "--port=0"])
            .env("KUBECONFIG", kubeconfig)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        Self { child, address }
    }

    /// The causes for which a definition with this schema is refused; none if it is accepted.
    fn answer(&self, schema: &Value) -> Causes {
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": "rules.facts.example.com" },
            "spec": {
                "group": "facts.example.com", "scope": "Namespaced",
                "names": { "plural": "rules", "singular": "rule", "kind": "Rule", "listKind": "RuleList" },
                "versions": [
                    { "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } },
                ],
            },
        });
        let body = definition.to_string();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "POST {DEFINITIONS} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        if status["kind"] != "Status" {
            return Vec::new();
        }
        let causes = status["details"]["causes"].as_array().unwrap();
        let text = |cause: &Value, key: &str| cause[key].as_str().unwrap_or_default().to_owned();
        let mut causes: Causes = causes
            .iter()
            .map(|cause| vec![text(cause, "reason"), text(cause, "field"), text(cause, "message")])
            .collect();
        causes.sort();
        facts::anonymous(causes)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_schema_as_it_was_stored_is_not_refused_for_the_cost_of_one_rule() {
    let dear = json!({ "type": "object", "properties": { "spec": {
        "type": "object", "properties": { "text": { "type": "string" }, "list": { "type": "array", "items": { "type": "string" } } },
        "x-kubernetes-validations": [{ "rule": "self.list.all(text, text == 'a' || text == 'b' || text == 'c' || text == 'd')" }],
    } } });
    let of = |unchanged| {
        let options = structural::Options { unchanged, ..structural::Options::default() };
        structural::parse_at(&dear, &options).err().unwrap_or_default()
    };
    let refused = of(false);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].detail.starts_with("estimated rule cost exceeds budget by factor of "), "{refused:?}");
    assert!(of(true).is_empty());
}
