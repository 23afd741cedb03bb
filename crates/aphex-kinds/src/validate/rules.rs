//! Rules for single fields as tables, and the walk that applies them.
//!
//! Paths are dotted; `name[]` stands for every element of a list.

use std::net::IpAddr;

use aphex_schema::validate::names;
use aphex_schema::{FieldError, Path};
use serde_json::Value;

use crate::quantity::Quantity;

/// What a field must be. Absent fields obey every rule but `Required`.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Given, and not empty.
    Required,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// At least 0.
    NonNegative,
    /// At least 1.
    Positive,
    /// Within these bounds.
    Between(i64, i64),
    /// A number of a port or a name of one.
    Port,
    /// A lowercase RFC 1123 label.
    Label,
    /// A lowercase RFC 1123 subdomain.
    Subdomain,
    /// A quantity of at least 0.
    Quantity,
    /// An IP address.
    Address,
    /// An IP address that others can reach.
    Endpoint,
}

/// Rows of paths and rules.
pub(super) type Table = &'static [(&'static str, Rule)];

/// Everything in an object that breaks a rule.
pub(super) fn check(object: &Value, at: &Path, table: Table, errors: &mut Vec<FieldError>) {
    for (path, rule) in table {
        visit(object, at, path, &mut |path, value| apply(*rule, path, value, errors));
    }
}

/// Shows every value that a path stands for, null where it is absent.
pub(super) fn visit(object: &Value, at: &Path, path: &str, see: &mut dyn FnMut(&Path, &Value)) {
    let (step, rest) = path.split_once('.').map_or((path, None), |(step, rest)| (step, Some(rest)));
    let mut go = |path: &Path, value: &Value| match rest {
        Some(_) if value.is_null() => {}
        Some(rest) => visit(value, path, rest, see),
        None => see(path, value),
    };
    match step.strip_suffix("[]") {
        Some(name) => {
            let list = object.get(name).and_then(Value::as_array);
            for (index, item) in list.into_iter().flatten().enumerate() {
                go(&at.child(name).index(index), item);
            }
        }
        None => go(&at.child(step), object.get(step).unwrap_or(&Value::Null)),
    }
}

fn apply(rule: Rule, path: &Path, value: &Value, errors: &mut Vec<FieldError>) {
    if let Rule::Required = rule {
        if is_empty(value) {
            errors.push(FieldError::required(path, ""));
        }
        return;
    }
    let text = value.as_str().unwrap_or_default();
    let number = value.as_i64();
    let mut invalid = |why: String| errors.push(FieldError::invalid(path, value.clone(), why));
    match rule {
        _ if value.is_null() => {}
        Rule::NonNegative if number.is_some_and(|number| number < 0) => {
            invalid("must be greater than or equal to 0".to_owned());
        }
        Rule::Positive if number.is_some_and(|number| number < 1) => {
            invalid("must be greater than 0".to_owned());
        }
        Rule::Between(low, high) if number.is_some_and(|number| !(low..=high).contains(&number)) => {
            invalid(format!("must be between {low} and {high}, inclusive"));
        }
        Rule::Port => port_faults(value).into_iter().for_each(invalid),
        Rule::Label if !text.is_empty() => names::label_faults(text).into_iter().for_each(invalid),
        Rule::Subdomain if !text.is_empty() => names::subdomain_faults(text).into_iter().for_each(invalid),
        Rule::Quantity if Quantity::of(value).is_some_and(|quantity| quantity.nanos() < 0) => {
            invalid("must be greater than or equal to 0".to_owned());
        }
        Rule::Endpoint => match text.parse::<IpAddr>() {
            Err(_) => [NOT_AN_ADDRESS, "must be a valid IP address"]
                .into_iter()
                .for_each(|why| invalid(why.to_owned())),
            Ok(address) => special(address).into_iter().for_each(|why| invalid(why.to_owned())),
        },
        Rule::Address if text.parse::<IpAddr>().is_err() => invalid(NOT_AN_ADDRESS.to_owned()),
        Rule::OneOf(allowed) if !text.is_empty() && !allowed.contains(&text) => {
            errors.push(FieldError::not_supported(path, text, allowed));
        }
        _ => {}
    }
}

const NOT_AN_ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// Why an address cannot be that of an endpoint (`ValidateNonSpecialIP`).
fn special(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let link_local_multicast = match address {
        IpAddr::V4(address) => address.octets()[..3] == [224, 0, 0],
        IpAddr::V6(address) => address.is_multicast() && address.octets()[1] & 0x0f == 2,
    };
    if address.is_unspecified() {
        Some("may not be unspecified (0.0.0.0 or ::)")
    } else if address.is_loopback() {
        Some("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    } else if link_local {
        Some("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    } else if link_local_multicast {
        Some("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    } else {
        None
    }
}

/// Whether a value is as good as absent.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// What is wrong with a number or name of a port.
pub(super) fn port_faults(value: &Value) -> Vec<String> {
    match (value.as_i64(), value.as_str()) {
        (Some(1..=65535), _) | (None, None) => Vec::new(),
        (Some(_), _) => vec!["must be between 1 and 65535, inclusive".to_owned()],
        (None, Some(name)) => port_name_faults(name),
    }
}

/// What is wrong with the name of a port: RFC 6335, section 5.1.
pub(super) fn port_name_faults(name: &str) -> Vec<String> {
    let lower = |c: char| c.is_ascii_lowercase();
    let checks = [
        (name.len() > 15, "must be no more than 15 characters"),
        (
            !name.chars().all(|c| lower(c) || c.is_ascii_digit() || c == '-') || name.is_empty(),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (!name.chars().any(lower), "must contain at least one letter (a-z)"),
        (name.contains("--"), "must not contain consecutive hyphens"),
        (name.starts_with('-') || name.ends_with('-'), "must not begin or end with a hyphen"),
    ];
    checks.iter().filter(|(broken, _)| *broken).map(|(_, why)| (*why).to_owned()).collect()
}
