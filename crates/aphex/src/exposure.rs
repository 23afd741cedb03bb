//! From flags and environment to what makes organizations reachable.

use std::sync::Arc;

use anyhow::Context as _;
use aphex_controllers::context::{self, ExposureSettings};
use aphex_controllers::sensitive::Sensitive;
use aphex_controllers::tunnels::cloudflare::{Client, Connection, Places, Token};
use aphex_controllers::tunnels::{Cloudflare, Local, Successor, ThroughIngress, Tunnels};
use aphex_runtime::{Clock, Metrics};

use crate::cli::{Choice, Exposure};

/// The environment variable with the API token. Flags would show it to everybody who lists processes.
pub(crate) const TOKEN_VARIABLE: &str = "CLOUDFLARE_API_TOKEN";

/// How webhooks reach organizations, with all that it takes.
#[derive(Debug)]
pub(crate) enum Way {
    Cloudflare { connection: Connection, places: Places },
    Ingress { domain: String, before: Before },
    Local { before: Before },
}

/// What takes back tunnels that there were before: an API token that is configured still, or again.
#[derive(Debug)]
pub(crate) struct Before(Option<(Connection, Places)>);

impl Before {
    fn tunnels(self, clock: Clock, metrics: &Metrics) -> anyhow::Result<Option<Arc<dyn Tunnels>>> {
        let Some((connection, places)) = self.0 else { return Ok(None) };
        let client = Client::new(connection, clock.clone(), metrics)?;
        Ok(Some(Arc::new(Cloudflare::new(client, places, clock))))
    }
}

impl Way {
    /// The way in one word.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Cloudflare { .. } => "cloudflare",
            Self::Ingress { .. } => "ingress",
            Self::Local { .. } => "local",
        }
    }

    /// What goes that way.
    pub(crate) fn tunnels(
        self,
        gateway_url: &str,
        clock: Clock,
        metrics: &Metrics,
    ) -> anyhow::Result<Arc<dyn Tunnels>> {
        Ok(match self {
            Self::Cloudflare { connection, places } => {
                let client = Client::new(connection, clock.clone(), metrics)?;
                Arc::new(Cloudflare::new(client, places, clock))
            }
            Self::Ingress { domain, before } => {
                let now = Arc::new(ThroughIngress::new(&domain));
                Arc::new(Successor::new(now, before.tunnels(clock, metrics)?))
            }
            Self::Local { before } => {
                let now = Arc::new(Local::new(gateway_url));
                Arc::new(Successor::new(now, before.tunnels(clock, metrics)?))
            }
        })
    }
}

/// The way that the flags choose; an error when they lack something.
pub(crate) fn way(arguments: &Exposure) -> anyhow::Result<Way> {
    let (token, domain) = (token(arguments), given(arguments.domain.as_ref()));
    let domain_for = |choice: &str| {
        let missing = format!("exposure {choice} needs the platform's domain: set --domain or APHEX_DOMAIN");
        domain.clone().context(missing)
    };
    let reach = |token, domain: &str| {
        let connection = Connection { url: arguments.cloudflare_url.clone(), ..Connection::new(token) };
        let account = given(arguments.cloudflare_account.as_ref());
        (connection, Places::new(domain, account, given(arguments.cloudflare_zone.as_ref())))
    };
    let cloudflare = |token, domain: &str| {
        let (connection, places) = reach(token, domain);
        Way::Cloudflare { connection, places }
    };
    let before =
        |token: Option<Token>| Before(token.map(|token| reach(token, domain.as_deref().unwrap_or_default())));
    match arguments.choice {
        Choice::Local => Ok(Way::Local { before: before(token) }),
        Choice::Ingress => Ok(Way::Ingress { domain: domain_for("ingress")?, before: before(token) }),
        // To go on without a token would take down the tunnels of all organizations.
        Choice::Cloudflare => {
            let token = token.with_context(|| {
                format!(
                    "exposure cloudflare needs an API token: set {TOKEN_VARIABLE}, or put it into the file that \
                     --cloudflare-token-file names (on a cluster: key token of Secret platform-system/aphex-cloudflare)"
                )
            })?;
            Ok(cloudflare(token, &domain_for("cloudflare")?))
        }
        Choice::Auto => match (token, &domain) {
            (Some(token), Some(domain)) => Ok(cloudflare(token, domain)),
            (Some(token), None) => {
                tracing::warn!(
                    "a Cloudflare API token is configured and no domain: set --domain or APHEX_DOMAIN to use it"
                );
                Ok(Way::Local { before: before(Some(token)) })
            }
            (None, _) => Ok(Way::Local { before: before(None) }),
        },
    }
}

/// The plain values among the flags, and the way that they choose.
pub(crate) fn settings(arguments: &Exposure, way: &Way) -> ExposureSettings {
    let usual = ExposureSettings::default();
    ExposureSettings {
        way: match way {
            Way::Cloudflare { places, .. } => context::Way::Tunnel(places.domain().to_owned()),
            Way::Ingress { domain, .. } => context::Way::Ingress(domain.clone()),
            Way::Local { .. } => context::Way::Direct,
        },
        cloudflared_image: given(Some(&arguments.cloudflared_image)).unwrap_or(usual.cloudflared_image),
        ingress_class: given(arguments.ingress_class.as_ref()),
        ingress_tls_secret: given(arguments.ingress_tls_secret.as_ref()),
    }
}

/// The API token, if there is one: from the file, else from the environment.
pub(crate) fn token(arguments: &Exposure) -> Option<Token> {
    // The manifests name a file of a Secret that need not be there.
    let filled = |path: &std::path::PathBuf| path.metadata().is_ok_and(|file| file.len() > 0);
    let file = arguments.cloudflare_token_file.clone().filter(filled).map(Token::File);
    let variable = || {
        let text = std::env::var(TOKEN_VARIABLE).ok().filter(|text| !text.trim().is_empty())?;
        Some(Token::Value(Sensitive::new(text.trim())))
    };
    file.or_else(variable).or_else(|| arguments.cloudflare_token.clone().map(Token::Value))
}

/// A value that was given: configuration leaves what it does not want empty.
fn given(value: Option<&String>) -> Option<String> {
    value.map(|text| text.trim().trim_end_matches('.')).filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn chosen(arguments: &[&str]) -> anyhow::Result<&'static str> {
        let command = ["aphex", "controller", "--gateway-url", "http://gateway"];
        let Command::Controller(controller) = Cli::try_parse_from(command.iter().chain(arguments))?.command
        else {
            anyhow::bail!("another command")
        };
        way(&controller.exposure).map(|way| way.as_str())
    }

    #[test]
    fn without_a_token_the_exposure_is_local_unless_another_is_asked_for() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let (file, none) = (folder.path().join("token"), folder.path().join("none"));
        std::fs::write(&file, "a-token\n")?;
        let file = ["--cloudflare-token-file", file.to_str().unwrap_or_default()];
        let none = ["--cloudflare-token-file", none.to_str().unwrap_or_default()];
        let domain = ["--domain", "example.com"];
        assert_eq!(chosen(&[])?, "local");
        assert_eq!(chosen(&[&domain[..], &none[..]].concat())?, "local");
        assert_eq!(chosen(&file)?, "local", "there is no domain");
        assert_eq!(chosen(&[&domain[..], &file[..]].concat())?, "cloudflare");
        assert_eq!(chosen(&["--exposure", "ingress", "--domain", "example.com"])?, "ingress");
        assert_eq!(chosen(&[&["--exposure", "local"], &domain[..], &file[..]].concat())?, "local");
        let error = |arguments: &[&str]| chosen(arguments).unwrap_err().to_string();
        let asked = ["--exposure", "cloudflare"];
        assert!(error(&[&asked[..], &domain[..]].concat()).contains("needs an API token"));
        assert!(error(&[&asked[..], &file[..], &["--domain", ""]].concat()).contains("APHEX_DOMAIN"));
        assert!(error(&["--exposure", "ingress"]).contains("needs the platform's domain"));
        Ok(())
    }
}
