//! Payloads whose texts are no Unicode: read as Tekton's sink reads them, in Go.
//!
//! Writers cut texts in the middle of a character, and programs in UTF-16 write one half of it (`\ud83e`). Go's
//! `encoding/json` puts U+FFFD in the place of each such half and of each byte that is no UTF-8; an event is not refused for
//! it. What is kept is the payload as it was read.

use aphex_cel::mended_json;
use bytes::Bytes;
use serde_json::Value;

/// Reads JSON; gives it with the text that it was read from.
pub fn read(json: Bytes) -> serde_json::Result<(Value, Bytes)> {
    // Text is checked in one go, and not string by string.
    let read =
        std::str::from_utf8(&json).map_or_else(|_| serde_json::from_slice(&json), serde_json::from_str);
    match read {
        Ok(value) => Ok((value, json)),
        Err(error) => {
            let Some(mended) = mended_json(&json) else { return Err(error) };
            Ok((serde_json::from_slice(&mended)?, mended.into()))
        }
    }
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
