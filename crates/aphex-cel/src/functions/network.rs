//! The Kubernetes IP and CIDR libraries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Cost, Function, global, member};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::{Network, Value};

type Outcome = Result<Value, Fault>;

pub(super) const FUNCTIONS: &[Function] = &[
    global("ip", 1, Cost::Text, |_, arguments| text(arguments, |text| address(text).map(Value::Ip))),
    global("isIP", 1, Cost::Text, |_, arguments| {
        text(arguments, |text| Ok(Value::Bool(address(text).is_ok())))
    }),
    global("ip.isCanonical", 1, Cost::Rewrite, |_, arguments| {
        text(arguments, |text| Ok(Value::Bool(address(text)?.to_string() == text)))
    }),
    member("family", 1, Cost::One, |_, arguments| {
        ip(arguments, |ip| Value::Int(if ip.is_ipv4() { 4 } else { 6 }))
    }),
    member("isUnspecified", 1, Cost::One, |_, arguments| {
        ip(arguments, |ip| Value::Bool(ip.is_unspecified()))
    }),
    member("isLoopback", 1, Cost::One, |_, arguments| ip(arguments, |ip| Value::Bool(ip.is_loopback()))),
    member("isLinkLocalMulticast", 1, Cost::One, |_, arguments| {
        ip(arguments, |ip| Value::Bool(is_link_local_multicast(ip)))
    }),
    member("isLinkLocalUnicast", 1, Cost::One, |_, arguments| {
        ip(arguments, |ip| Value::Bool(is_link_local_unicast(ip)))
    }),
    member("isGlobalUnicast", 1, Cost::One, |_, arguments| {
        ip(arguments, |ip| Value::Bool(is_global_unicast(ip)))
    }),
    global("cidr", 1, Cost::Text, |_, arguments| {
        let outer = |reason| format!("network address parse error during conversion from string: {reason}");
        text(arguments, |text| network(text).map(Value::Cidr).map_err(outer))
    }),
    global("isCIDR", 1, Cost::Text, |_, arguments| {
        text(arguments, |text| Ok(Value::Bool(network(text).is_ok())))
    }),
    member("containsIP", 2, Cost::Network, contains_ip),
    member("containsCIDR", 2, Cost::NetworkTwice, contains_cidr),
    member("ip", 1, Cost::One, |_, arguments| cidr(arguments, |network| Value::Ip(network.address))),
    member("prefixLength", 1, Cost::One, |_, arguments| {
        cidr(arguments, |network| Value::Int(i64::from(network.bits)))
    }),
    member("masked", 1, Cost::One, |_, arguments| cidr(arguments, |network| Value::Cidr(masked(network)))),
];

fn text(arguments: &[Value], read: impl Fn(&str) -> Result<Value, String>) -> Outcome {
    match arguments {
        [Value::String(text)] => read(text).map_err(Fault::Message),
        _ => Err(Fault::NoOverload),
    }
}

fn ip(arguments: &[Value], read: impl Fn(IpAddr) -> Value) -> Outcome {
    match arguments {
        [Value::Ip(address)] => Ok(read(*address)),
        _ => Err(Fault::NoOverload),
    }
}

fn cidr(arguments: &[Value], read: impl Fn(Network) -> Value) -> Outcome {
    match arguments {
        [Value::Cidr(network)] => Ok(read(*network)),
        _ => Err(Fault::NoOverload),
    }
}

/// An address without zone that is not IPv4 in IPv6's clothing.
fn address(text: &str) -> Result<IpAddr, String> {
    if let Some((before, zone)) = text.split_once('%')
        && before.parse::<Ipv6Addr>().is_ok()
        && !zone.is_empty()
    {
        return Err(format!("IP address {text:?} with zone value is not allowed"));
    }
    let parsed = text.parse::<IpAddr>().map_err(|_| {
        format!(
            "IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): {}",
            reason(text)
        )
    })?;
    refuse_mapped(text, parsed)
}

fn refuse_mapped(text: &str, address: IpAddr) -> Result<IpAddr, String> {
    match address {
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address {text:?} is not allowed"))
        }
        other => Ok(other),
    }
}

/// Go's reason, for the mistakes people make with IPv4 addresses.
fn reason(text: &str) -> &'static str {
    if text.contains(':') || !text.contains('.') {
        return if text.contains(':') {
            "each colon-separated field must have at least one digit"
        } else {
            "unable to parse IP"
        };
    }
    let fields: Vec<&str> = text.split('.').collect();
    for (at, field) in fields.iter().enumerate() {
        if at > 3 {
            return "IPv4 address too long";
        }
        if field.is_empty() {
            return "IPv4 field must have at least one digit";
        }
        if !field.bytes().all(|byte| byte.is_ascii_digit()) {
            return "unexpected character";
        }
        if field.len() > 1 && field.starts_with('0') {
            return "IPv4 field has octet with leading zero";
        }
        if field.parse::<u8>().is_err() {
            return "IPv4 field has value >255";
        }
    }
    "IPv4 address too short"
}

fn network(text: &str) -> Result<Network, String> {
    let fail = |reason: &str| {
        format!(
            "network address parse error during conversion from string: netip.ParsePrefix({text:?}): {reason}"
        )
    };
    let (address, bits) = text.rsplit_once('/').ok_or_else(|| fail("no '/'"))?;
    if address.contains('%') {
        return Err(fail("IPv6 zones cannot be present in a prefix"));
    }
    let parsed = address
        .parse::<IpAddr>()
        .map_err(|_| fail(&format!("ParseAddr({address:?}): {}", reason(address))))?;
    let plain = bits.bytes().all(|byte| byte.is_ascii_digit()) && (bits.len() < 2 || !bits.starts_with('0'));
    let length: u16 = bits
        .parse()
        .ok()
        .filter(|_| plain)
        .ok_or_else(|| fail(&format!("bad bits after slash: {bits:?}")))?;
    let most = if parsed.is_ipv4() { 32 } else { 128 };
    let bits = u8::try_from(length)
        .ok()
        .filter(|bits| *bits <= most)
        .ok_or_else(|| fail("prefix length out of range"))?;
    Ok(Network { address: refuse_mapped(text, parsed)?, bits })
}

fn masked(network: Network) -> Network {
    let bits = u32::from(network.bits);
    let address = match network.address {
        IpAddr::V4(four) => IpAddr::V4(Ipv4Addr::from_bits(
            four.to_bits() & u32::MAX.checked_shl(32 - bits).unwrap_or_default(),
        )),
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(
            six.to_bits() & u128::MAX.checked_shl(128 - bits).unwrap_or_default(),
        )),
    };
    Network { address, bits: network.bits }
}

/// The one prefix rule behind both questions.
fn covers(network: Network, address: IpAddr) -> bool {
    network.address.is_ipv4() == address.is_ipv4()
        && masked(network).address == masked(Network { address, bits: network.bits }).address
}

fn contains_ip(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let (network, other) = match arguments {
        [Value::Cidr(network), Value::Ip(other)] => (network, *other),
        [Value::Cidr(network), Value::String(other)] => (network, address(other).map_err(Fault::Message)?),
        _ => return Err(Fault::NoOverload),
    };
    Ok(Value::Bool(covers(*network, other)))
}

fn contains_cidr(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let (outer, inner) = match arguments {
        [Value::Cidr(outer), Value::Cidr(inner)] => (outer, *inner),
        [Value::Cidr(outer), Value::String(inner)] => {
            let wrap = |reason| {
                Fault::new(format!("network address parse error during conversion from string: {reason}"))
            };
            (outer, network(inner).map_err(wrap)?)
        }
        _ => return Err(Fault::NoOverload),
    };
    Ok(Value::Bool(outer.bits <= inner.bits && covers(*outer, inner.address)))
}

fn is_link_local_multicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(four) => four.octets()[..3] == [224, 0, 0],
        IpAddr::V6(six) => six.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => six.is_unicast_link_local(),
    }
}

/// Go's meaning: everything that is not one of the special kinds, private addresses included.
fn is_global_unicast(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(four) if four.is_broadcast());
    !(broadcast || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || is_link_local_unicast(ip))
}
