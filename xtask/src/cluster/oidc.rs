//! An API server that takes the ID tokens of an OpenID provider, with the flags of `platform/bootstrap/kind-cluster-config.yaml`.

use std::path::PathBuf;

use anyhow::Context as _;

use super::state::State;

/// The provider's authority, in the cluster's folder.
const CA: &str = "pki/oidc-ca.crt";

/// What `cargo xtask cluster up` takes for it.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Let the API server take ID tokens of this issuer for client "kubernetes": e-mail addresses are names, claim
    /// "groups" are groups
    #[arg(long, value_name = "ISSUER_URL")]
    oidc: Option<String>,
    /// With --oidc: the certificate of the authority that signed the issuer's, where not everybody trusts it
    #[arg(long, value_name = "FILE", requires = "oidc")]
    oidc_ca: Option<PathBuf>,
}

impl Arguments {
    /// The provider, when one is named.
    pub(super) fn oidc(self) -> anyhow::Result<Option<Oidc>> {
        let Some(issuer) = self.oidc else { return Ok(None) };
        anyhow::ensure!(
            issuer.starts_with("https://"),
            "kube-apiserver takes issuers over https alone, not {issuer:?}: serve it with a certificate, and give its authority with --oidc-ca"
        );
        let read = |path: PathBuf| {
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(Some(Oidc { issuer, ca: self.oidc_ca.map(read).transpose()? }))
    }
}

/// An OpenID provider.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Oidc {
    /// Its issuer URL.
    pub(crate) issuer: String,
    /// The certificate of its authority.
    pub(crate) ca: Option<String>,
}

impl Oidc {
    /// Puts the authority where the API server finds it.
    pub(super) fn write(&self, state: &State) -> anyhow::Result<()> {
        self.ca.as_ref().map_or(Ok(()), |ca| state.write_text(CA, ca))
    }

    /// Flags of kube-apiserver.
    pub(super) fn flags(&self) -> Vec<String> {
        let mut flags = vec![
            format!("--oidc-issuer-url={}", self.issuer),
            "--oidc-client-id=kubernetes".to_owned(),
            "--oidc-username-claim=email".to_owned(),
            "--oidc-groups-claim=groups".to_owned(),
        ];
        flags.extend(self.ca.is_some().then(|| format!("--oidc-ca-file={CA}")));
        flags
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn arguments(issuer: &str) -> Arguments {
        Arguments { oidc: Some(issuer.to_owned()), oidc_ca: None }
    }

    #[test]
    fn the_flags_are_those_of_the_kind_cluster() {
        let kind =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../platform/bootstrap/kind-cluster-config.yaml");
        let kind = std::fs::read_to_string(kind).unwrap();
        let committed: Vec<String> = kind
            .lines()
            .filter_map(|line| line.trim().split_once(": "))
            .filter(|(flag, _)| flag.starts_with("oidc-"))
            .map(|(flag, value)| format!("--{flag}={value}"))
            .collect();
        let oidc = Oidc { issuer: "https://dex.home.local".to_owned(), ca: Some("...".to_owned()) };
        let ours = oidc.flags();
        // Where the authority's certificate lies is each one's own.
        assert_eq!(ours[..4], committed[..4]);
        let file = "--oidc-ca-file=";
        assert!(
            ours.len() == 5
                && committed.len() == 5
                && ours[4].starts_with(file)
                && committed[4].starts_with(file)
        );
    }

    #[test]
    fn an_issuer_without_tls_is_refused_before_anything_starts() {
        let error = arguments("http://127.0.0.1:5556").oidc().unwrap_err().to_string();
        assert!(error.contains("https alone") && error.contains("--oidc-ca"), "{error}");
        assert_eq!(arguments("https://a.example").oidc().unwrap().unwrap().flags().len(), 4);
        assert!(Arguments { oidc: None, oidc_ca: None }.oidc().unwrap().is_none());
    }
}
