//! URLs as Go's `net/url` reads them; other parsers accept and normalize other things.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

/// A parsed URL.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Url {
    /// `https`, in lower case.
    pub scheme: String,
    /// User and password, unescaped, where there is a user part.
    pub user: Option<(String, String)>,
    /// Host with port.
    pub host: String,
    /// The path, unescaped.
    pub path: String,
    /// The path as escaped in the text, where that is not the usual escaping.
    raw_path: String,
    opaque: String,
    /// The query as written.
    pub raw_query: String,
    /// The fragment, unescaped.
    pub fragment: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Host,
    User,
    Query,
    Fragment,
}

impl Url {
    /// Reads a URL or relative reference (`url.Parse`).
    pub fn parse(text: &str) -> Result<Self, String> {
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let fail = |reason: String| format!("parse {text:?}: {reason}");
        let mut url = parse(rest, false).map_err(fail)?;
        url.fragment = unescape(fragment, Part::Fragment).map_err(fail)?;
        Ok(url)
    }

    /// Reads an absolute URI or absolute path (`url.ParseRequestURI`).
    pub fn parse_request(text: &str) -> Result<Self, String> {
        parse(text, true).map_err(|reason| format!("parse {text:?}: {reason}"))
    }

    /// The host without port and brackets.
    pub fn hostname(&self) -> &str {
        let host = self.split_host().0;
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port, or nothing.
    pub fn port(&self) -> &str {
        self.split_host().1
    }

    fn split_host(&self) -> (&str, &str) {
        match self.host.rfind(':') {
            Some(colon) if valid_port(&self.host[colon..]) => (&self.host[..colon], &self.host[colon + 1..]),
            _ => (&self.host, ""),
        }
    }

    /// The path as it is escaped in requests.
    pub fn escaped_path(&self) -> String {
        if self.raw_path.is_empty() {
            if self.path == "*" { "*".to_owned() } else { escape_path(&self.path) }
        } else {
            self.raw_path.clone()
        }
    }

    /// The query's values by key; malformed pairs are left out, as Go does.
    pub fn query(&self) -> BTreeMap<String, Vec<String>> {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in self.raw_query.split('&') {
            if pair.is_empty() || pair.contains(';') {
                continue;
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let (Ok(key), Ok(value)) = (unescape(key, Part::Query), unescape(value, Part::Query)) {
                values.entry(key).or_default().push(value);
            }
        }
        values
    }
}

fn parse(text: &str, request: bool) -> Result<Url, String> {
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".into());
    }
    if text.is_empty() && request {
        return Err("empty url".into());
    }
    if text == "*" {
        return Ok(Url { path: "*".into(), ..Url::default() });
    }
    let (scheme, rest) = scheme(text)?;
    let mut url = Url { scheme: scheme.to_ascii_lowercase(), ..Url::default() };
    let (mut rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    query.clone_into(&mut url.raw_query);
    if !rest.starts_with('/') {
        if !url.scheme.is_empty() {
            rest.clone_into(&mut url.opaque);
            return Ok(url);
        }
        if request {
            return Err("invalid URI for request".into());
        }
        if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return Err("first path segment in URL cannot contain colon".into());
        }
    }
    if (!url.scheme.is_empty() || !request && !rest.starts_with("///"))
        && let Some(after) = rest.strip_prefix("//")
    {
        let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
        rest = path;
        let (user, host) =
            authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        url.host = self::host(host)?;
        url.user = user.map(self::user).transpose()?;
    }
    url.path = unescape(rest, Part::Path)?;
    if escape_path(&url.path) != rest {
        // The text's own escaping is kept only where it is a valid one, as EscapedPath does.
        if rest.bytes().all(|byte| {
            unreserved_path(byte) || matches!(byte, b'[' | b']' | b'%' | b'!' | b'\'' | b'(' | b')' | b'*')
        }) {
            rest.clone_into(&mut url.raw_path);
        }
    }
    Ok(url)
}

fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if index > 0 => {}
            b':' if index == 0 => return Err("missing protocol scheme".into()),
            b':' => return Ok((&text[..index], &text[index + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn user(text: &str) -> Result<(String, String), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !text.chars().all(allowed) {
        return Err("net/url: invalid userinfo".into());
    }
    let (name, password) = text.split_once(':').unwrap_or((text, ""));
    Ok((unescape(name, Part::User)?, unescape(password, Part::User)?))
}

fn host(host: &str) -> Result<String, String> {
    if let Some(open) = host.rfind('[') {
        if open > 0 {
            return Err("invalid IP-literal".into());
        }
        let close = host.rfind(']').ok_or("missing ']' in host")?;
        let port = &host[close + 1..];
        check_port(port)?;
        let name = unescape(&host[1..close], Part::Host)?;
        let address = name.split('%').next().unwrap_or_default();
        if address.parse::<Ipv6Addr>().is_err() {
            return Err(format!("invalid host: ParseAddr({name:?}): unable to parse IP"));
        }
        return Ok(format!("[{name}]{port}"));
    }
    if let Some(colon) = host.rfind(':') {
        check_port(&host[colon..])?;
    }
    unescape(host, Part::Host)
}

fn check_port(port: &str) -> Result<(), String> {
    if valid_port(port) { Ok(()) } else { Err(format!("invalid port {port:?} after host")) }
}

fn valid_port(port: &str) -> bool {
    port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn unescape(text: &str, part: Part) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let code = bytes.get(at + 1..at + 3).and_then(|code| std::str::from_utf8(code).ok());
                let byte = code
                    .filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()))
                    .and_then(|code| u8::from_str_radix(code, 16).ok());
                let Some(byte) = byte else {
                    let end = (at + 3).min(bytes.len());
                    let shown = String::from_utf8_lossy(&bytes[at..end]);
                    return Err(format!("invalid URL escape {shown:?}"));
                };
                // A host may escape only what is not ASCII, and the percent sign of a zone.
                if part == Part::Host && byte < 0x80 && byte != b'%' {
                    return Err(format!("invalid URL escape \"%{byte:02X}\""));
                }
                out.push(byte);
                at += 3;
            }
            b'+' if part == Part::Query => {
                out.push(b' ');
                at += 1;
            }
            byte => {
                if part == Part::Host && byte < 0x80 && !in_host(byte) {
                    return Err(format!("invalid character {:?} in host name", char::from(byte).to_string()));
                }
                out.push(byte);
                at += 1;
            }
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte)
}

fn unreserved_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte)
}

fn escape_path(path: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if unreserved_path(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
