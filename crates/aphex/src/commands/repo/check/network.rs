//! From the name of the host to whoever answers there: DNS, TCP, TLS, HTTP.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aphex_runtime::errors;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use url::{Host, Url};

use crate::commands::push::sent_on;
use crate::commands::report::{Check, Report};

/// How long each step may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Walks to the gateway; tells whether it was reached. `describe` is the command that looks at what is behind the address.
pub(super) async fn walk(url: &str, describe: &str, report: &mut Report) -> bool {
    let parsed = match Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.host().is_some() => parsed,
        _ => {
            let found = format!("{url} is no address that events can be sent to");
            report.add(Check::fail(
                "dns",
                &found,
                "give one with --url, such as https://hooks.example.com/acme-corp",
            ));
            return false;
        }
    };
    let port = parsed.port_or_known_default().unwrap_or(443);
    let Some(addresses) = resolve(&parsed, port, describe, report).await else {
        for step in ["tcp", "tls", "gateway"] {
            report.add(Check::skip(step, "the host has no address"));
        }
        return false;
    };
    if !connect(&addresses, report).await {
        for step in ["tls", "gateway"] {
            report.add(Check::skip(step, "nothing to talk to"));
        }
        return false;
    }
    answers(&parsed, describe, report).await
}

async fn resolve(url: &Url, port: u16, describe: &str, report: &mut Report) -> Option<Vec<SocketAddr>> {
    let name = match url.host()? {
        Host::Ipv4(address) => return Some(literal(IpAddr::V4(address), port, report)),
        Host::Ipv6(address) => return Some(literal(IpAddr::V6(address), port, report)),
        Host::Domain(name) => name.to_owned(),
    };
    let looked_up = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name.as_str(), port))).await;
    let remedy = format!(
        "GitHub needs a public name: see that the record exists ({describe} shows what is behind it), or that your own \
         resolver knows it yet"
    );
    match looked_up {
        Ok(Ok(found)) => {
            let found: Vec<SocketAddr> = found.collect();
            let text: Vec<String> = found.iter().map(|address| address.ip().to_string()).collect();
            report.add(Check::ok("dns", &format!("{name} is {}", text.join(", "))));
            Some(found)
        }
        Ok(Err(error)) => {
            report.add(Check::fail("dns", &format!("{name} has no address: {error}"), &remedy));
            None
        }
        Err(_) => {
            let found = format!("no answer about {name} in {} s", PATIENCE.as_secs());
            report.add(Check::fail("dns", &found, &remedy));
            None
        }
    }
}

fn literal(address: IpAddr, port: u16, report: &mut Report) -> Vec<SocketAddr> {
    report.add(Check::skip("dns", &format!("{address} is an address already")));
    vec![SocketAddr::new(address, port)]
}

async fn connect(addresses: &[SocketAddr], report: &mut Report) -> bool {
    let mut last = String::new();
    for address in addresses {
        match tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                report.add(Check::ok("tcp", &format!("{address} takes connections")));
                return true;
            }
            Ok(Err(error)) => last = format!("{address} takes no connection: {error}"),
            Err(_) => last = format!("{address} did not answer in {} s", PATIENCE.as_secs()),
        }
    }
    let remedy =
        "see that the gateway (or the tunnel or Ingress before it) runs, and that no firewall is in between";
    report.add(Check::fail("tcp", &last, remedy));
    false
}

/// Posts an event that nobody signed: the gateway refuses it in its own words, which no other server has.
async fn answers(url: &Url, describe: &str, report: &mut Report) -> bool {
    let client = match client() {
        Ok(client) => client,
        Err(error) => {
            report.add(Check::fail(
                "tls",
                &errors::chain(&error),
                "see that the system's certificates can be read",
            ));
            return false;
        }
    };
    let sent = client.post(url.clone()).header("Content-Type", "application/json").body("{}").send().await;
    let secure = url.scheme() == "https";
    let response = match sent {
        Ok(response) => response,
        Err(error) => {
            let said = errors::chain(&error.without_url());
            let certificate =
                secure && (said.contains("certificate") || said.contains("tls") || said.contains("TLS"));
            let (step, other) = if certificate { ("tls", "gateway") } else { ("gateway", "tls") };
            let remedy = if certificate {
                "GitHub refuses such a certificate too: see that it is for this host, not over, and of an authority that all know"
            } else {
                "see what is between here and the gateway"
            };
            report.add(Check::fail(step, &said, remedy));
            report.add(Check::skip(other, "the request was not answered"));
            return false;
        }
    };
    report.add(if secure {
        Check::ok("tls", &format!("the certificate is for {}", url.host_str().unwrap_or_default()))
    } else {
        Check::skip("tls", "the address is http: GitHub's events would travel in the clear")
    });
    let status = response.status();
    if let Some(to) = sent_on(&response) {
        report.add(elsewhere(status, &to));
        return false;
    }
    let server = response
        .headers()
        .get("server")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("unnamed")
        .to_owned();
    let body: Value = response.json().await.unwrap_or_default();
    let (check, reached) = judge(status, body["error"].as_str(), &server, describe);
    report.add(check);
    reached
}

/// Asks as GitHub does: by no proxy of ours, and without following to where an answer sends.
pub(super) fn client() -> reqwest::Result<Client> {
    Client::builder().timeout(PATIENCE).redirect(Policy::none()).no_proxy().build()
}

fn elsewhere(status: StatusCode, to: &str) -> Check {
    let found = format!("sends on with {status}, which GitHub does not follow");
    let remedy =
        format!("enter {to} as the webhook's address at GitHub, or have this one lead to the gateway");
    Check::fail("gateway", &found, &remedy)
}

fn judge(status: StatusCode, error: Option<&str>, server: &str, describe: &str) -> (Check, bool) {
    const STEP: &str = "gateway";
    match (status, error) {
        (StatusCode::UNAUTHORIZED, Some("Invalid webhook signature")) => {
            (Check::ok(STEP, "answers, and refuses what nobody signed"), true)
        }
        // A listener that takes unsigned events is asked with a signed one next.
        (StatusCode::OK, None) => {
            let remedy = "see the annotation platform.aphex/unsigned-events of the EventListener";
            (Check::warn(STEP, "answers, and takes events that nobody signed", remedy), true)
        }
        (StatusCode::NOT_FOUND, Some("Unknown event listener")) => {
            let remedy = format!("see that what has the listener is ready: {describe}");
            (Check::fail(STEP, "answers, and knows no EventListener under this address", &remedy), false)
        }
        (StatusCode::SERVICE_UNAVAILABLE, Some(_)) => {
            let remedy = "see the gateway's log: kubectl logs -n platform-system -l app.kubernetes.io/component=gateway";
            (Check::fail(STEP, "answers, and cannot read webhook secrets or store events", remedy), false)
        }
        _ => {
            let found = format!("somebody else answers: {status} (server {server})");
            (
                Check::fail(
                    STEP,
                    &found,
                    "see that the tunnel, Ingress or load balancer leads to the gateway",
                ),
                false,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_sends_on_is_not_followed() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/acme", listener.local_addr().unwrap());
        let answering = tokio::spawn(async move {
            // One looks whether there are connections, one asks.
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                let answer = "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://hooks.example.com/acme\r\nContent-Length: 0\r\n\r\n";
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let mut report = Report::default();
        assert!(!walk(&url, "`aphex describe org acme`", &mut report).await);
        answering.await.unwrap();
        let failed: Vec<_> = report.states().into_iter().filter(|(_, failed)| *failed).collect();
        assert_eq!(failed, [("gateway".to_owned(), true)]);
    }

    #[test]
    fn the_gateway_is_known_by_its_words() {
        let reached =
            |status: u16, error: Option<&str>| judge(StatusCode::from_u16(status).unwrap(), error, "x", "").1;
        assert!(reached(401, Some("Invalid webhook signature")));
        assert!(!reached(401, None));
        assert!(!reached(404, Some("Unknown event listener")));
        assert!(!reached(200, Some("hello")) && !reached(502, None));
    }
}
