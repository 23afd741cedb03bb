//! Values written as Go writes them: `%q`, `%v` and `encoding/json`. Messages on the wire contain all three.

use std::fmt::Write;

use serde_json::{Number, Value};

/// A string as `strconv.Quote` gives it.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => push(&mut out, format_args!("\\x{:02x}", c as u32)),
            c if c.is_control() || is_blank(c) => push(&mut out, format_args!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Spaces other than U+0020 are not printable to Go.
fn is_blank(c: char) -> bool {
    c != ' ' && c.is_whitespace()
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = out.write_fmt(text);
}

/// An offending value as a field error shows it: numbers plain, strings quoted, the rest as JSON.
pub fn value(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Number(number) => display_number(number),
        other => json(other),
    }
}

/// A number as `%v` gives it.
pub fn display_number(number: &Number) -> String {
    match number.as_i64() {
        Some(whole) => whole.to_string(),
        None => display_float(number.as_f64().unwrap_or_default()),
    }
}

/// A float64 as `%v` gives it: the shortest digits, an exponent below 1e-4 and from 1e6.
pub fn display_float(number: f64) -> String {
    float(number, 1e-4, 1e6)
}

fn float(number: f64, smallest: f64, largest: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (smallest..largest).contains(&size) {
        return format!("{number}");
    }
    // Rust writes 1e21, Go 1e+21; Go's exponent has at least two digits.
    let text = format!("{number:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, power) = match exponent.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{power:0>2}")
}

/// A value as `encoding/json` marshals it: keys sorted, `<`, `>` and `&` escaped.
pub fn json(value: &Value) -> String {
    let mut out = String::new();
    marshal(value, &mut out);
    out
}

fn marshal(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => marshal_text(text, out),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => push(out, format_args!("{whole}")),
            // encoding/json writes 1e-7 where fmt writes 1e-07.
            None => {
                out.push_str(&float(number.as_f64().unwrap_or_default(), 1e-6, 1e21).replace("e-0", "e-"));
            }
        },
        Value::Array(list) => {
            out.push('[');
            for (index, element) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                marshal(element, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, element)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                marshal_text(key, out);
                out.push(':');
                marshal(element, out);
            }
            out.push('}');
        }
        plain => push(out, format_args!("{plain}")),
    }
}

fn marshal_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => push(out, format_args!("\\u{:04x}", c as u32)),
            c if (c as u32) < 0x20 => push(out, format_args!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_follows_strconv() {
        assert_eq!(quote("a\n\u{1}\u{a0}é\u{7f}"), r#""a\n\x01\u00a0é\x7f""#);
    }

    #[test]
    fn floats_switch_to_an_exponent_where_go_does() {
        for (number, text) in [
            (1.5, "1.5"),
            (2.0, "2"),
            (1e21, "1e+21"),
            (0.000_01, "1e-05"),
            (1e20, "1e+20"),
            (999_999.5, "999999.5"),
            (1_234_567.5, "1.2345675e+06"),
        ] {
            assert_eq!(display_float(number), text);
        }
        assert_eq!(json(&serde_json::json!(0.000_01)), "0.00001");
        assert_eq!(json(&serde_json::json!(0.000_000_1)), "1e-7");
    }
}
