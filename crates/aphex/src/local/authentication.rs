//! Whose tokens local mode's engine accepts: those of issuers in a file, or of the local issuer.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use aphex_auth::oidc::{Configuration, Issuer};

use crate::session::{CLIENT, KUBERNETES_CLIENT, LOCAL_ISSUER};

/// Where the trusted issuers are named.
#[derive(Clone, Debug)]
pub(crate) enum Authentication {
    /// An `AuthenticationConfiguration` of kube-apiserver.
    File(PathBuf),
    /// The local issuer, at this URL.
    Issuer(String),
}

impl Authentication {
    /// The local issuer at its usual place.
    pub(crate) fn local() -> Self {
        Self::Issuer(LOCAL_ISSUER.to_owned())
    }

    /// The issuers; none of them may be one of `own`, the engine's issuers of service-account tokens.
    pub(crate) fn issuers(&self, own: &[&str]) -> anyhow::Result<Vec<Arc<Issuer>>> {
        let issuers = match self {
            Self::Issuer(url) => Configuration::of_platform(url, &[CLIENT, KUBERNETES_CLIENT])
                .issuers(own)
                .with_context(|| format!("the local issuer {url} cannot be trusted"))?,
            Self::File(path) => {
                let shown = path.display();
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the file of --authentication-config, {shown}"))?;
                let value: serde_json::Value =
                    serde_saphyr::from_str(&text).with_context(|| format!("{shown} is no YAML"))?;
                Configuration::from_value(value)
                    .and_then(|configuration| configuration.issuers(own))
                    .with_context(|| format!("the authentication configuration {shown} cannot be used"))?
            }
        };
        Ok(issuers.into_iter().map(Arc::new).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authentication.yaml");
        let text = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer:\n    url: http://dex.home.local\n    audiences: [kubernetes]\n  claimMappings:\n    username: {claim: email, prefix: ''}\n";
        std::fs::write(&path, text).unwrap();
        let said =
            |path: PathBuf| format!("{:#}", Authentication::File(path).issuers(&[]).map(drop).unwrap_err());
        let error = said(path.clone());
        assert!(
            error.contains("authentication.yaml")
                && error.contains("jwt[0].issuer.url")
                && error.contains("https"),
            "{error}"
        );
        assert!(said(folder.path().join("missing")).contains("--authentication-config"));
        std::fs::write(&path, text.replace("http:", "https:")).unwrap();
        assert_eq!(Authentication::File(path).issuers(&[]).unwrap().len(), 1);
        assert_eq!(Authentication::local().issuers(&[]).unwrap()[0].settings.url, LOCAL_ISSUER);
    }
}
