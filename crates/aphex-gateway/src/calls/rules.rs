//! Which addresses a service may have.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

/// A range of addresses, or a host's name, that may be called although it is near.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Addresses whose first bits are these.
    Range(IpNet),
    /// A name, whatever it resolves to.
    Host(String),
}

/// A rule cannot be read.
#[derive(Debug, Error)]
#[error("{0:?} is neither an address, a range such as 127.0.0.0/8, nor a host's name")]
pub struct RuleError(String);

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let wrong = || RuleError(text.to_owned());
        if let Ok(range) = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse()) {
            return Ok(Self::Range(range));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        let named = !text.is_empty() && text.chars().all(plain) && text.chars().any(char::is_alphabetic);
        if named { Ok(Self::Host(text.to_ascii_lowercase())) } else { Err(wrong()) }
    }
}

impl Rule {
    pub(crate) fn covers(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Host(name) => host.eq_ignore_ascii_case(name),
            Self::Range(range) => range.contains(&address),
        }
    }
}

/// Whether a service may be called at an address that its host has.
pub(super) fn may_call(allowed: &[Rule], host: &str, address: IpAddr) -> bool {
    let address = address.to_canonical();
    !is_near(address) || allowed.iter().any(|rule| rule.covers(host, address))
}

/// What clouds answer their machines at besides 169.254.169.254: Alibaba, Oracle, Azure.
const METADATA: [[u8; 4]; 3] = [[100, 100, 100, 200], [192, 0, 0, 192], [168, 63, 129, 16]];

/// Addresses that lead to this machine or its link: what is there trusts whoever can reach it.
fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_broadcast()
                || address.is_multicast()
                || address.octets()[0] == 0
                || METADATA.contains(&address.octets())
        }
        IpAddr::V6(address) => {
            // Metadata services of Amazon (fd00:ec2::254) and Google (fd20:ce::254).
            let metadata = matches!(address.segments(), [0xfd00, 0xec2, ..] | [0xfd20, 0xce, ..]);
            // 6to4, NAT64 (RFC 6052, RFC 8215) and IPv4-compatible addresses carry one of the old kind within.
            let carried = match address.segments() {
                [0x2002, high, low, ..]
                | [0x64, 0xff9b, 0 | 1, _, _, _, high, low]
                | [0, 0, 0, 0, 0, 0, high, low] => {
                    let bits = u32::from(high) << 16 | u32::from(low);
                    is_near(IpAddr::V4(bits.into()))
                }
                _ => false,
            };
            address.is_loopback()
                || address.is_unicast_link_local()
                || address.is_unspecified()
                || address.is_multicast()
                || metadata
                || carried
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_called_only_where_it_is_allowed() {
        let may = |allowed: &[&str], host: &str, address: &str| {
            let allowed: Vec<Rule> = allowed.iter().map(|rule| rule.parse().unwrap()).collect();
            may_call(&allowed, host, address.parse().unwrap())
        };
        for near in [
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
            "2002:a9fe:a9fe::1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a9fe:a9fe",
            "::127.0.0.1",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ] {
            assert!(!may(&[], "x", near), "{near}");
        }
        for far in [
            "10.96.0.1",
            "192.168.1.1",
            "93.184.216.34",
            "2606:2800::1",
            "fd12::1",
            "100.64.0.1",
            "64:ff9b::808:808",
        ] {
            assert!(may(&[], "x", far), "{far}");
        }
        assert!(may(&["127.0.0.0/8"], "x", "127.0.0.1"));
        assert!(may(&["127.0.0.1"], "x", "::ffff:127.0.0.1"));
        assert!(!may(&["127.0.0.1"], "x", "127.0.0.2"));
        assert!(may(&["::1/128"], "x", "::1"));
        assert!(may(&["0.0.0.0/0"], "x", "169.254.1.1"));
        assert!(may(&["interceptor.local"], "Interceptor.local", "127.0.0.1"));
        assert!(!may(&["interceptor.local"], "other.local", "127.0.0.1"));
    }

    #[test]
    fn rules_are_addresses_ranges_and_names() {
        for wrong in ["", "127.0.0.1/33", "::/129", "a b", "http://x", "1.2.3"] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }
}
