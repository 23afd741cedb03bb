//! Payloads whose texts are no Unicode: read as Tekton's sink reads them, in Go.
//!
//! Writers cut texts in the middle of a character, and programs in UTF-16 write one half of it (`\ud83e`). Go's
//! `encoding/json` puts U+FFFD in the place of each such half and of each byte that is no UTF-8; an event is not refused for
//! it. What is kept is the payload as it was read, which may be up to three times as large, and no larger than any other.

use aphex_cel::mended_json;
use bytes::Bytes;
use serde_json::Value;
use thiserror::Error;

use super::MAX_BODY;
use crate::response::Answer;

/// A payload cannot be read.
#[derive(Debug, Error)]
pub enum Unread {
    /// It is no JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// What was read would be refused wherever it is read again.
    #[error("in Unicode it is larger than 25 MiB")]
    TooLarge,
}

impl From<Unread> for Answer {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Json(_) => Self::Payload,
            Unread::TooLarge => Self::TooLarge,
        }
    }
}

/// Reads JSON; gives it with the text that it was read from, which has at most 25 MiB.
pub fn read(json: Bytes) -> Result<(Value, Bytes), Unread> {
    // A form's fields may be larger as JSON than they came.
    if json.len() > MAX_BODY {
        return Err(Unread::TooLarge);
    }
    // Text is checked in one go, and not string by string.
    let read =
        std::str::from_utf8(&json).map_or_else(|_| serde_json::from_slice(&json), serde_json::from_str);
    match read {
        Ok(value) => Ok((value, json)),
        Err(error) => {
            let Some(mended) = mended_json(&json) else { return Err(error.into()) };
            if mended.len() > MAX_BODY {
                return Err(Unread::TooLarge);
            }
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
    fn what_grows_beyond_the_largest_payload_is_too_large() {
        let cut = |bytes: usize| [b"{\"a\": \"", vec![0xff; bytes].as_slice(), b"\"}"].concat();
        let most = (MAX_BODY - cut(0).len()) / "\u{fffd}".len();
        assert_eq!(text(&cut(most)).chars().count(), most);
        let refused = read(cut(most + 1).into());
        assert!(matches!(refused, Err(Unread::TooLarge)), "{refused:?}");
        assert_eq!(refused.map_err(Answer::from), Err(Answer::TooLarge));
        let plain = |bytes: usize| [b"{\"a\": \"", vec![b'x'; bytes].as_slice(), b"\"}"].concat();
        assert!(read(plain(MAX_BODY - cut(0).len()).into()).is_ok());
        assert!(matches!(read(plain(MAX_BODY).into()), Err(Unread::TooLarge)));
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
