//! Listening sockets, and errors that say what to do when one cannot be had.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context as _;
use tokio::net::TcpListener;

/// Listens; `flag` is what the user changes when the port is taken.
pub(crate) async fn listen(
    address: IpAddr,
    port: u16,
    what: &str,
    flag: &str,
) -> anyhow::Result<TcpListener> {
    let wanted = SocketAddr::new(address, port);
    match TcpListener::bind(wanted).await {
        Ok(listener) => Ok(listener),
        Err(error) => {
            let remedy = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    format!(
                        "another program listens there; stop it, or choose another port with {flag} (0 takes any free one)"
                    )
                }
                std::io::ErrorKind::AddrNotAvailable => {
                    "this machine does not have that address; choose another with --bind".to_owned()
                }
                std::io::ErrorKind::PermissionDenied => {
                    format!("ports below 1024 need privileges; choose another with {flag}")
                }
                _ => format!("choose another port with {flag}"),
            };
            Err(error).with_context(|| format!("cannot listen on {wanted} for {what}: {remedy}"))
        }
    }
}

/// The address that clients on this machine use for a listener.
pub(crate) fn reachable(listener: &TcpListener) -> anyhow::Result<SocketAddr> {
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(_) => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        });
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_port_names_the_flag_that_helps() {
        let local = IpAddr::from([127, 0, 0, 1]);
        let first = listen(local, 0, "the API", "--api-port").await.unwrap();
        let port = first.local_addr().unwrap().port();
        let error = listen(local, port, "the API", "--api-port").await.unwrap_err();
        assert!(error.to_string().contains("--api-port"), "{error}");
        assert!(error.to_string().contains(&port.to_string()), "{error}");
    }

    #[tokio::test]
    async fn an_unspecified_address_is_reached_over_loopback() {
        let all = listen(IpAddr::from([0, 0, 0, 0]), 0, "the API", "--api-port").await.unwrap();
        assert_eq!(reachable(&all).unwrap().ip(), IpAddr::from([127, 0, 0, 1]));
    }
}
