//! Rules for names, labels, annotations and finalizers, with the sentences of apimachinery's validation package.

use crate::strategy::NameRule;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

fn lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn dashed(text: &str, edge: fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    edge(*first) && lower(*last) && bytes.iter().all(|b| lower(*b) || *b == b'-')
}

/// RFC 1123 label: all that is wrong with it.
pub fn label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(too_long(63));
    }
    if !dashed(text, lower) {
        // What would do as a subdomain is told what makes the difference.
        let dots = subdomain(text).is_empty();
        errors.push(if dots { "must not contain dots".to_owned() } else { LABEL.to_owned() });
    }
    errors
}

/// RFC 1035 label: all that is wrong with it.
pub fn label_1035(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(too_long(63));
    }
    if !dashed(text, |byte| byte.is_ascii_lowercase()) {
        errors.push(LABEL_1035.to_owned());
    }
    errors
}

/// RFC 1123 subdomain: all that is wrong with it.
pub fn subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 253 {
        errors.push(too_long(253));
    }
    if !text.split('.').all(|part| dashed(part, lower)) {
        errors.push(SUBDOMAIN.to_owned());
    }
    errors
}

/// One segment of a path: all that is wrong with it.
pub fn path_segment(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"].iter().filter(|c| text.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// The rule of a kind: all that is wrong with a name.
pub fn check(rule: NameRule, text: &str) -> Vec<String> {
    match rule {
        NameRule::Subdomain => subdomain(text),
        NameRule::Label => label(text),
        NameRule::Label1035 => label_1035(text),
        NameRule::PathSegment => path_segment(text),
    }
}

/// The rule of a kind for the fixed part of a generated name: a trailing dash is fine.
pub fn check_prefix(rule: NameRule, text: &str) -> Vec<String> {
    match text.strip_suffix('-') {
        Some(stem) if rule != NameRule::PathSegment => check(rule, &format!("{stem}a")),
        _ => check(rule, text),
    }
}

/// A qualified name (`example.com/name`): all that is wrong with it.
pub fn qualified(text: &str) -> Vec<String> {
    let (prefix, name) = match text.split_once('/') {
        None => (None, text),
        Some((_, rest)) if rest.contains('/') => {
            return vec!["a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')".to_owned()];
        }
        Some((prefix, name)) => (Some(prefix), name),
    };
    let mut errors = Vec::new();
    match prefix {
        Some("") => errors.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => errors.extend(subdomain(prefix).into_iter().map(|why| format!("prefix part {why}"))),
        None => {}
    }
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        errors.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_word(name) {
        errors.push(format!("name part {QUALIFIED}"));
    }
    errors
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    let inner = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() && bytes.iter().all(inner)
}

/// The key of a label: the first thing that is wrong with it.
pub fn label_key(text: &str) -> Result<(), String> {
    let errors = qualified(text);
    if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
}

/// The value of a label: the first thing that is wrong with it.
pub fn label_value(text: &str) -> Result<(), String> {
    if text.len() > 63 {
        return Err("must be no more than 63 bytes".to_owned());
    }
    if text.is_empty() || is_word(text) { Ok(()) } else { Err(LABEL_VALUE.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_by_their_rule() {
        assert!(subdomain("a.b-c.9").is_empty());
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", ".a"] {
            assert!(!subdomain(bad).is_empty(), "{bad}");
        }
        assert!(label("9a").is_empty() && !label("a.b").is_empty());
        assert!(label_1035("a9").is_empty() && !label_1035("9a").is_empty());
        assert!(path_segment("system:x").is_empty() && !path_segment("a/b").is_empty());
        assert!(check_prefix(NameRule::Subdomain, "web-").is_empty());
    }

    #[test]
    fn qualified_names_may_have_one_prefix() {
        assert!(qualified("example.com/Name_1.x").is_empty());
        for bad in ["", "/x", "a/b/c", "Example.com/x", "x/", "-x"] {
            assert!(!qualified(bad).is_empty(), "{bad}");
        }
        assert!(label_value("").is_ok() && label_value("a b").is_err());
    }
}
