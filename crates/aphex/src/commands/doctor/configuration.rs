//! What the platform on the cluster is configured with, for flags that were not given.

use std::collections::BTreeMap;

use clap::ValueEnum as _;
use kube::Client;

use crate::cli::{Choice, Doctor};
use crate::commands::settings::{self, Token};

/// Fills in what was not given. What cannot be read is left as it is: the checks that need it say so.
pub(super) async fn complete(client: &Client, arguments: &mut Doctor) -> Token {
    fill(arguments, &settings::configured(client).await.unwrap_or_default());
    settings::take_token(client, &mut arguments.exposure).await
}

fn fill(arguments: &mut Doctor, found: &BTreeMap<String, String>) {
    let value = |name: &str| found.get(name).filter(|text| !text.is_empty()).cloned();
    let fill = |slot: &mut Option<String>, name: &str| {
        if slot.as_ref().is_none_or(String::is_empty) {
            *slot = value(name);
        }
    };
    fill(&mut arguments.gateway_url, "APHEX_GATEWAY_URL");
    let exposure = &mut arguments.exposure;
    fill(&mut exposure.domain, "APHEX_DOMAIN");
    fill(&mut exposure.ingress_class, "APHEX_INGRESS_CLASS");
    fill(&mut exposure.cloudflare_account, "APHEX_CLOUDFLARE_ACCOUNT_ID");
    fill(&mut exposure.cloudflare_zone, "APHEX_CLOUDFLARE_ZONE_ID");
    let configured = value("APHEX_EXPOSURE").and_then(|text| Choice::from_str(&text, true).ok());
    if let (Choice::Auto, Some(choice)) = (exposure.choice, configured) {
        exposure.choice = choice;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn what_is_given_wins_over_what_is_configured() -> anyhow::Result<()> {
        let command = ["aphex", "doctor", "--domain", "given.example"];
        let Command::Doctor(mut arguments) = Cli::try_parse_from(command)?.command else {
            anyhow::bail!("another command")
        };
        let configured = [
            ("APHEX_DOMAIN", "configured.example"),
            ("APHEX_GATEWAY_URL", "http://gateway"),
            ("APHEX_EXPOSURE", "ingress"),
            ("APHEX_CLOUDFLARE_ZONE_ID", ""),
        ];
        fill(&mut arguments, &configured.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        assert_eq!(arguments.exposure.domain.as_deref(), Some("given.example"));
        assert_eq!(arguments.gateway_url.as_deref(), Some("http://gateway"));
        assert_eq!(arguments.exposure.choice, Choice::Ingress);
        assert_eq!(arguments.exposure.cloudflare_zone, None);
        Ok(())
    }
}
