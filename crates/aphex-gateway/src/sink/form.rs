//! Forms: GitHub's second content type, with the JSON in the field `payload`, and those of others such as Slack.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderValue;

/// Fields of a form that are read. Slack sends a dozen, and each takes many times its text in memory.
const MOST_FIELDS: usize = 10_000;

/// Whether a content type is a form (true) or JSON (false); anything else is nothing.
///
/// JSON has many names (RFC 6839, section 3.1), `application/cloudevents+json` among them.
pub fn is_form(content_type: Option<&HeaderValue>) -> Option<bool> {
    let text = content_type?.to_str().ok()?;
    match text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Some(false),
        "application/x-www-form-urlencoded" => Some(true),
        other if other.starts_with("application/") && other.ends_with("+json") => Some(false),
        _ => None,
    }
}

/// The decoded value of the form's field `payload`.
pub fn payload(body: &[u8]) -> Option<Bytes> {
    let field = body.split(|byte| *byte == b'&').find_map(|field| field.strip_prefix(b"payload="))?;
    decode(field).map(Into::into)
}

/// Whether a form has more fields than are read.
pub fn has_too_many(body: &[u8]) -> bool {
    body.split(|byte| *byte == b'&').count() > MOST_FIELDS
}

/// The form as a JSON object, each field a list of its values, as Tekton's sink writes it for Slack's forms.
///
/// Tekton leaves a form with one field as it is, which then is no JSON; here it is an object as well.
pub fn fields(body: &[u8]) -> Option<Bytes> {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for field in body.split(|byte| *byte == b'&').filter(|field| !field.is_empty()) {
        let (name, value) = match field.iter().position(|byte| *byte == b'=') {
            Some(at) => (&field[..at], &field[at + 1..]),
            None => (field, &[][..]),
        };
        let text = |bytes| String::from_utf8(decode(bytes)?).ok();
        fields.entry(text(name)?).or_default().push(text(value)?);
    }
    serde_json::to_vec(&fields).ok().filter(|_| !fields.is_empty()).map(Into::into)
}

fn decode(field: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(field.len());
    let mut bytes = field.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high << 4 | low).ok()?
            }
            byte => byte,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_field_is_decoded() {
        let decoded =
            |body: &str| payload(body.as_bytes()).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        assert_eq!(decoded("payload=%7B%22a%22%3A+1%7D").as_deref(), Some("{\"a\": 1}"));
        assert_eq!(decoded("x=1&payload=%E7%83%88&y=2").as_deref(), Some("烈"));
        assert_eq!(decoded("payload="), Some(String::new()));
        for wrong in ["", "x=1", "payload=%7", "payload=%zz", "xpayload=1"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn another_form_is_an_object_of_lists() {
        let read =
            |body: &str| fields(body.as_bytes()).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        let expected = r#"{"command":["/deploy"],"text":["to+all","烈"],"x":[""]}"#;
        assert_eq!(read("text=to%2Ball&command=%2Fdeploy&text=%E7%83%88&x").as_deref(), Some(expected));
        for wrong in ["", "&", "a=%", "a=%ff"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_form_has_so_many_fields_and_no_more() {
        assert!(!has_too_many("a=1&".repeat(MOST_FIELDS - 1).as_bytes()));
        assert!(has_too_many("a=1&".repeat(MOST_FIELDS).as_bytes()));
    }

    #[test]
    fn two_content_types_are_known() {
        let kind = |text: &str| is_form(Some(&HeaderValue::from_str(text).unwrap()));
        assert_eq!(kind("application/json"), Some(false));
        assert_eq!(kind("Application/JSON; charset=utf-8"), Some(false));
        assert_eq!(kind("application/x-www-form-urlencoded"), Some(true));
        assert_eq!(kind("application/cloudevents+json; charset=UTF-8"), Some(false));
        assert_eq!(kind("application/Problem+JSON"), Some(false));
        for other in ["text/plain", "text/x+json", "application/json+xml", "application/xjson"] {
            assert_eq!(kind(other), None, "{other}");
        }
        assert_eq!(is_form(None), None);
    }
}
