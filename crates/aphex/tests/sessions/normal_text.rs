//! Times, ids and numbers in running text and in tables.

use std::sync::LazyLock;

use regex::{Captures, Regex};

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
    (r"\b10\.96\.\d+\.\d+\b *", "<cluster-ip> "),
    (r"(LIVE|MERGED)-\d+", "$1"),
    (r":3[0-2]\d{3}/", ":<port>/"),
    (r"(?m)(^|[ :(])(\d+m)?\d+s( ago\b|[ )\n]|$) *", "$1<age>$3"),
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
    let mut text = text.to_owned();
    for (pattern, name) in COMPILED.iter() {
        if pattern.is_match(&text) {
            text = pattern.replace_all(&text, *name).into_owned();
        }
    }
    text
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
fn what_differs_between_clusters_gets_a_name() {
    let cases = [
        ("NAME   AGE\na      12s\nb      1m5s\n", "NAME   AGE\na      <age>\nb      <age>\n"),
        ("at 2026-11-26T06:39:19Z or 2026-11-26T06:39:19.123456Z", "at <time> or <microtime>"),
        ("  uid: 6f1c1e0a-94e4-4b1e-8c5e-0f2d6a0c9b11", "  uid: <uid>"),
        ("  resourceVersion: \"12\"\n", "  resourceVersion: \"<version>\"\n"),
        ("ip   10.96.12.1    80:30123/TCP", "ip   <cluster-ip> 80:<port>/TCP"),
        ("terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 30"),
    ];
    for (text, wanted) in cases {
        assert_eq!(normal(text), wanted);
    }
    assert_eq!(generated("pod/web-x7k2p created", "web-"), "pod/web-<name> created");
}
