//! JSON whose texts are no Unicode, mended as Go's `encoding/json` reads it.
//!
//! Writers cut texts in the middle of a character, and programs in UTF-16 write one half of it (`\ud83e`). Go puts U+FFFD
//! in the place of each such half and of each byte that is no UTF-8.

/// What stands for what cannot be read, in UTF-8 and as an escape.
const UNKNOWN: &[u8] = "\u{fffd}".as_bytes();
const UNKNOWN_ESCAPED: &[u8] = br"\ufffd";
/// How long an escape of four digits is.
const ESCAPE: usize = 6;

/// The JSON with Unicode in its texts; nothing where it is so already.
///
/// ```
/// assert_eq!(aphex_cel::mended_json(br#""\ud83e""#).as_deref(), Some(br#""\ufffd""#.as_slice()));
/// ```
pub fn mended_json(json: &[u8]) -> Option<Vec<u8>> {
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
