//! Where a request comes from: through which proxies, and of whose network.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use http::HeaderMap;
use ipnet::IpNet;
use thiserror::Error;

const FORWARDED: &str = "x-forwarded-for";

/// Addresses whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy(IpNet);

/// A text names no addresses.
#[derive(Debug, Error)]
#[error("{0:?} is neither an address nor a range such as 10.0.0.0/8")]
pub struct ProxyError(String);

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        address.or_else(|_| text.parse()).map(Self).map_err(|_| ProxyError(text.to_owned()))
    }
}

/// The last address before the trusted proxies. What stands further left in the header anybody may have written.
pub fn source(peer: IpAddr, headers: &HeaderMap, trusted: &[Proxy]) -> IpAddr {
    let trusts = |address: IpAddr| trusted.iter().any(|proxy| proxy.0.contains(&address));
    let mut source = peer.to_canonical();
    let values = headers.get_all(FORWARDED).iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    for hop in hops.iter().rev() {
        if !trusts(source) {
            break;
        }
        match address(hop) {
            Some(address) => source = address,
            None => break,
        }
    }
    source
}

/// An address, or the network of 64 bits that an IPv6 host has to itself: one customer of a provider is one source.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// An address with or without a port, as proxies write it.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    let parsed = bare.parse().ok();
    parsed
        .or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
        .map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_say_where_a_request_comes_from() {
        let from = |peer: &str, forwarded: &[&str], trusted: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append(FORWARDED, value.parse().unwrap());
            }
            let trusted: Vec<Proxy> = trusted.iter().map(|text| text.parse().unwrap()).collect();
            source(peer.parse().unwrap(), &headers, &trusted).to_string()
        };
        let ours = &["10.0.0.0/8", "fd00::/8"];
        assert_eq!(from("10.0.0.1", &["192.0.2.1"], &[]), "10.0.0.1");
        assert_eq!(from("192.0.2.9", &["192.0.2.1"], ours), "192.0.2.9");
        assert_eq!(from("10.0.0.1", &[], ours), "10.0.0.1");
        assert_eq!(from("10.0.0.1", &["192.0.2.1"], ours), "192.0.2.1");
        assert_eq!(from("10.0.0.1", &["198.51.100.7, 192.0.2.1, 10.0.0.2"], ours), "192.0.2.1");
        assert_eq!(from("10.0.0.1", &["198.51.100.7", "192.0.2.1"], ours), "192.0.2.1");
        assert_eq!(from("10.0.0.1", &["nonsense, 10.0.0.2"], ours), "10.0.0.2");
        assert_eq!(from("::ffff:10.0.0.1", &["[2001:db8::1]:4711"], ours), "2001:db8::1");
        assert_eq!(from("fd00::1", &["192.0.2.1:80"], ours), "192.0.2.1");
    }

    #[test]
    fn neighbours_in_an_ipv6_network_are_one_source() {
        let of = |address: &str| network(address.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:3::1"), "2001:db8:1:3::");
        assert_eq!((of("192.0.2.1"), of("::ffff:192.0.2.1")), ("192.0.2.1".into(), "192.0.2.1".into()));
    }

    #[test]
    fn a_name_is_no_address() {
        for wrong in ["", "proxy.example.com", "10.0.0.0/33", "10.0.0"] {
            assert!(wrong.parse::<Proxy>().is_err(), "{wrong}");
        }
    }
}
