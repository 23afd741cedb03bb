//! Validated names, and every name derived from one.
//!
//! A name is made by parsing, and its length limit follows from the longest name derived from it, so deriving cannot
//! fail. `org-{name}` and its like are written here and nowhere else.

use std::fmt;
use std::str::FromStr;

use crate::labels;

/// Longest namespace name (RFC 1123 label).
const LABEL_MAX: usize = 63;

/// The pattern of names that become namespaces, for schemas.
pub const LABEL_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// The pattern of a GitHub account name, for schemas.
pub const GITHUB_OWNER_PATTERN: &str = "^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$";
/// The pattern of a GitHub repository name, for schemas.
pub const GITHUB_REPO_PATTERN: &str = "^[a-zA-Z0-9_.-]+$";
/// The pattern of an e-mail address that can be a user name, for schemas.
pub const EMAIL_PATTERN: &str = r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?\.[a-zA-Z]{2,}$";

/// Why a text is not such a name; the message is for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It does not match the pattern.
    #[error("{what} must match pattern {pattern}")]
    Pattern {
        /// What the name is for, as a sentence begins.
        what: &'static str,
        /// The pattern, as the published API writes it.
        pattern: &'static str,
    },
    /// It is too long for the names derived from it.
    #[error("{what} must be at most {limit} characters, for the names made from it")]
    TooLong {
        /// What the name is for, as a sentence begins.
        what: &'static str,
        /// The longest allowed.
        limit: usize,
    },
    /// It belongs to the platform or to Kubernetes.
    #[error("Cannot create namespace with privileged name")]
    Privileged,
}

macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

mod branch;

pub(crate) use branch::Scan as BranchScan;
pub use branch::{Branch, BranchError};

fn is_label(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
        && text.chars().all(|c| alphanumeric(c) || c == '-')
}

fn bounded(text: &str, what: &'static str, limit: usize) -> Result<(), NameError> {
    if text.len() > limit { Err(NameError::TooLong { what, limit }) } else { Ok(()) }
}

/// The name of an Organization.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrgName(String);

text_newtype!(OrgName);

impl OrgName {
    /// Longest name: `org-<name>` is a namespace.
    pub const MAX: usize = LABEL_MAX - "org-".len();

    /// The organization's namespace.
    #[must_use]
    pub fn namespace(&self) -> String {
        format!("org-{}", self.0)
    }

    /// The ClusterSecretStore that hands out the organization's secrets.
    #[must_use]
    pub fn secret_store(&self) -> String {
        format!("org-{}-store", self.0)
    }

    /// The ClusterRole and ClusterRoleBinding of the organization's EventListener.
    #[must_use]
    pub fn listener_cluster_role(&self) -> String {
        format!("eventlistener-{}", self.0)
    }

    /// The tunnel that carries the organization's webhooks.
    #[must_use]
    pub fn tunnel(&self) -> String {
        format!("webhooks-{}", self.0)
    }

    /// The Deployment of the tunnel's connectors.
    #[must_use]
    pub fn tunnel_connector(&self) -> String {
        format!("cloudflared-{}", self.0)
    }

    /// The Secret that holds the tunnel's credentials.
    #[must_use]
    pub fn tunnel_credentials(&self) -> String {
        format!("cloudflared-credentials-{}", self.0)
    }

    /// The Ingress that leads to the gateway, where one does.
    #[must_use]
    pub fn ingress(&self) -> String {
        format!("webhooks-{}", self.0)
    }

    /// The public host name of the organization's webhooks.
    #[must_use]
    pub fn host(&self, domain: &str) -> String {
        format!("{}.{domain}", self.0)
    }
}

impl FromStr for OrgName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const WHAT: &str = "Organization name";
        bounded(text, WHAT, Self::MAX)?;
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Pattern { what: WHAT, pattern: "^[a-z0-9-]+$" })
        }
    }
}

/// The name of a tenant: its namespace, and in an organization also its pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantName(String);

text_newtype!(TenantName);

impl TenantName {
    /// Longest name: Tekton labels runs with the Trigger's name, `<name>-trigger`, and a label value ends at 63.
    pub const MAX: usize = labels::VALUE_MAX - "-trigger".len();

    /// The tenant's namespace.
    #[must_use]
    pub fn namespace(&self) -> String {
        self.0.clone()
    }

    /// The ClusterRole and ClusterRoleBinding of the tenant's runner.
    #[must_use]
    pub fn cluster_role(&self) -> String {
        format!("pipeline-runner-{}", self.0)
    }

    /// The Argo CD AppProject.
    #[must_use]
    pub fn app_project(&self) -> String {
        self.0.clone()
    }

    /// The namespaces besides its own that the tenant's Applications may use.
    #[must_use]
    pub fn namespace_wildcard(&self) -> String {
        format!("{}-*", self.0)
    }

    /// The Trigger, and the ServiceAccount it creates runs as, in the organization's namespace.
    #[must_use]
    pub fn trigger(&self) -> String {
        format!("{}-trigger", self.0)
    }

    /// The TriggerTemplate in the organization's namespace.
    #[must_use]
    pub fn trigger_template(&self) -> String {
        format!("{}-trigger-template", self.0)
    }

    /// The Secret with the webhook secret.
    #[must_use]
    pub fn webhook_secret(&self) -> String {
        format!("webhook-{}", self.0)
    }

    /// Whether either tenant's wildcard reaches into the other's namespace.
    #[must_use]
    pub fn overlaps(&self, other: &str) -> bool {
        let reaches = |from: &str, to: &str| to.strip_prefix(from).is_some_and(|rest| rest.starts_with('-'));
        reaches(&self.0, other) || reaches(other, &self.0)
    }
}

impl FromStr for TenantName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const WHAT: &str = "Namespace name";
        if !is_label(text) {
            return Err(NameError::Pattern { what: WHAT, pattern: "^[a-z0-9-]+$" });
        }
        bounded(text, WHAT, Self::MAX)?;
        if is_privileged(text) {
            return Err(NameError::Privileged);
        }
        Ok(Self(text.to_owned()))
    }
}

/// How namespaces begin in which developers write Pipelines.
pub const DEVELOPER_PREFIXES: [&str; 2] = ["team-", "user-"];

/// The RepoBinding of a Pipeline: `<namespace>.<name>`, or a shorter text of its own.
///
/// No other Pipeline has it, for a namespace's name has no dot. It is a label value too: what the binding owns says so.
#[must_use]
pub fn pipeline_binding(namespace: &str, name: &str) -> String {
    labels::value_of(&format!("{namespace}.{name}"))
}

/// Namespaces that no tenant may have, by name.
const PRIVILEGED_NAMES: [&str; 7] = [
    "default",
    "platform-system",
    "argocd",
    "auth-system",
    "external-secrets",
    "cert-manager",
    "ingress-nginx",
];

/// Namespaces that no tenant may have, by how they begin.
const PRIVILEGED_PREFIXES: [&str; 6] = ["kube-", "tekton-", "pipeline-", "org-", "user-", "team-"];

/// Whether a tenant of this name would have, or reach by its `<name>-*` wildcard, a namespace that is not for tenants.
fn is_privileged(name: &str) -> bool {
    let wildcard = format!("{name}-");
    PRIVILEGED_NAMES.iter().any(|privileged| *privileged == name || privileged.starts_with(&wildcard))
        || PRIVILEGED_PREFIXES.iter().any(|prefix| name.starts_with(prefix) || prefix.starts_with(&wildcard))
}

/// A GitHub repository: account and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    owner: String,
    name: String,
}

impl Repository {
    /// Longest account name GitHub gives.
    pub const OWNER_MAX: usize = 39;
    /// Longest repository name GitHub gives.
    pub const NAME_MAX: usize = 100;

    /// A repository by the name of its account and its own.
    pub fn new(owner: &str, name: &str) -> Result<Self, NameError> {
        let owner_ok = owner.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && owner.starts_with(|c: char| c.is_ascii_alphanumeric())
            && owner.ends_with(|c: char| c.is_ascii_alphanumeric());
        if !owner_ok {
            return Err(NameError::Pattern { what: "Repository organization", pattern: "^[a-zA-Z0-9-]+$" });
        }
        bounded(owner, "Repository organization", Self::OWNER_MAX)?;
        let name_ok = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
            && !matches!(name, "." | "..");
        if !name_ok {
            return Err(NameError::Pattern { what: "Repository name", pattern: "^[a-zA-Z0-9_.-]+$" });
        }
        bounded(name, "Repository name", Self::NAME_MAX)?;
        Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
    }

    /// `<owner>/<name>`, as GitHub writes it.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// `<owner>.<name>`, or a shorter text of its own, as a label value.
    #[must_use]
    pub fn label(&self) -> String {
        labels::value_of(&format!("{}.{}", self.owner, self.name))
    }

    /// The page of the repository.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://github.com/{}/{}", self.owner, self.name)
    }

    /// The address to clone from.
    #[must_use]
    pub fn clone_url(&self) -> String {
        format!("{}.git", self.url())
    }
}

/// The e-mail address of an administrator, which is also their user name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdminEmail(String);

text_newtype!(AdminEmail);

impl AdminEmail {
    /// Longest address (RFC 5321, 4.5.3.1.3).
    pub const MAX: usize = 254;

    /// The RoleBinding that makes this user an administrator.
    #[must_use]
    pub fn role_binding(&self) -> String {
        // `%` cannot be in an object's name (IsValidPathSegmentName), so such an address gets a name of its own.
        if self.0.contains('%') {
            return format!("organization-admin-{:016x}", labels::checksum(self.0.as_bytes()));
        }
        format!("organization-admin-{}", self.0)
    }
}

impl FromStr for AdminEmail {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const WHAT: &str = "Administrator's e-mail address";
        let error = NameError::Pattern { what: WHAT, pattern: EMAIL_PATTERN };
        bounded(text, WHAT, Self::MAX)?;
        let (local, domain) = text.split_once('@').ok_or_else(|| error.clone())?;
        let (host, top) = domain.rsplit_once('.').ok_or_else(|| error.clone())?;
        let local_ok = !local.is_empty()
            && local.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-'));
        let host_ok = host.starts_with(|c: char| c.is_ascii_alphanumeric())
            && host.ends_with(|c: char| c.is_ascii_alphanumeric())
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
        let top_ok = top.len() >= 2 && top.chars().all(|c| c.is_ascii_alphabetic());
        if local_ok && host_ok && top_ok { Ok(Self(text.to_owned())) } else { Err(error) }
    }
}

#[cfg(test)]
mod tests;
