//! Whether the gateway answers where webhooks are to be sent.

use std::time::Duration;

use aphex_runtime::errors;
use http::{Request, StatusCode};
use kube::Client;

use crate::commands::report::{Check, Report};
use crate::commands::settings::NAMESPACE;

const CHECK: &str = "gateway";
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn answers(client: Option<&Client>, url: Option<&str>, report: &mut Report) {
    let Some(url) = url.filter(|url| !url.is_empty()) else {
        let remedy =
            "give --gateway-url URL, or install the platform (its ConfigMap aphex-config names the address)";
        report.add(Check::warn(CHECK, "its address is not known", remedy));
        return;
    };
    let found = match get(url).await {
        Ok(status) if is_gateway(status) => {
            report.add(Check::ok(CHECK, &format!("{url} answers")));
            return;
        }
        Ok(status) => format!("{url} answers {status}, which the gateway does not"),
        Err(error) => format!("{url} does not answer: {}", errors::chain(&error.without_url())),
    };
    if !is_of_cluster(url) {
        let remedy = "see that it runs, and that its address leads to it";
        report.add(Check::fail(CHECK, &found, remedy));
        return;
    }
    // An address of the cluster leads nowhere from outside, but the API server knows the way.
    report.add(match through(client).await {
        Ok(()) => Check::warn(
            CHECK,
            &format!("answers inside the cluster; {url} leads nowhere from outside"),
            "set APHEX_GATEWAY_URL to an address that GitHub reaches, or choose an exposure",
        ),
        Err(why) => {
            let remedy =
                "kubectl get pods -n platform-system -l app.kubernetes.io/component=gateway says why";
            Check::fail(CHECK, &why, remedy)
        }
    });
}

async fn get(url: &str) -> reqwest::Result<StatusCode> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    Ok(client.get(url).send().await?.status())
}

/// Webhooks are posted; to be asked for anything else the gateway does not allow, whatever the address.
fn is_gateway(status: StatusCode) -> bool {
    status == StatusCode::METHOD_NOT_ALLOWED
}

/// Whether an address is that of a Service.
fn is_of_cluster(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    host.split('.').skip(2).any(|label| label == "svc")
}

/// Asks the gateway by way of the API server.
async fn through(client: Option<&Client>) -> Result<(), String> {
    let client = client.ok_or("there is no cluster to ask")?;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/services/aphex-gateway:http/proxy/");
    let request = Request::get(path).body(kube::client::Body::empty()).map_err(|error| error.to_string())?;
    match client.send(request).await {
        Ok(answer) if is_gateway(answer.status()) => Ok(()),
        Ok(answer) => Err(format!("Service {NAMESPACE}/aphex-gateway answers {}", answer.status())),
        Err(error) => Err(format!("Service {NAMESPACE}/aphex-gateway: {}", errors::chain(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_services_are_known_by_their_host() {
        for url in ["http://aphex-gateway.platform-system.svc", "http://a.b.svc.cluster.local:80/x"] {
            assert!(is_of_cluster(url), "{url}");
        }
        for url in ["https://hooks.example.com/a.svc", "http://127.0.0.1:8080"] {
            assert!(!is_of_cluster(url), "{url}");
        }
    }
}
