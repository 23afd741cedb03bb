//! Who gets into local mode's engine: those whom issuers in a file, or the local issuer, know; and who without credentials.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use aphex_auth::oidc::{Anonymous, Configuration, Issuer};

use crate::session::{CLIENT, KUBERNETES_CLIENT};

/// Who gets in, besides those with the engine's own certificates and tokens.
pub(crate) struct Trusted {
    pub(crate) issuers: Vec<Arc<Issuer>>,
    pub(crate) anonymous: Anonymous,
}

/// What a file of kube-apiserver's `AuthenticationConfiguration` says, else the local issuer where there is one.
///
/// None of the issuers may be one of `own`, the engine's issuers of service-account tokens.
pub(crate) fn trusted(file: Option<&Path>, local: Option<&str>, own: &[&str]) -> anyhow::Result<Trusted> {
    let (configuration, what) = match (file, local) {
        (Some(path), _) => {
            (read(path)?, format!("the authentication configuration {} cannot be used", path.display()))
        }
        (None, Some(url)) => (
            Configuration::of_platform(url, &[CLIENT, KUBERNETES_CLIENT]),
            format!("the local issuer {url} cannot be trusted"),
        ),
        (None, None) => return Ok(Trusted { issuers: Vec::new(), anonymous: Anonymous::default() }),
    };
    let anonymous = configuration.anonymous();
    let issuers = configuration.issuers(own).context(what)?;
    Ok(Trusted { issuers: issuers.into_iter().map(Arc::new).collect(), anonymous })
}

fn read(path: &Path) -> anyhow::Result<Configuration> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the file of --authentication-config, {shown}"))?;
    let value: serde_json::Value =
        serde_saphyr::from_str(&text).with_context(|| format!("{shown} is no YAML"))?;
    Configuration::from_value(value)
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
        let said = |path: &Path| format!("{:#}", trusted(Some(path), None, &[]).map(drop).unwrap_err());
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
            let trusted = trusted(file, local, &[]).unwrap().issuers;
            trusted.iter().map(|issuer| issuer.settings.url.clone()).collect()
        };
        assert_eq!(urls(Some(&path), Some(LOCAL)), ["https://dex.home.local"]);
        assert_eq!(urls(None, Some(LOCAL)), [LOCAL]);
        assert!(urls(None, None).is_empty());
    }
}
