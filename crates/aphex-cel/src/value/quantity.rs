//! Kubernetes resource quantities, exact: a whole number times a power of ten, at least nano.
//!
//! Follows `k8s.io/apimachinery/pkg/api/resource` v0.35, which keeps small amounts in 64 bits and
//! others in a decimal; only the first kind is ever an "integer" there, so the kind is kept here.

use std::cmp::Ordering;
use std::fmt;

const FORMAT_WRONG: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const NUMERIC: &str = "unable to parse numeric part of quantity";
const SUFFIX: &str = "unable to parse quantity's suffix";
/// The finest scale a quantity keeps.
const NANO: i32 = -9;

/// A resource quantity such as `500m` or `1Gi`.
#[derive(Clone, Debug)]
pub struct Quantity {
    digits: i128,
    scale: i32,
    small: bool,
    notation: Notation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notation {
    Exponent,
    Binary,
    Decimal,
}

impl Quantity {
    /// Reads a quantity; the error is the text Kubernetes gives.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err(FORMAT_WRONG);
        }
        let (negative, unsigned) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let whole_end = digits_end(unsigned);
        let (whole, rest) = unsigned.split_at(whole_end);
        let (fraction, suffix) =
            rest.strip_prefix('.').map_or(("", rest), |rest| rest.split_at(digits_end(rest)));
        check_suffix(suffix)?;
        let whole = whole.trim_start_matches('0');
        if whole.is_empty() && fraction.is_empty() && !unsigned.starts_with('0') {
            return Err(NUMERIC);
        }
        let (notation, exponent) = interpret(suffix)?;
        let mut digits: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            digits = push(digits, digit).ok_or(NUMERIC)?;
        }
        let fraction_length = i32::try_from(fraction.len()).map_err(|_| NUMERIC)?;
        let mut scale = -fraction_length;
        if notation == Notation::Binary {
            let factor = 1_i128.checked_shl(exponent.unsigned_abs()).ok_or(NUMERIC)?;
            digits = digits.checked_mul(factor).ok_or(NUMERIC)?;
        } else {
            scale = scale.checked_add(exponent).ok_or(NUMERIC)?;
        }
        let precise = whole.len().max(1) + fraction.len() <= 18;
        let mut quantity = Self { digits, scale, small: precise, notation };
        if scale < NANO {
            quantity.round_up();
            quantity.small = false;
        }
        if notation == Notation::Binary {
            quantity.small = precise && fraction.is_empty();
            quantity.cap();
        }
        quantity.small &= i64::try_from(quantity.digits).is_ok();
        if negative {
            quantity.digits = -quantity.digits;
        }
        Ok(quantity)
    }

    /// A quantity of a whole number.
    pub fn from_int(number: i64) -> Self {
        Self { digits: i128::from(number), scale: 0, small: true, notation: Notation::Exponent }
    }

    /// Rounds away from zero to nano, so that a little is never nothing.
    fn round_up(&mut self) {
        while self.scale < NANO && self.digits != 0 {
            let shift = (NANO - self.scale).unsigned_abs().min(38);
            let divisor = 10_i128.pow(shift);
            let up = i128::from(self.digits % divisor != 0);
            self.digits = self.digits / divisor + up;
            self.scale += shift.cast_signed();
        }
        self.scale = self.scale.max(NANO);
    }

    /// Binary amounts end at the largest 64-bit number, and fall back to decimal notation below one.
    fn cap(&mut self) {
        let max = Self::from_int(i64::MAX);
        if !self.small && self.cmp(&max) == Ordering::Greater {
            self.digits = max.digits;
            self.scale = 0;
        }
        if self.digits != 0 && self.cmp(&Self::from_int(1)) == Ordering::Less {
            self.notation = Notation::Decimal;
        }
    }

    /// The number as a 64-bit integer, where Kubernetes would say it is one.
    pub fn as_int(&self) -> Option<i64> {
        if !self.small || self.scale < 0 {
            return None;
        }
        let factor = 10_i128.checked_pow(self.scale.unsigned_abs())?;
        i64::try_from(self.digits.checked_mul(factor)?).ok()
    }

    /// The nearest double, or one close to it.
    #[expect(clippy::cast_precision_loss, reason = "the function promises no more")]
    pub fn as_float(&self) -> f64 {
        self.digits as f64 * 10_f64.powi(self.scale)
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i64 {
        match self.digits.cmp(&0) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }
    }

    /// The sum, or nothing where it has more than 38 digits.
    pub fn add(&self, other: &Self) -> Option<Self> {
        let notation = if self.digits == 0 { other.notation } else { self.notation };
        if other.digits == 0 {
            return Some(Self { notation, ..self.clone() });
        }
        if self.digits == 0 {
            return Some(other.clone());
        }
        let scale = self.scale.min(other.scale);
        let digits = self.digits_at(scale)?.checked_add(other.digits_at(scale)?)?;
        let small = self.small && other.small && i64::try_from(digits).is_ok();
        Some(Self { digits, scale, small, notation })
    }

    /// The difference, or nothing where it has more than 38 digits.
    pub fn sub(&self, other: &Self) -> Option<Self> {
        self.add(&Self { digits: -other.digits, ..other.clone() })
    }

    fn digits_at(&self, scale: i32) -> Option<i128> {
        let shift = self.scale.checked_sub(scale)?.unsigned_abs();
        self.digits.checked_mul(10_i128.checked_pow(shift)?)
    }

    /// The whole number it is, if it is one.
    fn exact(&self) -> Option<i128> {
        if self.scale >= 0 {
            return self.digits_at(0);
        }
        let divisor = 10_i128.checked_pow(self.scale.unsigned_abs())?;
        (self.digits % divisor == 0).then_some(self.digits / divisor)
    }

    /// The order of two amounts, whatever their notation.
    pub(crate) fn cmp(&self, other: &Self) -> Ordering {
        let signs = self.sign().cmp(&other.sign());
        if signs != Ordering::Equal || self.digits == 0 {
            return signs;
        }
        let magnitude =
            |quantity: &Self| i64::from(quantity.scale) + i64::from(quantity.digits.unsigned_abs().ilog10());
        let order = magnitude(self).cmp(&magnitude(other)).then_with(|| {
            // Of equal magnitude: brought to the finer scale, neither has more digits than the other had.
            let scale = self.scale.min(other.scale);
            let at = |quantity: &Self| quantity.digits_at(scale).map(i128::unsigned_abs);
            at(self).cmp(&at(other))
        });
        if self.digits < 0 { order.reverse() } else { order }
    }
}

fn digits_end(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
}

fn push(digits: i128, digit: u8) -> Option<i128> {
    digits.checked_mul(10)?.checked_add(i128::from(digit - b'0'))
}

fn check_suffix(suffix: &str) -> Result<(), &'static str> {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    if rest.bytes().all(|byte| byte.is_ascii_digit()) { Ok(()) } else { Err(FORMAT_WRONG) }
}

fn interpret(suffix: &str) -> Result<(Notation, i32), &'static str> {
    Ok(match suffix {
        "Ki" => (Notation::Binary, 10),
        "Mi" => (Notation::Binary, 20),
        "Gi" => (Notation::Binary, 30),
        "Ti" => (Notation::Binary, 40),
        "Pi" => (Notation::Binary, 50),
        "Ei" => (Notation::Binary, 60),
        "n" => (Notation::Decimal, -9),
        "u" => (Notation::Decimal, -6),
        "m" => (Notation::Decimal, -3),
        "" => (Notation::Decimal, 0),
        "k" => (Notation::Decimal, 3),
        "M" => (Notation::Decimal, 6),
        "G" => (Notation::Decimal, 9),
        "T" => (Notation::Decimal, 12),
        "P" => (Notation::Decimal, 15),
        "E" => (Notation::Decimal, 18),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E']).ok_or(SUFFIX)?;
            let exponent: i32 = exponent.parse().map_err(|_| SUFFIX)?;
            (Notation::Exponent, exponent)
        }
    })
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits == 0 {
            return f.write_str("0");
        }
        let (mut digits, mut scale) = (self.digits, self.scale);
        if self.notation == Notation::Binary
            && let Some(number) = self.exact()
            && number.unsigned_abs() >= 1024
        {
            return binary(f, number);
        }
        while digits % 10 == 0 {
            digits /= 10;
            scale += 1;
        }
        while scale % 3 != 0 {
            digits = digits.checked_mul(10).ok_or(fmt::Error)?;
            scale -= 1;
        }
        let suffix = match scale {
            -9 => "n",
            -6 => "u",
            -3 => "m",
            0 => "",
            3 => "k",
            6 => "M",
            9 => "G",
            12 => "T",
            15 => "P",
            18 => "E",
            _ => return write!(f, "{digits}e{scale}"),
        };
        if self.notation == Notation::Exponent && scale != 0 {
            return write!(f, "{digits}e{scale}");
        }
        write!(f, "{digits}{suffix}")
    }
}

fn binary(f: &mut fmt::Formatter<'_>, mut number: i128) -> fmt::Result {
    let mut power = 0;
    while number % 1024 == 0 && power < 6 {
        number /= 1024;
        power += 1;
    }
    write!(f, "{number}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power])
}
