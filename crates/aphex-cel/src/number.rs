//! Doubles as text, in the ways Go writes them.

/// A finite number as Go's `encoding/json` writes a `float64`: the fewest digits that read back the same, with an
/// exponent only below a millionth and from 10^21 on.
///
/// ```
/// assert_eq!(aphex_cel::json_number(1e16), "10000000000000000");
/// assert_eq!(aphex_cel::json_number(1.5e-7), "1.5e-7");
/// ```
pub fn json_number(number: f64) -> String {
    if number == 0.0 || (1e-6..1e21).contains(&number.abs()) {
        return number.to_string();
    }
    let (digits, sign, exponent) = scientific(number);
    format!("{digits}e{sign}{exponent}")
}

/// A number as Go's `%g` writes it: an exponent of two digits or more below a ten-thousandth and from a million on.
pub(crate) fn general(number: f64) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let (digits, sign, exponent) = scientific(number);
    let most = if sign == '-' { 4 } else { 5 };
    if exponent.parse().is_ok_and(|exponent: u32| exponent <= most) {
        number.to_string()
    } else {
        format!("{digits}e{sign}{exponent:0>2}")
    }
}

/// The digits with their own sign, the exponent's sign, and the exponent's digits.
fn scientific(number: f64) -> (String, char, String) {
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    (digits.to_owned(), sign, exponent.to_owned())
}

/// The double that a text stands for to Go's `strconv.ParseFloat`; none where that has an error.
pub(crate) fn read(text: &str) -> Option<f64> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = unsigned.to_ascii_lowercase();
    let number = match lower.as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" if unsigned.len() == text.len() => f64::NAN,
        _ => {
            let hex = lower.strip_prefix("0x");
            let digits = ungrouped(hex.unwrap_or(&lower), hex.is_some())?;
            let number = if hex.is_some() { hexadecimal(&digits)? } else { decimal(&digits)? };
            Some(number).filter(|number| number.is_finite())?
        }
    };
    Some(if negative { -number } else { number })
}

/// Without the underscores, which may only stand between digits, or between them and the prefix before.
fn ungrouped(text: &str, hex: bool) -> Option<String> {
    let digit = |byte: Option<&u8>| {
        byte.is_some_and(|byte| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() })
    };
    let bytes = text.as_bytes();
    let fits = |at: usize| {
        let before = at.checked_sub(1);
        before.map_or(hex, |before| digit(bytes.get(before))) && digit(bytes.get(at + 1))
    };
    let grouped = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').all(|(at, _)| fits(at));
    grouped.then(|| text.replace('_', ""))
}

fn decimal(text: &str) -> Option<f64> {
    let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'+' | b'-');
    let starts = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if starts && text.bytes().all(plain) { text.parse().ok() } else { None }
}

/// `1.8p3`: hexadecimal digits, and the power of two they are multiplied by, which must be there.
fn hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = text.split_once('p')?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut exponent = i64::from(exponent.parse::<i32>().ok()?);
    let mut mantissa = 0_u128;
    for (at, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u128::from(digit.to_digit(16)?);
        if mantissa >> 120 == 0 {
            mantissa = mantissa << 4 | digit;
            exponent -= if at >= whole.len() { 4 } else { 0 };
        } else {
            // What does not fit only tells on which side of a half the number is.
            mantissa |= u128::from(digit > 0);
            exponent += if at < whole.len() { 4 } else { 0 };
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "it is rounded as any number that is read")]
    let mut number = mantissa as f64;
    while exponent != 0 && number != 0.0 && number.is_finite() {
        let step = i32::try_from(exponent.clamp(-1000, 1000)).ok()?;
        number *= 2_f64.powi(step);
        exponent -= i64::from(step);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_go_reads_them() {
        for (text, number) in [
            ("1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("-1e5", -1e5),
            ("1e-400", 0.0),
            ("0x1p3", 8.0),
            ("0x1_0p3", 128.0),
            ("0X.8p1", 1.0),
            ("-0x1.8P-1", -0.75),
            ("1_0", 10.0),
            ("+Inf", f64::INFINITY),
            ("-infinity", f64::NEG_INFINITY),
            ("0x1p-1074", 5e-324),
        ] {
            assert_eq!(read(text), Some(number), "{text}");
        }
        assert!(read("nan").is_some_and(f64::is_nan));
        for text in [
            "1e400", "0x1p1024", "0x1", "0x", "0xp1", "_1", "1_", "1__0", "1_.5", "", " 1", "+nan", "--1",
            "1e", ".", "infinit",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn texts_have_exponents_from_a_million_on() {
        for (number, text) in [
            (0.0, "0"),
            (1.5, "1.5"),
            (999_999.5, "999999.5"),
            (1e6, "1e+06"),
            (-1_234_567.5, "-1.2345675e+06"),
            (1e100, "1e+100"),
            (0.0001, "0.0001"),
            (0.000_015, "1.5e-05"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(general(number), text);
        }
    }

    #[test]
    fn json_has_exponents_only_where_digits_would_be_many() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (1.5, "1.5"),
            (-2.25, "-2.25"),
            (1e6, "1000000"),
            (1e16, "10000000000000000"),
            (123_456_789_012_345_678_900.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (0.000_001, "0.000001"),
            (0.000_001_5, "0.0000015"),
            (0.000_000_15, "1.5e-7"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(json_number(number), text);
        }
    }
}
