//! Points and spans of time: `timestamp`, `duration` and their parts.

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::{Offset, TimeZone};

use super::conversions::unreadable;
use super::{Cost, Function, Style, global};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::{Moment, Value};

type Outcome = Result<Value, Fault>;

const NANOS: i64 = 1_000_000_000;
/// `0001-01-01T00:00:00Z`.
const FIRST: i64 = -62_135_596_800;
/// `9999-12-30T22:00:00Z`, which `jiff` ends at; cel-go goes on for another 26 hours.
const LAST: i64 = 253_402_207_200;

const fn part(name: &'static str, run: super::Run) -> Function {
    Function { name, style: Style::Member, arguments: 1..=2, cost: Cost::One, run }
}

pub(super) const FUNCTIONS: &[Function] = &[
    global("duration", 1, Cost::One, duration),
    global("timestamp", 1, Cost::One, timestamp),
    part("getFullYear", |_, arguments| civil(arguments, |at| i64::from(at.year()))),
    part("getMonth", |_, arguments| civil(arguments, |at| i64::from(at.month()) - 1)),
    part("getDate", |_, arguments| civil(arguments, |at| i64::from(at.day()))),
    part("getDayOfMonth", |_, arguments| civil(arguments, |at| i64::from(at.day()) - 1)),
    part("getDayOfYear", |_, arguments| civil(arguments, |at| i64::from(at.day_of_year()) - 1)),
    part("getDayOfWeek", |_, arguments| {
        civil(arguments, |at| i64::from(at.weekday().since(Weekday::Sunday)))
    }),
    part("getHours", |_, arguments| clock(arguments, 3_600 * NANOS, |at| i64::from(at.hour()))),
    part("getMinutes", |_, arguments| clock(arguments, 60 * NANOS, |at| i64::from(at.minute()))),
    part("getSeconds", |_, arguments| clock(arguments, NANOS, |at| i64::from(at.second()))),
    part("getMilliseconds", |_, arguments| match arguments {
        // Of a span, the whole of it; of a point, the part below a second.
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / 1_000_000)),
        _ => civil(arguments, |at| i64::from(at.millisecond())),
    }),
];

/// Whether a point in time is within the years CEL knows.
pub(super) fn in_range(at: &Timestamp) -> bool {
    (FIRST..=LAST).contains(&at.as_nanosecond().div_euclid(i128::from(NANOS)).try_into().unwrap_or(i64::MAX))
}

fn duration(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [span @ Value::Duration(_)] => Ok(span.clone()),
        [Value::String(text)] => {
            parse_duration(text).map(Value::Duration).ok_or_else(|| unreadable("google.protobuf.Duration"))
        }
        // Declared, but cel-go has no way to do it.
        [Value::Int(_)] => Err(Fault::new("type conversion error from 'int' to 'google.protobuf.Duration'")),
        _ => Err(Fault::NoOverload),
    }
}

/// A duration in Go's notation (`1h30m`, `-1.5s`, `10us`) in nanoseconds; none if it is not one.
///
/// The syntax is that of `time.ParseDuration`, which Kubernetes reads durations with.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        total = total.checked_add(amount(number, unit)?)?;
        rest = next;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

fn amount(number: &str, unit: &str) -> Option<i128> {
    let unit: i128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Digits beyond a nanosecond's worth of an hour change nothing.
    let fraction = &fraction[..fraction.len().min(18)];
    let parts: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    whole.checked_mul(unit)?.checked_add(parts * unit / scale)
}

fn timestamp(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let at = match arguments {
        [at @ Value::Timestamp(_)] => return Ok(at.clone()),
        [Value::Int(seconds)] => Timestamp::from_second(*seconds).ok().map(Moment::from),
        [Value::String(text)] => {
            Some(parse_timestamp(text).ok_or_else(|| unreadable("google.protobuf.Timestamp"))?)
        }
        _ => return Err(Fault::NoOverload),
    };
    let at = at.filter(|moment| in_range(&moment.at()));
    at.map(Value::Timestamp).ok_or_else(|| Fault::new("timestamp overflow"))
}

/// RFC 3339 and nothing around it: the library below also knows other notations.
fn parse_timestamp(text: &str) -> Option<Moment> {
    let bytes = text.as_bytes();
    let shape = text.is_ascii()
        && bytes.len() >= 20
        && [4, 7].iter().all(|at| bytes[*at] == b'-')
        && bytes[10] == b'T'
        && [13, 16].iter().all(|at| bytes[*at] == b':')
        // The library takes a leap second for the one before it; to Go it is none.
        && bytes[17] < b'6'
        && !text.contains(['[', ',', ' '])
        && (text.ends_with('Z') || bytes[bytes.len() - 3] == b':');
    if !shape {
        return None;
    }
    // What is below a nanosecond goes.
    let digits = text[19..]
        .strip_prefix('.')
        .map_or(0, |rest| rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
    let cut = if digits > 9 { format!("{}{}", &text[..29], &text[20 + digits..]) } else { text.to_owned() };
    let at: Timestamp = cut.parse().ok()?;
    Some(Moment::with_offset(at, offset(text).unwrap_or(Offset::UTC)))
}

/// The `+02:00` that a text ends in.
fn offset(text: &str) -> Option<Offset> {
    let (_, written) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (hours, minutes) = written.split_once(':')?;
    let hours: i32 = hours.parse().ok()?;
    let minutes = minutes.parse::<i32>().ok()?;
    let minutes = if written.starts_with('-') { -minutes } else { minutes };
    Offset::from_seconds(hours * 3_600 + minutes * 60).ok()
}

/// The zone an argument names: `UTC`, `America/New_York`, or an offset such as `-08:00`.
fn zone(name: &str) -> Result<TimeZone, Fault> {
    let unknown = || Fault::new(format!("unknown time zone {name}"));
    if name == "UTC" || name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    let Some((hours, minutes)) = name.split_once(':') else {
        return TimeZone::get(name).map_err(|_| unknown());
    };
    let hours_value: i32 = hours.parse().map_err(|_| unknown())?;
    let minutes: i32 = minutes.parse().map_err(|_| unknown())?;
    let minutes = if hours.starts_with('-') { -minutes } else { minutes };
    let seconds =
        hours_value.checked_mul(3_600).and_then(|hours| hours.checked_add(minutes.checked_mul(60)?));
    let offset = seconds.and_then(|seconds| Offset::from_seconds(seconds).ok()).ok_or_else(unknown)?;
    Ok(TimeZone::fixed(offset))
}

fn civil(arguments: &[Value], part: impl Fn(jiff::Zoned) -> i64) -> Outcome {
    let (at, zone) = match arguments {
        [Value::Timestamp(moment)] => (moment.at(), TimeZone::UTC),
        [Value::Timestamp(moment), Value::String(name)] => (moment.at(), zone(name)?),
        _ => return Err(Fault::NoOverload),
    };
    Ok(Value::Int(part(at.to_zoned(zone))))
}

fn clock(arguments: &[Value], unit: i64, part: impl Fn(jiff::Zoned) -> i64) -> Outcome {
    match arguments {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / unit)),
        _ => civil(arguments, part),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_duration;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        assert_eq!(parse_duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(parse_duration("-1.5s"), Some(-1_500_000_000));
        assert_eq!(parse_duration("0"), Some(0));
        assert_eq!(parse_duration("10"), None);
        assert_eq!(parse_duration("soon"), None);
        assert_eq!(parse_duration(""), None);
    }
}
