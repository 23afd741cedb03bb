//! `aphex issuer`: the OpenID provider alone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aphex_issuer::{Algorithm, IssuerUrl, Lifetimes, Settings};
use aphex_runtime::Shutdown;
use aphex_runtime::serve::Tls;
use jiff::SignedDuration;

use crate::cli::{Issuer, Signing};
use crate::local;
use crate::local::listen::{listen, reachable};
use crate::output::{paint, say};

/// Requests under way get this long on shutdown.
const DRAIN: Duration = Duration::from_secs(10);

pub(crate) async fn run(arguments: Issuer) -> anyhow::Result<()> {
    let tls = arguments.tls_cert.as_ref().zip(arguments.tls_key.as_ref());
    let tls = tls.map(|(certificate, key)| Tls::open(certificate, key)).transpose()?;
    let (address, port) = (arguments.listen.ip(), arguments.listen.port());
    let listener = listen(address, port, "the issuer", "--listen").await?;
    let url = if let Some(url) = &arguments.url {
        url.clone()
    } else {
        let scheme = if tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", reachable(&listener)?)
    };
    let url = IssuerUrl::parse(&url).context("give the URL that clients use with --issuer-url")?;
    let settings = settings(&arguments, url)?;
    let url = settings.url.as_str().to_owned();
    let data_dir = match arguments.data_dir {
        Some(folder) => folder,
        None => local::default_data_dir()?,
    };
    let shutdown = Shutdown::on_signals()?;
    let opened =
        local::issuer::open(&data_dir, arguments.clients.as_deref(), settings, arguments.tls_cert.as_deref())
            .await?;
    shutdown.spawn(Arc::clone(&opened.issuer).serve(listener, tls, shutdown.clone()));
    say(&format!("{}\n\n  Issuer   {url}", paint("The issuer is ready.", "1;32")));
    if let Some(setup) = &opened.setup_url {
        say(&format!("  Set up   {setup}\n\nOpen the link to make the first administrator; it works once."));
    }
    shutdown.triggered().await;
    shutdown.drain(DRAIN).await;
    opened.storage.close().await;
    Ok(())
}

fn settings(arguments: &Issuer, url: IssuerUrl) -> anyhow::Result<Settings> {
    let algorithm = match arguments.signing_algorithm {
        Signing::Rs256 => Algorithm::RS256,
        Signing::Es256 => Algorithm::ES256,
    };
    let lifetimes = Lifetimes {
        token: lifetime(arguments.id_token_lifetime, "--id-token-lifetime")?,
        refresh: lifetime(arguments.refresh_token_lifetime, "--refresh-token-lifetime")?,
        session: lifetime(arguments.session_lifetime, "--session-lifetime")?,
        key: lifetime(arguments.key_lifetime, "--key-lifetime")?,
    };
    let upstream = local::issuer::upstream(&arguments.upstream)?;
    let trusted_proxies = arguments.proxies.trusted_proxies.clone();
    Ok(Settings { url, algorithm, lifetimes, upstream, trusted_proxies })
}

fn lifetime(duration: SignedDuration, flag: &str) -> anyhow::Result<Duration> {
    let long_enough = Duration::try_from(duration).ok().filter(|duration| duration.as_secs() > 0);
    long_enough.with_context(|| format!("{flag} must be one second at least, such as 30m or 24h"))
}
