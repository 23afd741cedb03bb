//! What makes a text valid under a named format, with the words of `k8s.io/apimachinery` v0.35.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const LABEL_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const SUBDOMAIN_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const OLD_LABEL_FORMAT: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const OLD_LABEL_RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const NAME_FORMAT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const NAME_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

fn rule(message: &str, format: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{format}')", examples.join(" or "))
}

fn too_long(text: &str, limit: usize, unit: &str) -> Option<String> {
    (text.len() > limit).then(|| format!("must be no more than {limit} {unit}"))
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Whether all bytes are of a kind, and those at the ends of a stricter one.
fn framed(text: &str, ends: impl Fn(u8) -> bool, middle: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    ends(*first) && ends(*last) && bytes.iter().all(|byte| middle(*byte))
}

fn is_label(text: &str) -> bool {
    framed(text, is_lower, |byte| is_lower(byte) || byte == b'-')
}

fn is_name(text: &str) -> bool {
    framed(
        text,
        |byte| byte.is_ascii_alphanumeric(),
        |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
    )
}

pub(super) fn dns1123_label(text: &str) -> Vec<String> {
    let mut reasons: Vec<String> = too_long(text, 63, "characters").into_iter().collect();
    if !is_label(text) {
        // A name that only has dots too many gets the plainer advice.
        reasons.push(if text.split('.').all(is_label) {
            "must not contain dots".to_owned()
        } else {
            rule(LABEL_RULE, LABEL_FORMAT, &["my-name", "123-abc"])
        });
    }
    reasons
}

pub(super) fn dns1123_subdomain(text: &str) -> Vec<String> {
    subdomain(text, "characters")
}

fn subdomain(text: &str, unit: &str) -> Vec<String> {
    let mut reasons: Vec<String> = too_long(text, 253, unit).into_iter().collect();
    if !text.split('.').all(is_label) {
        reasons.push(rule(SUBDOMAIN_RULE, SUBDOMAIN_FORMAT, &["example.com"]));
    }
    reasons
}

pub(super) fn dns1035_label(text: &str) -> Vec<String> {
    let mut reasons: Vec<String> = too_long(text, 63, "characters").into_iter().collect();
    if !is_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        reasons.push(rule(OLD_LABEL_RULE, OLD_LABEL_FORMAT, &["my-name", "abc-123"]));
    }
    reasons
}

pub(super) fn qualified_name(text: &str) -> Vec<String> {
    let examples = ["MyName", "my.name", "123-abc"];
    let mut reasons = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => name,
        ["", name] => {
            reasons.push("prefix part must be non-empty".to_owned());
            name
        }
        [prefix, name] => {
            reasons
                .extend(subdomain(prefix, "bytes").into_iter().map(|reason| format!("prefix part {reason}")));
            name
        }
        _ => {
            let rule = rule(NAME_RULE, NAME_FORMAT, &examples);
            return vec![format!(
                "a valid label key {rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        reasons.push("name part must be non-empty".to_owned());
    } else if let Some(reason) = too_long(name, 63, "bytes") {
        reasons.push(format!("name part {reason}"));
    }
    if !is_name(name) {
        reasons.push(format!("name part {}", rule(NAME_RULE, NAME_FORMAT, &examples)));
    }
    reasons
}

pub(super) fn label_value(text: &str) -> Vec<String> {
    let mut reasons: Vec<String> = too_long(text, 63, "bytes").into_iter().collect();
    if !text.is_empty() && !is_name(text) {
        let format = format!("({NAME_FORMAT})?");
        reasons.push(rule(VALUE_RULE, &format, &["MyValue", "my_value", "12345"]));
    }
    reasons
}

/// A prefix of a generated name may end in a dash.
pub(super) fn masked(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            // The character before the dash goes too, as in Kubernetes.
            let mut kept: Vec<char> = rest.chars().collect();
            kept.pop();
            kept.into_iter().chain(['a']).collect()
        }
        _ => text.to_owned(),
    }
}

pub(super) fn is_uuid(text: &str) -> bool {
    let mut rest = text;
    for (at, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if at > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let Some((group, after)) = rest.split_at_checked(length) else { return false };
        if !group.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

pub(super) fn is_base64(text: &str) -> bool {
    !text.is_empty() && STANDARD.decode(text).is_ok()
}

pub(super) fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

pub(super) fn is_datetime(text: &str) -> bool {
    let shape = text.len() >= 20 && text.is_ascii() && !text.contains(['[', ',']);
    let text = text.replacen([' ', 't'], "T", 1).replace('z', "Z");
    shape && text.as_bytes()[10] == b'T' && text.parse::<jiff::Timestamp>().is_ok()
}
