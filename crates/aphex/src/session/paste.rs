//! Logging in with a browser elsewhere, without help of the issuer: the address it ends at is pasted here.

use anyhow::Context as _;
use url::Url;

use super::provider::{Provider, Tokens};
use super::{Attempt, KUBERNETES_CLIENT, browser};
use crate::exit;
use crate::output::note;

/// Nothing listens there: what counts is the address the browser shows.
const PORT: u16 = 18000;

/// Shows an address, and reads the one that the browser came to.
pub(crate) async fn login(provider: &Provider) -> anyhow::Result<Tokens> {
    let host = if provider.client_id == KUBERNETES_CLIENT { "localhost" } else { "127.0.0.1" };
    let attempt = Attempt::new(format!("http://{host}:{PORT}{}", browser::PATH));
    note(&format!(
        "Open this address in a browser on any machine, and log in:\n\n  {}\n\n\
         It ends at a page that cannot be shown. Paste the address of that page here, and press Enter:",
        attempt.address(provider)?
    ));
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    let line = line.await?.context("standard input cannot be read")?;
    let code = attempt.code(provider, &query(&line)).map_err(|error| {
        let message = if line.trim().is_empty() {
            "no address was pasted: begin again with `aphex login --no-browser`".to_owned()
        } else {
            error.to_string()
        };
        exit::Coded { code: exit::REFUSED, message }
    })?;
    attempt.redeem(provider, &code).await
}

/// The query of an address, whole or only from the question mark on.
fn query(line: &str) -> String {
    let line = line.trim().trim_matches(['"', '\'']);
    match Url::parse(line) {
        Ok(url) => url.query().unwrap_or_default().to_owned(),
        Err(_) => line.trim_start_matches('?').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::query;

    #[test]
    fn an_address_is_taken_as_browsers_give_it() {
        let wanted = "code=a%2Fb&state=c";
        for line in [
            "http://127.0.0.1:18000/callback?code=a%2Fb&state=c\n",
            "  \"http://localhost:18000/callback?code=a%2Fb&state=c#\" ",
            "?code=a%2Fb&state=c",
            "code=a%2Fb&state=c",
        ] {
            assert_eq!(query(line), wanted, "{line}");
        }
    }
}
