//! Payloads whose texts are no Unicode: read as Tekton's sink reads them, in Go.
//!
//! Writers cut texts in the middle of a character, and programs in UTF-16 write one half of it (`\ud83e`). Go's
//! `encoding/json` puts U+FFFD in the place of each such half and of each byte that is no UTF-8; an event is not refused for
//! it. What is kept is the payload as it was read.

use bytes::Bytes;
use serde_json::Value;

/// What stands for what cannot be read, in UTF-8 and as an escape.
const UNKNOWN: &[u8] = "\u{fffd}".as_bytes();
const UNKNOWN_ESCAPED: &[u8] = br"\ufffd";
/// How long an escape of four digits is.
const ESCAPE: usize = 6;

/// Reads JSON; gives it with the text that it was read from.
pub fn read(json: Bytes) -> serde_json::Result<(Value, Bytes)> {
    // Text is checked in one go, and not string by string.
    let read =
        std::str::from_utf8(&json).map_or_else(|_| serde_json::from_slice(&json), serde_json::from_str);
    match read {
        Ok(value) => Ok((value, json)),
        Err(error) => {
            let Some(mended) = mended(&json) else { return Err(error) };
            Ok((serde_json::from_slice(&mended)?, mended.into()))
        }
    }
}

/// The text in Unicode; nothing where it is already.
fn mended(json: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(json.len());
    for chunk in json.utf8_chunks() {
        text.extend_from_slice(chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            text.extend_from_slice(UNKNOWN);
        }
    }
    let mut mended = Vec::with_capacity(text.len());
    let mut rest = text.as_slice();
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        mended.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        // Any other escape takes the byte behind the backslash along, which may be another backslash.
        let (length, kept) = match unit(rest) {
            Some(0xd800..=0xdbff) if matches!(unit(&rest[ESCAPE..]), Some(0xdc00..=0xdfff)) => {
                (2 * ESCAPE, true)
            }
            Some(0xd800..=0xdfff) => (ESCAPE, false),
            Some(_) => (ESCAPE, true),
            None => (2.min(rest.len()), true),
        };
        let (escape, behind) = rest.split_at(length);
        mended.extend_from_slice(if kept { escape } else { UNKNOWN_ESCAPED });
        rest = behind;
    }
    mended.extend_from_slice(rest);
    (mended != json).then_some(mended)
}

/// The unit of UTF-16 that a text begins with as an escape.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.get(..ESCAPE)?.strip_prefix(br"\u")?;
    let digits =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &[u8]) -> String {
        let (value, kept) = read(Bytes::copy_from_slice(json)).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), value);
        value["a"].as_str().unwrap().to_owned()
    }

    #[test]
    fn halves_of_characters_are_read_as_go_reads_them() {
        // Each was given to encoding/json of Go.
        let cases: [(&[u8], &str); 9] = [
            (br#"{"a": "\ud83e\udd80"}"#, "🦀"),
            (br#"{"a": "\ud83e"}"#, "\u{fffd}"),
            (br#"{"a": "\udd80\ud83e"}"#, "\u{fffd}\u{fffd}"),
            (br#"{"a": "\ud83ex\u0041"}"#, "\u{fffd}xA"),
            (br#"{"a": "\ud83e\ud83e\udd80"}"#, "\u{fffd}🦀"),
            (br#"{"a": "\ud83e\\udd80"}"#, "\u{fffd}\\udd80"),
            (br#"{"a": "\\ud83e \ud83e"}"#, "\\ud83e \u{fffd}"),
            (b"{\"a\": \"x\xff\"}", "x\u{fffd}"),
            (b"{\"a\": \"\xe2\x82\"}", "\u{fffd}\u{fffd}"),
        ];
        for (json, expected) in cases {
            assert_eq!(text(json), expected, "{}", String::from_utf8_lossy(json));
        }
    }

    #[test]
    fn what_is_no_json_for_another_reason_stays_so() {
        for json in ["{", r#"{"a": "\ud83e"#, r#"{"a": "\ud83"}"#, r#"{"a": "\u"}"#, "{\"a\": \"\n\"}", "\\"]
        {
            assert!(read(Bytes::copy_from_slice(json.as_bytes())).is_err(), "{json}");
        }
        let plain = Bytes::from_static(br#" {"a" : 1} "#);
        assert_eq!(read(plain.clone()).unwrap().1, plain, "a text that can be read is kept byte for byte");
    }
}
