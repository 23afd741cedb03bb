//! Whose tokens local mode's engine accepts: those of issuers in a file, or of the local issuer.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use aphex_auth::oidc::{Configuration, Issuer};

use crate::session::{CLIENT, KUBERNETES_CLIENT};

/// The issuers that a file of kube-apiserver's `AuthenticationConfiguration` names, else the local one where there is one.
///
/// None of them may be one of `own`, the engine's issuers of service-account tokens.
pub(crate) fn issuers(
    file: Option<&Path>,
    local: Option<&str>,
    own: &[&str],
) -> anyhow::Result<Vec<Arc<Issuer>>> {
    let issuers = match (file, local) {
        (Some(path), _) => read(path, own)?,
        (None, Some(url)) => Configuration::of_platform(url, &[CLIENT, KUBERNETES_CLIENT])
            .issuers(own)
            .with_context(|| format!("the local issuer {url} cannot be trusted"))?,
        (None, None) => Vec::new(),
    };
    Ok(issuers.into_iter().map(Arc::new).collect())
}

fn read(path: &Path, own: &[&str]) -> anyhow::Result<Vec<Issuer>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the file of --authentication-config, {shown}"))?;
    let value: serde_json::Value =
        serde_saphyr::from_str(&text).with_context(|| format!("{shown} is no YAML"))?;
    Configuration::from_value(value)
        .and_then(|configuration| configuration.issuers(own))
        .with_context(|| format!("the authentication configuration {shown} cannot be used"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "http://127.0.0.1:5556";

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authentication.yaml");
        let text = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer:\n    url: http://dex.home.local\n    audiences: [kubernetes]\n  claimMappings:\n    username: {claim: email, prefix: ''}\n";
        std::fs::write(&path, text).unwrap();
        let said = |path: &Path| format!("{:#}", issuers(Some(path), None, &[]).map(drop).unwrap_err());
        let error = said(&path);
        for part in ["authentication.yaml", "jwt[0].issuer.url", "https"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(said(&folder.path().join("missing")).contains("--authentication-config"));
    }

    #[test]
    fn a_file_is_in_place_of_the_local_issuer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authentication.yaml");
        let text = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer:\n    url: https://dex.home.local\n    audiences: [kubernetes]\n  claimMappings:\n    username: {claim: email, prefix: ''}\n";
        std::fs::write(&path, text).unwrap();
        let urls = |file: Option<&Path>, local| -> Vec<String> {
            let trusted = issuers(file, local, &[]).unwrap();
            trusted.iter().map(|issuer| issuer.settings.url.clone()).collect()
        };
        assert_eq!(urls(Some(&path), Some(LOCAL)), ["https://dex.home.local"]);
        assert_eq!(urls(None, Some(LOCAL)), [LOCAL]);
        assert!(urls(None, None).is_empty());
    }
}
