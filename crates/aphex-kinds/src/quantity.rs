//! Quantities such as `500m` or `2Gi`: reading, comparing, and the one form they are stored in.
//!
//! `resource.Quantity` of apimachinery. Values are kept in billionths, which is all the precision there is.

use serde_json::Value;

const NANO: i128 = 1_000_000_000;
/// The largest whole number that a quantity holds; larger ones are capped.
const LIMIT: i128 = i64::MAX as i128 * NANO;

/// How a quantity was written, which is how it is written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `1500m`, `2k`.
    Decimal,
    /// `2Ki`.
    Binary,
    /// `2e3`.
    Exponent,
}

/// A quantity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantity {
    nanos: i128,
    form: Form,
}

const DECIMAL: &[(&str, u32)] = &[
    ("n", 0),
    ("u", 3),
    ("m", 6),
    ("", 9),
    ("k", 12),
    ("M", 15),
    ("G", 18),
    ("T", 21),
    ("P", 24),
    ("E", 27),
];
const BINARY: &[&str] = &["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl Quantity {
    /// Reads a quantity written as text or number.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        }
    }

    /// Reads a quantity.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c)).unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (negative, digits) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() && fraction.is_empty() || !plain(whole) || !plain(fraction) {
            return None;
        }
        let (form, scale) = scale_of(suffix)?;
        let size = scaled(whole, fraction, scale).min(LIMIT);
        Some(Self { nanos: if negative { -size } else { size }, form })
    }

    /// Rounds away from zero to thousandths, the finest that objects keep.
    pub(crate) fn rounded_to_milli(self) -> Self {
        Self { nanos: self.milli() * (NANO / 1000), ..self }
    }

    /// Whether it is a whole number.
    pub(crate) fn is_whole(self) -> bool {
        self.nanos % NANO == 0
    }

    /// The value in billionths.
    pub(crate) fn nanos(self) -> i128 {
        self.nanos
    }

    /// A number of things.
    pub(crate) fn count(number: usize) -> Self {
        let number = i128::try_from(number).unwrap_or(LIMIT);
        Self { nanos: number.saturating_mul(NANO).min(LIMIT), form: Form::Decimal }
    }

    /// Whether it is nothing.
    pub(crate) fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// The sum, written as the first part is, or as the second where the first is nothing.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { nanos: (self.nanos + other.nanos).clamp(-LIMIT, LIMIT), form: self.form_with(other) }
    }

    /// The difference, written likewise.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self { nanos: (self.nanos - other.nanos).clamp(-LIMIT, LIMIT), form: self.form_with(other) }
    }

    fn form_with(self, other: Self) -> Form {
        if self.is_zero() { other.form } else { self.form }
    }

    /// The next whole number away from zero, `Quantity.Value` of Go.
    pub(crate) fn whole(self) -> i128 {
        up(self.nanos, NANO)
    }

    /// The next whole number of thousandths away from zero, `Quantity.MilliValue` of Go.
    pub(crate) fn milli(self) -> i128 {
        up(self.nanos, NANO / 1000)
    }

    /// The same rounded up to whole units.
    pub(crate) fn rounded_up(self) -> Self {
        Self { nanos: self.whole() * NANO, ..self }
    }
}

fn up(nanos: i128, unit: i128) -> i128 {
    let size = nanos.abs();
    (size.div_euclid(unit) + i128::from(size % unit != 0)) * nanos.signum()
}

/// The form that a suffix stands for, and the factor in billionths as a power of ten or two.
fn scale_of(suffix: &str) -> Option<(Form, Scale)> {
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((Form::Decimal, Scale::Ten(i64::from(*power))));
    }
    if let Some(power) = BINARY.iter().position(|name| *name == suffix) {
        return Some((Form::Binary, Scale::Two(u32::try_from(power).ok()? * 10)));
    }
    let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((Form::Exponent, Scale::Ten(exponent.clamp(-100, 100) + 9)))
}

#[derive(Clone, Copy)]
enum Scale {
    Ten(i64),
    Two(u32),
}

/// Digits times a factor, in billionths, rounded up, at most a bit beyond the limit.
fn scaled(whole: &str, fraction: &str, scale: Scale) -> i128 {
    let (mut value, mut exact) = (0_i128, true);
    let mut power = match scale {
        Scale::Ten(power) => power,
        Scale::Two(_) => 9,
    };
    let fraction = fraction.trim_end_matches('0');
    for digit in whole.bytes().chain(fraction.bytes()) {
        value = (value * 10 + i128::from(digit - b'0')).min(LIMIT * 1000);
    }
    if let Scale::Two(bits) = scale {
        value = value.saturating_mul(1_i128 << bits);
    }
    power -= i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    while power > 0 && value < LIMIT {
        value *= 10;
        power -= 1;
    }
    while power < 0 && value > 0 {
        exact &= value % 10 == 0;
        value /= 10;
        power += 1;
    }
    value + i128::from(!exact)
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (size, sign) = (self.nanos.abs(), if self.nanos < 0 { "-" } else { "" });
        if size == 0 {
            return f.write_str("0");
        }
        // Small and broken numbers of bytes are easier to read as decimals.
        if self.form == Form::Binary && size >= 1024 * NANO && size % NANO == 0 {
            let (mut value, mut suffix) = (size / NANO, 0);
            while value % 1024 == 0 && suffix + 1 < BINARY.len() {
                value /= 1024;
                suffix += 1;
            }
            return write!(f, "{sign}{value}{}", BINARY[suffix]);
        }
        let (mut value, mut step) = (size, 0);
        while value % 1000 == 0 && step + 1 < DECIMAL.len() {
            value /= 1000;
            step += 1;
        }
        let (suffix, power) = DECIMAL[step];
        match self.form {
            Form::Exponent if power != 9 => write!(f, "{sign}{value}e{}", i64::from(power) - 9),
            Form::Exponent => write!(f, "{sign}{value}"),
            _ => write!(f, "{sign}{value}{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_in_one_form() {
        let cases = [
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5Gi", "1536Mi"),
            ("1024", "1024"),
            ("1024Ki", "1Mi"),
            ("1000Ki", "1000Ki"),
            ("1000k", "1M"),
            ("0.1Ki", "102400m"),
            ("512Ki", "512Ki"),
            ("0Gi", "0"),
            ("-1500m", "-1500m"),
            ("2e3", "2e3"),
            ("12e6", "12e6"),
            ("1e2", "100"),
            ("+.5", "500m"),
            ("10Ei", "9223372036854775807"),
        ];
        for (given, stored) in cases {
            assert_eq!(Quantity::parse(given).unwrap().to_string(), stored, "{given}");
        }
        for bad in ["", "Gi", "1.2.3", "1 Gi", "1ki", "e3", "1e"] {
            assert!(Quantity::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn fine_values_are_rounded_up() {
        assert_eq!(Quantity::parse("100u").unwrap().rounded_to_milli().to_string(), "1m");
        assert_eq!(Quantity::parse("0.1n").unwrap().to_string(), "1n");
    }
}
