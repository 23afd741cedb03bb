//! Times as Go's `time.Parse` takes them, and its complaints.

/// The layout of `metav1.Time`.
pub(super) const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
/// The layout of `metav1.MicroTime`.
pub(super) const MICROSECONDS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// One element of a layout: its text there, its digits, its range and its name.
const ELEMENTS: &[(&str, usize, std::ops::RangeInclusive<u32>, &str)] = &[
    ("2006", 4, 0..=9999, "year"),
    ("-", 0, 0..=0, ""),
    ("01", 2, 1..=12, "month"),
    ("-", 0, 0..=0, ""),
    ("02", 2, 1..=31, "day"),
    ("T", 0, 0..=0, ""),
    ("15", 2, 0..=23, "hour"),
    (":", 0, 0..=0, ""),
    ("04", 2, 0..=59, "minute"),
    (":", 0, 0..=0, ""),
    ("05", 2, 0..=59, "second"),
];

/// Checks a time; the error is that of `time.Parse`.
pub(super) fn check(text: &str, layout: &str) -> Result<(), String> {
    let quoted = crate::golang::quote(text);
    let cannot = |rest: &str, element: &str| {
        let rest = crate::golang::quote(rest);
        Err(format!("parsing time {quoted} as \"{layout}\": cannot parse {rest} as \"{element}\""))
    };
    let mut rest = text;
    for (element, digits, range, name) in ELEMENTS {
        if *digits == 0 {
            match rest.strip_prefix(element) {
                Some(tail) => rest = tail,
                None => return cannot(rest, element),
            }
            continue;
        }
        let number = rest.get(..*digits).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(number) = number.and_then(|part| part.parse::<u32>().ok()) else {
            return cannot(rest, element);
        };
        if !range.contains(&number) {
            return Err(format!("parsing time {quoted}: {name} out of range"));
        }
        rest = &rest[*digits..];
    }
    if layout == MICROSECONDS {
        let fraction = rest.strip_prefix('.').and_then(|tail| tail.get(..6));
        if !fraction.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
            return cannot(rest, ".000000");
        }
        rest = &rest[7..];
    } else if let Some(tail) = rest.strip_prefix(['.', ',']) {
        // A fraction is welcome where the layout has none.
        let length = tail.bytes().take_while(u8::is_ascii_digit).count();
        if length > 0 {
            rest = &tail[length..];
        }
    }
    let tail = match rest.strip_prefix('Z') {
        Some(tail) => tail,
        None if is_offset(rest) => &rest[6..],
        None => return cannot(rest, "Z07:00"),
    };
    if !tail.is_empty() {
        return Err(format!("parsing time {quoted}: extra text: {}", crate::golang::quote(tail)));
    }
    match text[..10].parse::<jiff::civil::Date>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("parsing time {quoted}: day out of range")),
    }
}

fn is_offset(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    matches!(bytes.first(), Some(b'+' | b'-'))
        && bytes.get(3) == Some(&b':')
        && [1, 2, 4, 5].into_iter().all(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_those_of_go() {
        assert_eq!(check("2024-02-29T00:00:00Z", SECONDS), Ok(()));
        assert_eq!(check("2024-02-29T00:00:00.123+02:00", SECONDS), Ok(()));
        assert_eq!(
            check("2023-02-29T00:00:00Z", SECONDS).unwrap_err(),
            r#"parsing time "2023-02-29T00:00:00Z": day out of range"#
        );
        assert_eq!(
            check("2023-13-29T00:00:00Z", SECONDS).unwrap_err(),
            r#"parsing time "2023-13-29T00:00:00Z": month out of range"#
        );
        assert_eq!(
            check("2024-01-01T00:00:00Z", MICROSECONDS).unwrap_err(),
            r#"parsing time "2024-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#
        );
    }
}
