//! Whom the platform asks. Users name hosts, and a host's name can lead anywhere: to the node, to the cloud's metadata service,
//! to what is only reachable from inside. So addresses are looked at after DNS, for every connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpStream;

use crate::{Remote, RemoteError};

/// Metadata services of clouds that are at addresses which private networks use too.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Whom the platform asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The hosts; all when none are named.
    pub hosts: Option<Vec<String>>,
    /// Private and loopback addresses, too, and without encryption.
    pub allow_private: bool,
}

impl Policy {
    /// Whether a host may be asked.
    #[must_use]
    pub fn permits_host(&self, host: &str) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|one| one.eq_ignore_ascii_case(host)))
    }

    /// Whether a host at an address may be asked.
    #[must_use]
    pub fn permits_address(&self, address: IpAddr) -> bool {
        match reach(address) {
            Reach::Public => true,
            Reach::Private => self.allow_private,
            Reach::Never => false,
        }
    }

    /// Refuses a remote whose address alone says that it is not asked.
    pub(crate) fn permit(&self, remote: &Remote) -> Result<(), RemoteError> {
        let host = remote.host();
        if !self.permits_host(host) {
            return Err(RemoteError::Host(host.to_owned()));
        }
        if let Some(scheme) = remote.plain().filter(|_| !self.allow_private) {
            return Err(RemoteError::Plain(scheme));
        }
        // A host written as an address is never looked up.
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal {
            Ok(address) if !self.permits_address(address) => Err(refused(host, address)),
            _ => Ok(()),
        }
    }

    /// The addresses of a host that may be asked.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, RemoteError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((bare, port)).await;
        let found: Vec<SocketAddr> =
            found.map_err(|source| RemoteError::Resolve { host: host.to_owned(), source })?.collect();
        let permitted: Vec<SocketAddr> =
            found.iter().copied().filter(|address| self.permits_address(address.ip())).collect();
        match (permitted.is_empty(), found.first()) {
            (true, Some(address)) => Err(refused(host, address.ip())),
            _ => Ok(permitted),
        }
    }

    /// A connection to a host at one of those.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, RemoteError> {
        let addresses = self.resolve(host, port).await?;
        TcpStream::connect(addresses.as_slice())
            .await
            .map_err(|source| RemoteError::Connect { host: host.to_owned(), source: Box::new(source) })
    }
}

fn refused(host: &str, address: IpAddr) -> RemoteError {
    RemoteError::Address { host: host.to_owned(), address: address.to_string() }
}

/// Who can be at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Public,
    /// This machine and private networks.
    Private,
    /// Link-local, where clouds serve credentials, and what is no host's at all.
    Never,
}

/// The special-purpose registries of IANA (RFC 6890 and its updates).
fn reach(address: IpAddr) -> Reach {
    if METADATA.contains(&address) {
        return Reach::Never;
    }
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (10 | 127, ..) | (192, 168, _) | (172, 16..=31, _) | (100, 64..=127, _) | (198, 18 | 19, _) => {
            Reach::Private
        }
        (0 | 224.., ..) | (169, 254, _) | (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) => Reach::Never,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] | [0xfc00..=0xfdff, ..] => Reach::Private,
        // Mapped, compatible, NAT64 and 6to4 addresses lead to the one inside.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => embedded(high, low),
        // Global unicast, without Teredo and documentation.
        [0x2001, 0 | 0xdb8, ..] => Reach::Never,
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_asked_unless_private_ones_are_allowed_and_some_never() {
        let strict = Policy { hosts: None, allow_private: false };
        let open = Policy { hosts: None, allow_private: true };
        let verdict = |text: &str| {
            let address = text.parse().unwrap();
            (strict.permits_address(address), open.permits_address(address))
        };
        for public in ["140.82.121.4", "2606:50c0:8000::153", "::ffff:140.82.121.4", "64:ff9b::8c52:7904"] {
            assert_eq!(verdict(public), (true, true), "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "::1",
            "fd12::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "2002:7f00:1::",
            "64:ff9b::a00:1",
        ] {
            assert_eq!(verdict(private), (false, true), "{private}");
        }
        for never in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "2001:db8::1",
        ] {
            assert_eq!(verdict(never), (false, false), "{never}");
        }
    }

    #[test]
    fn a_host_written_as_an_address_and_a_plain_scheme_are_looked_at_as_well() {
        let strict = Policy { hosts: None, allow_private: false };
        let refusal = |text: &str| strict.permit(&text.parse().unwrap()).unwrap_err().to_string();
        assert_eq!(
            refusal("https://127.1/x"),
            "127.0.0.1 is at 127.0.0.1, and the platform asks public addresses alone"
        );
        assert!(refusal("https://[::ffff:a9fe:a9fe]/x").contains("public addresses alone"));
        assert_eq!(refusal("http://github.com/x"), "the platform asks over https alone, not over http");
        let named = Policy { hosts: Some(vec!["github.com".to_owned()]), allow_private: true };
        assert!(named.permit(&"https://GITHUB.com/x/y".parse().unwrap()).is_ok());
        assert!(matches!(
            named.permit(&"https://github.com.evil.example/x".parse().unwrap()),
            Err(RemoteError::Host(_))
        ));
    }
}
