//! Which addresses a service may have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
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
    allowed.iter().any(|rule| rule.covers(host, address)) || !is_near(address)
}

/// What clouds answer their machines at besides 169.254.169.254: Alibaba, Oracle, Azure.
const METADATA: [[u8; 4]; 3] = [[100, 100, 100, 200], [192, 0, 0, 192], [168, 63, 129, 16]];
/// Addresses that are for documents, and hardly any machine has (RFC 5737, RFC 3849).
const NOBODYS: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(192, 0, 2, 1), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// Addresses that lead to this machine or its link: what is there trusts whoever can reach it.
fn is_near(address: IpAddr) -> bool {
    let near = match address {
        IpAddr::V4(address) => is_near_v4(address),
        IpAddr::V6(address) => is_near_v6(address),
    };
    near || is_ours(address)
}

fn is_near_v4(address: Ipv4Addr) -> bool {
    address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || address.octets()[0] == 0
        || METADATA.contains(&address.octets())
}

fn is_near_v6(address: Ipv6Addr) -> bool {
    // Metadata services of Amazon (fd00:ec2::254) and Google (fd20:ce::254).
    let metadata = matches!(address.segments(), [0xfd00, 0xec2, ..] | [0xfd20, 0xce, ..]);
    // NAT64 of a network's own (RFC 8215): where in it the old address is, its operator decides.
    let translated = matches!(address.segments(), [0x64, 0xff9b, 1, ..]);
    address.is_loopback()
        || address.is_unicast_link_local()
        || address.is_unspecified()
        || address.is_multicast()
        || metadata
        || translated
        || carried(address).is_some_and(|carried| is_near(carried.into()))
}

/// The address of the old kind that one of the new kind carries within, and is translated to or sent to in the end.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        // Teredo (RFC 4380), which turns each bit.
        [0x2001, 0, _, _, _, _, high, low] => (!high, !low),
        // 6to4 (RFC 3056), NAT64 (RFC 6052), IPv4-compatible (RFC 4291) and IPv4-translated (RFC 2765), ISATAP (RFC 5214).
        [0x2002, high, low, ..]
        | [0x64, 0xff9b, 0, _, _, _, high, low]
        | [0, 0, 0, 0, 0 | 0xffff, 0, high, low]
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

/// Whether this machine, or the pod, has the address itself: the system lets nobody listen at others'.
fn is_ours(address: IpAddr) -> bool {
    let may_listen = |address: IpAddr| UdpSocket::bind((address, 0)).is_ok();
    let nobodys = if address.is_ipv4() { NOBODYS.0.into() } else { NOBODYS.1.into() };
    may_listen(address) && (!may_listen(nobodys) || is_its_own_source(address))
}

/// The same where the system lets everybody listen anywhere (`ip_nonlocal_bind`): to its own address it sends from there.
fn is_its_own_source(address: IpAddr) -> bool {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Nothing is sent: only the way is looked up.
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == address)
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
            "::ffff:0:127.0.0.1",
            "2001:0:53aa:64c::5601:5601",
            "fd12::5efe:127.0.0.1",
            "2001:db8::200:5efe:a9fe:a9fe",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1::808:808",
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
            "::ffff:0:8.8.8.8",
            "2001:0:53aa:64c::f7f7:f7f7",
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
    fn an_address_of_this_machine_is_near_whatever_it_is() {
        assert!(is_ours(Ipv4Addr::LOCALHOST.into()) && is_its_own_source(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_ours(NOBODYS.0.into()) && !is_its_own_source(NOBODYS.0.into()));
        // What it sends from, where there is a way to anybody.
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        if socket.connect((NOBODYS.0, 9)).is_err() {
            return;
        }
        let IpAddr::V4(own) = socket.local_addr().unwrap().ip() else { return };
        let [a, b, c, d] = own.octets();
        let within: IpAddr =
            format!("64:ff9b::{:x}:{:x}", u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
                .parse()
                .unwrap();
        let allowed: Rule = own.to_string().parse().unwrap();
        assert!(!may_call(&[], "x", own.into()) && !may_call(&[], "x", within));
        assert!(may_call(&[allowed], "x", own.into()));
    }

    #[test]
    fn rules_are_addresses_ranges_and_names() {
        for wrong in ["", "127.0.0.1/33", "::/129", "a b", "http://x", "1.2.3"] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }
}
