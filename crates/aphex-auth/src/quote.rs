//! Quoting as Go's `%q` does it: Kubernetes' messages are compared literally by clients and tests.

use std::fmt::Write;

/// A string in double quotes, escaped as Go's `strconv.Quote` escapes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        escape(c, &mut out);
    }
    out.push('"');
    out
}

/// A list of quoted strings as Go prints a `[]string` with `%q`.
pub(crate) fn quoted_list<S: AsRef<str>>(items: &[S]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item.as_ref())).collect();
    format!("[{}]", items.join(" "))
}

fn escape(c: char, out: &mut String) {
    let short = match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{07}' => "\\a",
        '\u{08}' => "\\b",
        '\u{0c}' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\u{0b}' => "\\v",
        _ => "",
    };
    if !short.is_empty() {
        out.push_str(short);
    } else if (c as u32) < 0x20 || c as u32 == 0x7f {
        // Writing into a String cannot fail.
        let _ = write!(out, "\\x{:02x}", c as u32);
    } else if printable(c) {
        out.push(c);
    } else if (c as u32) < 0x1_0000 {
        let _ = write!(out, "\\u{:04x}", c as u32);
    } else {
        let _ = write!(out, "\\U{:08x}", c as u32);
    }
}

/// Whether the character stands for itself: Rust's own escaping knows Unicode's printable ranges.
fn printable(c: char) -> bool {
    c == ' ' || c == '\'' || (!c.is_whitespace() && c.escape_debug().len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        for (text, want) in [
            ("alice", r#""alice""#),
            ("o'neil", r#""o'neil""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("tab\tnul\0bell\u{7}del\u{7f}", r#""tab\tnul\x00bell\adel\x7f""#),
            ("grüße", r#""grüße""#),
            ("zero\u{200b}width", r#""zero\u200bwidth""#),
            ("nbsp\u{a0}", r#""nbsp\u00a0""#),
        ] {
            assert_eq!(quoted(text), want);
        }
        assert_eq!(quoted_list(&["a", "b c"]), r#"["a" "b c"]"#);
        assert_eq!(quoted_list::<&str>(&[]), "[]");
    }
}
