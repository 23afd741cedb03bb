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

#[cfg(test)]
mod tests {
    use super::*;

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
