//! Values as text: what `string()` and `%s` write, and what traces show.

use std::fmt::{self, Write as _};

use super::Value;

/// Longer texts than this are cut short: shared parts can make a small value's text endless.
const MAX_TEXT: usize = 4 << 20;

impl Value {
    /// Appends the text cel-go's formatter gives; false where the value has none or too long a one.
    pub(crate) fn write(&self, out: &mut String) -> Result<(), &'static str> {
        if out.len() > MAX_TEXT {
            return Err("value is too large to format");
        }
        match self {
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    item.write(out)?;
                }
                out.push(']');
            }
            Self::Map(map) => {
                out.push('{');
                for (at, (key, value)) in map.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    // Writing to a string cannot fail.
                    let _ = write!(out, "{key}: ");
                    value.write(out)?;
                }
                out.push('}');
            }
            Self::Optional(None) => out.push_str("optional.none()"),
            Self::Optional(Some(value)) => {
                out.push_str("optional(");
                value.write(out)?;
                out.push(')');
            }
            scalar => scalar.write_scalar(out),
        }
        Ok(())
    }

    fn write_scalar(&self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Bool(truth) => write!(out, "{truth}"),
            Self::Int(number) => write!(out, "{number}"),
            Self::Uint(number) => write!(out, "{number}"),
            Self::Double(number) => out.write_str(&double(*number)),
            Self::String(text) | Self::Type(text) => out.write_str(text),
            Self::Bytes(bytes) => out.write_str(&String::from_utf8_lossy(bytes)),
            Self::Duration(nanos) => out.write_str(&duration(*nanos)),
            // Formatted, a time is told in UTC; as a text of its own it keeps its offset.
            Self::Timestamp(moment) => write!(out, "{}", moment.at()),
            Self::Quantity(quantity) => write!(out, "{quantity}"),
            Self::Url(_) => out.write_str("url"),
            Self::Ip(address) => write!(out, "{address}"),
            Self::Cidr(network) => write!(out, "{}/{}", network.address, network.bits),
            Self::Semver(version) => write!(out, "{version}"),
            Self::Format(format) => out.write_str(format.name),
            Self::Opaque(_) => out.write_str(self.type_name()),
            Self::Null | Self::List(_) | Self::Map(_) | Self::Optional(_) => out.write_str("null"),
        };
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        match self.write(&mut text) {
            Ok(()) => f.write_str(&text),
            Err(reason) => f.write_str(reason),
        }
    }
}

/// A double as Go's `%f` with the fewest digits that read back the same.
pub(crate) fn double(number: f64) -> String {
    if number.is_nan() {
        "NaN".into()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        number.to_string()
    }
}

/// Seconds with as many decimals as needed: `1.5s`.
pub(crate) fn duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    let (seconds, rest) = (size / 1_000_000_000, size % 1_000_000_000);
    if rest == 0 {
        return format!("{sign}{seconds}s");
    }
    let decimals = format!("{rest:09}");
    format!("{sign}{seconds}.{}s", decimals.trim_end_matches('0'))
}
