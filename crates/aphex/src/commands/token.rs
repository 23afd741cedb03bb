//! `aphex token`: a credential plugin of kubectl and of every client-go program.
//!
//! Standard output is the ExecCredential and nothing else (client.authentication.k8s.io, `client-go` credential plugins).

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::Token;
use crate::output::print;
use crate::session::vault::Vault;
use crate::session::{CLIENT, LOCAL_ISSUER, refresh};

const GROUP: &str = "client.authentication.k8s.io";

pub(crate) async fn run(arguments: Token) -> anyhow::Result<()> {
    let issuer = arguments.provider.issuer.unwrap_or_else(|| LOCAL_ISSUER.to_owned());
    let client_id = arguments.provider.client_id.unwrap_or_else(|| CLIENT.to_owned());
    let session = refresh::current(&Vault::of_user()?, &issuer, &client_id).await?;
    // The caller asks again at this time, which is when there is something new to have; never in the past.
    let until = session.fresh_until().max(Timestamp::now().as_second() + 1).min(session.expires);
    let until = Timestamp::from_second(until).context("the token's end is no time")?;
    let credential = json!({
        "apiVersion": api_version(std::env::var("KUBERNETES_EXEC_INFO").ok().as_deref()),
        "kind": "ExecCredential",
        "spec": { "interactive": false },
        "status": { "token": session.id_token, "expirationTimestamp": until.to_string() },
    });
    print(&credential.to_string());
    Ok(())
}

/// The version that the caller wants; v1 when it does not say.
fn api_version(asked: Option<&str>) -> String {
    let asked: Value = asked.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let version = asked["apiVersion"].as_str().filter(|version| *version == format!("{GROUP}/v1beta1"));
    version.map_or_else(|| format!("{GROUP}/v1"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::api_version;

    #[test]
    fn the_answer_is_of_the_version_that_was_asked_for() {
        let v1 = "client.authentication.k8s.io/v1";
        let beta = "client.authentication.k8s.io/v1beta1";
        assert_eq!(api_version(Some(&format!("{{\"apiVersion\":\"{beta}\"}}"))), beta);
        for other in [None, Some("no JSON"), Some("{\"apiVersion\":\"v9\"}")] {
            assert_eq!(api_version(other), v1);
        }
    }
}
