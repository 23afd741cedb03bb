//! Times, ids and numbers in running text and in tables.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

const VALUE: &str = "Invalid value: ";

/// Letters that Kubernetes completes names with.
const SUFFIX: &str = "[bcdfghjklmnpqrstvwxz2456789]{5}";

/// What is looked for and what stands for it, in order.
const PLACES: &[(&str, &str)] = &[
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)", "<microtime>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", "<time>"),
    (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "<time>"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4}( UTC)?", "<time>"),
    (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "<token>"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
    (r#"(?m)^(\s*"?(?:metadata\.)?resourceVersion"?: ")[1-9]\d*""#, r#"${1}<version>""#),
    (r"\b10\.96\.\d+\.\d+\b( *)", "<cluster-ip>   "),
    (r"(LIVE|MERGED)-\d+", "$1"),
    (r"kubectl-edit-\d+", "kubectl-edit"),
    (r"X509SHA256=[0-9a-f]+", "X509SHA256=<hash>"),
    (r"\?hash=[0-9A-F]+", "?hash=<hash>"),
    (r"(?s)-----BEGIN CERTIFICATE-----.*-----END CERTIFICATE-----", "<certificate>"),
    (r"(?m)^( *Resource Version: +)\d+$", "$1<version>"),
    (r"(the ResourceVersion in record \()\d+", "$1<version>"),
    (r#"(\\?"resourceVersion\\?":\\?")[1-9]\d*"#, "$1<version>"),
    (r":3[0-2]\d{3}/", ":<port>/"),
    (r"nodePort: 3[0-2]\d{3}\b", "nodePort: <port>"),
    (r"(?m)(^|[ :(])(\d+m)?\d+s( ago\b|[ )]|$) *", "$1<age>$3   "),
    (r"[EWI]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ ([\w.]+:)\d+\]", "<log> $1"),
    (r"too old resource version: \d+ \(\d+\)", "too old resource version: <version> (<version>)"),
    (r"(Too large resource version: \d+, current: )\d+", "$1<version>"),
];

static COMPILED: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let compiled = PLACES.iter().filter_map(|(pattern, name)| Some((Regex::new(pattern).ok()?, *name)));
    compiled.collect()
});

/// The comparable form of a text.
pub(crate) fn normal(text: &str) -> String {
    let mut text = sorted_limits(&sorted_values(text));
    for (pattern, name) in COMPILED.iter() {
        if pattern.is_match(&text) {
            text = pattern.replace_all(&text, *name).into_owned();
        }
    }
    if text.starts_with("NAME") { columns(&text) } else { text }
}

/// A table whose columns are apart by three blanks, however wide the longest cell was.
fn columns(text: &str) -> String {
    text.lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .fold(String::new(), |row, cell| row + cell + "   ")
                .trim_end()
                .to_owned()
                + "\n"
        })
        .collect()
}

/// Values in messages, `Invalid value: …`, with their fields in the order of the alphabet: Go prints some in the
/// order of its types.
pub(crate) fn sorted_values(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(VALUE) {
        let (before, after) = rest.split_at(at + VALUE.len());
        out.push_str(before);
        let mut values = serde_json::Deserializer::from_str(after).into_iter::<Value>();
        let found = values.next().and_then(Result::ok);
        let end = values.byte_offset();
        rest = match found {
            Some(Value::String(inner)) => match serde_json::from_str::<Value>(&inner) {
                Ok(value @ (Value::Object(_) | Value::Array(_))) => {
                    out.push_str(&Value::String(value.to_string()).to_string());
                    &after[end..]
                }
                _ => after,
            },
            Some(value @ (Value::Object(_) | Value::Array(_))) => {
                out.push_str(&value.to_string());
                &after[end..]
            }
            _ => after,
        };
    }
    out + rest
}

/// What a LimitRange refuses, in the order of the alphabet: Go walks its limits in any order.
pub(crate) fn sorted_limits(text: &str) -> String {
    static LIST: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\[((?:minimum|maximum|\S+ max limit to request ratio) [^\]]*)\]").ok());
    let Some(list) = LIST.as_ref() else { return text.to_owned() };
    let sorted = list.replace_all(text, |found: &Captures<'_>| {
        // A refusal says what is allowed, a comma, and what was asked for.
        let joined = found[1].replace(", but ", "\0");
        let mut refusals: Vec<String> = joined.split(", ").map(|one| one.replace('\0', ", but ")).collect();
        refusals.sort();
        format!("[{}]", refusals.join(", "))
    });
    sorted.into_owned()
}

/// Puts one name for the completion of names that begin so.
pub(crate) fn generated(text: &str, prefix: &str) -> String {
    let Ok(pattern) = Regex::new(&format!("{}{SUFFIX}", regex::escape(prefix))) else {
        return text.to_owned();
    };
    pattern.replace_all(text, |_: &Captures<'_>| format!("{prefix}<name>")).into_owned()
}

#[test]
fn every_pattern_compiles() {
    assert_eq!(COMPILED.len(), PLACES.len());
}

#[test]
fn values_in_messages_are_sorted() {
    let text = r#"a: Invalid value: [{"b":1,"a":2}]: no, c: Invalid value: "{\"y\":1,\"x\":2}": no"#;
    let wanted = r#"a: Invalid value: [{"a":2,"b":1}]: no, c: Invalid value: "{\"x\":2,\"y\":1}": no"#;
    assert_eq!(sorted_values(text), wanted);
}

#[test]
fn refusals_of_limits_are_sorted() {
    let text = "no: [minimum cpu usage per Container is 1, but request is 0, maximum memory usage per Pod is 1Gi.  \
                No limit is specified, cpu max limit to request ratio per Container is 2, but provided ratio is 3]";
    let wanted = "no: [cpu max limit to request ratio per Container is 2, but provided ratio is 3, maximum memory \
                  usage per Pod is 1Gi.  No limit is specified, minimum cpu usage per Container is 1, but request is 0]";
    assert_eq!(normal(text), wanted);
    assert_eq!(normal("kept: [b, a]"), "kept: [b, a]");
}

#[test]
fn what_differs_between_clusters_gets_a_name() {
    let cases = [
        ("NAME   AGE\na      12s\nb      1m5s\n", "NAME   AGE\na   <age>\nb   <age>\n"),
        ("at 2026-11-26T06:39:19Z or 2026-11-26T06:39:19.123456Z", "at <time> or <microtime>"),
        ("  uid: 6f1c1e0a-94e4-4b1e-8c5e-0f2d6a0c9b11", "  uid: <uid>"),
        ("  resourceVersion: \"12\"\n", "  resourceVersion: \"<version>\"\n"),
        ("ip   10.96.12.1    80:30123/TCP", "ip   <cluster-ip>   80:<port>/TCP"),
        ("terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 30"),
    ];
    for (text, wanted) in cases {
        assert_eq!(normal(text), wanted);
    }
    assert_eq!(generated("pod/web-x7k2p created", "web-"), "pod/web-<name> created");
}
