//! The string formats Kubernetes checks (`k8s.io/kube-openapi/pkg/validation/strfmt`); others mean nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

use aphex_cel::pattern;

const HOSTNAME: &str = r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$";
const CARD: &str = r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|(222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11}|6[27][0-9]{14})$";
const RGB: &str = r"^rgb\(\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*\)$";
const BASE64: &str = r"^(?:[A-Za-z0-9+\/]{4})*(?:[A-Za-z0-9+\/]{2}==|[A-Za-z0-9+\/]{3}=|[A-Za-z0-9+\/]{4})$";
const TIME: &str = r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$";
const HEX: &str = "[0-9a-f]";
const SHORT_NAME: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";

/// Names are compared without dashes: `date-time` is `datetime`.
fn normal(format: &str) -> String {
    format.replace('-', "")
}

/// Whether values of that format are checked.
pub fn is_supported(format: &str) -> bool {
    const SUPPORTED: &[&str] = &[
        "bsonobjectid",
        "uri",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "cidr",
        "mac",
        "uuid",
        "uuid3",
        "uuid4",
        "uuid5",
        "isbn",
        "isbn10",
        "isbn13",
        "creditcard",
        "ssn",
        "hexcolor",
        "rgbcolor",
        "byte",
        "password",
        "date",
        "duration",
        "datetime",
        "k8sshortname",
        "k8slongname",
    ];
    // Every value with a format asks.
    SUPPORTED.iter().any(|name| name.bytes().eq(format.bytes().filter(|byte| *byte != b'-')))
}

/// Whether a string follows the format; formats that are not supported allow everything.
pub(super) fn matches(format: &str, text: &str) -> bool {
    match normal(format).as_str() {
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "uri" => is_request_uri(text),
        "email" => is_email(text),
        "hostname" => {
            is(HOSTNAME, text) && text.len() <= 255 && text.split('.').all(|label| label.len() <= 63)
        }
        "ipv4" => is_ip(text) && text.contains('.'),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uuid" => is_uuid(text, HEX, HEX),
        "uuid3" => is_uuid(text, "3", HEX),
        "uuid4" => is_uuid(text, "4", "[89ab]"),
        "uuid5" => is_uuid(text, "5", "[89ab]"),
        "isbn" => is_isbn(text, 10) || is_isbn(text, 13),
        "isbn10" => is_isbn(text, 10),
        "isbn13" => is_isbn(text, 13),
        "creditcard" => is_credit_card(text),
        "ssn" => is(r"^\d{3}[- ]?\d{2}[- ]?\d{4}$", text),
        "hexcolor" => is("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$", text),
        "rgbcolor" => is(RGB, text),
        "byte" => is(BASE64, text),
        "date" => is_date(text),
        "duration" => is_duration(text),
        "datetime" => is_date_time(text),
        "k8sshortname" => text.len() <= 63 && is(&format!("^{SHORT_NAME}$"), text),
        "k8slongname" => text.len() <= 253 && is(&format!(r"^{SHORT_NAME}(\.{SHORT_NAME})*$"), text),
        _ => true,
    }
}

fn is(expression: &str, text: &str) -> bool {
    pattern::compile(expression).is_ok_and(|regex| regex.is_match(text))
}

fn is_uuid(text: &str, version: &str, variant: &str) -> bool {
    is(&format!("(?i)^{HEX}{{8}}-?{HEX}{{4}}-?{version}{HEX}{{3}}-?{variant}{HEX}{{3}}-?{HEX}{{12}}$"), text)
}

/// An address as Go read it before 1.17: numbers of IPv4 may begin with zeros.
fn is_ip(text: &str) -> bool {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().is_ok();
    }
    let mut parts = 0;
    let numeric = text.split('.').all(|part| {
        parts += 1;
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits
            && part
                .trim_start_matches('0')
                .parse::<u32>()
                .map_or(part.bytes().all(|b| b == b'0'), |n| n <= 255)
    });
    (numeric && parts == 4) || text.parse::<Ipv4Addr>().is_ok()
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let limit = if address.contains(':') { 128 } else { 32 };
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    is_ip(address) && digits && length.parse::<u32>().is_ok_and(|length| length <= limit)
}

/// 6, 8 or 20 bytes in groups of one (`:` or `-`) or two (`.`).
fn is_mac(text: &str) -> bool {
    let grouped = |separator: char, digits: usize, bytes: &[usize]| {
        let mut groups = 0;
        let hex = text.split(separator).all(|group| {
            groups += 1;
            group.len() == digits && group.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        hex && bytes.contains(&(groups * digits / 2))
    };
    grouped(':', 2, &[6, 8, 20]) || grouped('-', 2, &[6, 8, 20]) || grouped('.', 4, &[6, 8, 20])
}

fn is_isbn(text: &str, length: usize) -> bool {
    let bare: Vec<u32> = text
        .chars()
        .filter(|c| *c != '-' && !c.is_whitespace())
        .map(|c| if c == 'X' { 10 } else { c.to_digit(10).unwrap_or(99) })
        .collect();
    if bare.len() != length || bare.contains(&99) || bare[..length - 1].contains(&10) {
        return false;
    }
    if length == 10 {
        return (1..=10).zip(&bare).map(|(weight, digit)| weight * digit).sum::<u32>().is_multiple_of(11);
    }
    bare[12] != 10
        && [1, 3]
            .iter()
            .cycle()
            .zip(&bare)
            .map(|(weight, digit)| weight * digit)
            .sum::<u32>()
            .is_multiple_of(10)
}

fn is_credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let luhn: u32 = digits
        .chars()
        .rev()
        .filter_map(|c| c.to_digit(10))
        .enumerate()
        .map(|(index, digit)| if index % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 })
        .sum();
    is(CARD, &digits) && luhn.is_multiple_of(10)
}

/// What `url.ParseRequestURI` takes: an absolute URI or an absolute path.
fn is_request_uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return false;
    }
    if text == "*" {
        return true;
    }
    let (scheme, rest) = match text.split_once(':') {
        Some((scheme, rest)) if is("^[a-zA-Z][a-zA-Z0-9+.-]*$", scheme) => (Some(scheme), rest),
        _ => (None, text),
    };
    if !rest.starts_with('/') {
        return scheme.is_some();
    }
    let path = rest.split('?').next().unwrap_or(rest);
    let (authority, path) = match path.strip_prefix("//").filter(|_| scheme.is_some()) {
        Some(tail) => tail.split_at(tail.find('/').unwrap_or(tail.len())),
        None => ("", path),
    };
    is_escaped(path) && is_authority(authority)
}

fn is_escaped(text: &str) -> bool {
    let mut parts = text.split('%');
    parts.next();
    parts.all(|part| part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

fn is_authority(authority: &str) -> bool {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, port) = match host.rfind(']') {
        Some(end) => (&host[..=end], &host[end + 1..]),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !name.contains([' ', '<', '>', '"', '\\', '^', '`', '{', '|', '}'])
        && (port.is_empty() || port.strip_prefix(':').is_some_and(digits))
}

/// An address as `mail.ParseAddress` takes it, with or without a display name.
fn is_email(text: &str) -> bool {
    let text = text.trim();
    let address = match text.strip_suffix('>') {
        Some(named) => named.rsplit_once('<').map_or("", |(_, address)| address),
        None => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let literal = domain.starts_with('[') && domain.ends_with(']');
    (quoted || is_dot_atom(local)) && (literal || is_dot_atom(domain))
}

fn is_dot_atom(text: &str) -> bool {
    let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii();
    text.split('.').all(|part| !part.is_empty() && part.chars().all(atom))
}

fn is_date(text: &str) -> bool {
    is(r"^\d{4}-\d{2}-\d{2}$", text) && text.parse::<jiff::civil::Date>().is_ok()
}

/// A date, `T` and a time with an offset; as in Kubernetes only the first two parts are looked at.
fn is_date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut parts = lower.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else { return false };
    if !is_date(date) {
        return false;
    }
    let Ok(regex) = pattern::compile(TIME) else { return false };
    regex.captures(time).is_some_and(|found| &found[1] <= "23" && &found[2] <= "59" && &found[3] <= "59")
}

/// What Go's `time.ParseDuration` takes, or numbers with units written out (`3 hours`).
fn is_duration(text: &str) -> bool {
    const GO: &str = r"^[-+]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*)$";
    const EXACT: &[&str] = &["ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk"];
    const BEGIN: &[&str] = &["nano", "micro", "milli", "sec", "min", "hour", "day", "week"];
    if is(GO, text) {
        return true;
    }
    let Ok(regex) = pattern::compile(r"((\d+)\s*([A-Za-zµ]+))") else { return false };
    let mut found = false;
    for part in regex.captures_iter(text) {
        if part[2].parse::<i64>().is_err() {
            return false;
        }
        let unit = part[3].to_lowercase();
        found |= EXACT.contains(&unit.as_str()) || BEGIN.iter().any(|begin| unit.starts_with(begin));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_tells_good_from_bad() {
        let cases = [
            ("bsonobjectid", "507f1f77bcf86cd799439011", "507f1f77"),
            ("uri", "https://example.com:8080/a%20b?q=1", "example.com/a"),
            ("uri", "/absolute/path", "http://a b/"),
            ("email", "a.b@example.com", "a..b@example.com"),
            ("hostname", "a-b.example.com", "-a.example.com"),
            ("ipv4", "10.00.0.1", "10.0.0.256"),
            ("ipv6", "fe80::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("mac", "00:00:5e:00:53:01", "00:00:5e:00:53"),
            ("uuid", "F47AC10B-58CC-4372-A567-0E02B2C3D479", "f47ac10b"),
            ("uuid4", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "f47ac10b-58cc-3372-a567-0e02b2c3d479"),
            ("isbn", "978-0321751041", "978-0321751042"),
            ("isbn10", "0321751043", "0321751042"),
            ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
            ("ssn", "111-22-3333", "111-22-333"),
            ("hexcolor", "#FFF", "#FF"),
            ("rgbcolor", "rgb(255, 0, 1)", "rgb(256,0,1)"),
            ("byte", "aGVsbG8=", "aGVsbG8"),
            ("date", "2024-02-29", "2023-02-29"),
            ("duration", "1h30m", "soon"),
            ("duration", "22 ns", "22"),
            ("date-time", "2024-01-02T03:04:05.5Z", "2024-01-02 03:04:05"),
            ("date-time", "2024-01-02T03:04:05+02:00", "2024-01-02T24:04:05Z"),
            ("k8s-short-name", "a-b", "A"),
            ("k8s-long-name", "a.b-c", "a..b"),
        ];
        for (format, good, bad) in cases {
            assert!(is_supported(format), "{format}");
            assert!(matches(format, good), "{format} should take {good}");
            assert!(!matches(format, bad), "{format} should refuse {bad}");
        }
        assert!(!is_supported("int32"));
    }
}
