//! Who makes a request, and the names Kubernetes reserves for users and groups.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The group whose members may do everything, whatever roles exist.
pub const MASTERS: &str = "system:masters";
/// The group every authenticated user is in.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of requests without credentials.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user name of requests without credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group every service account is in.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
/// The extra key that names the credential a user came with.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
/// The extra key with the name of the pod a token is bound to.
pub const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
/// The extra key with the uid of the pod a token is bound to.
pub const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
/// The extra key with the name of the node a token is bound to.
pub const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// The extra key with the uid of the node a token is bound to.
pub const NODE_UID: &str = "authentication.kubernetes.io/node-uid";

const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// Who makes a request; serialises as `UserInfo` of authentication.k8s.io/v1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// The name, unique among active users.
    #[serde(rename = "username", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The identifier that survives deletion and re-creation under the same name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The groups the user is in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// What else the authenticator knows.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user by name and groups.
    pub fn new<G: Into<String>>(name: impl Into<String>, groups: impl IntoIterator<Item = G>) -> Self {
        Self { name: name.into(), groups: groups.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The user of requests without credentials.
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS, [UNAUTHENTICATED])
    }

    /// A service account as a user.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            uid: uid.to_owned(),
            ..Self::new(service_account_name(namespace, name), service_account_groups(namespace))
        }
    }

    /// Whether the user is in a group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|held| held == group)
    }

    /// Whether everything is allowed to the user, whatever roles exist.
    pub fn is_master(&self) -> bool {
        self.in_group(MASTERS)
    }

    /// The user after authentication: a member of `system:authenticated` unless anonymous.
    ///
    /// As apiserver's authentication/group/authenticated_group_adder.go.
    #[must_use]
    pub fn authenticated(mut self) -> Self {
        let settled =
            self.name == ANONYMOUS || self.in_group(AUTHENTICATED) || self.in_group(UNAUTHENTICATED);
        if !settled {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }
}

/// The user name of a service account.
pub fn service_account_name(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")
}

/// The groups of every service account of a namespace.
pub fn service_account_groups(namespace: &str) -> [String; 2] {
    [SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")]
}

/// The namespace and name of the service account a user name stands for, when it stands for one.
pub fn split_service_account_name(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    (is_label(namespace) && is_subdomain(name)).then_some((namespace, name))
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() <= 63
        && text.bytes().all(inner)
        && !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Unlike a namespace, each part of a name may be as long as the whole: RFC 1123 subdomains here.
fn is_subdomain(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() <= 253
        && text.split('.').all(|part| {
            !part.is_empty() && part.bytes().all(inner) && !part.starts_with('-') && !part.ends_with('-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_account_names_split_only_when_well_formed() {
        let split = split_service_account_name;
        assert_eq!(split("system:serviceaccount:ns:web.v1"), Some(("ns", "web.v1")));
        for bad in [
            "alice",
            "system:serviceaccount:ns",
            "system:serviceaccount:ns:",
            "system:serviceaccount::web",
            "system:serviceaccount:ns:web:more",
            "system:serviceaccount:n.s:web",
            "system:serviceaccount:NS:web",
            "system:serviceaccount:ns:-web",
        ] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }

    #[test]
    fn everyone_but_the_anonymous_joins_the_authenticated() {
        let alice = User::new("alice", ["dev"]).authenticated();
        assert_eq!(alice.groups, ["dev", AUTHENTICATED]);
        assert_eq!(alice.clone().authenticated(), alice);
        assert_eq!(User::anonymous().authenticated(), User::anonymous());
        let odd = User::new("odd", [UNAUTHENTICATED]);
        assert_eq!(odd.clone().authenticated(), odd);
    }

    #[test]
    fn a_service_account_is_a_user_in_two_groups() {
        let user = User::service_account("team", "builder", "u-1");
        assert_eq!(user.name, "system:serviceaccount:team:builder");
        assert_eq!(user.uid, "u-1");
        assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:team"]);
    }

    #[test]
    fn empty_fields_stay_out_of_the_wire_form() {
        let json = serde_json::to_string(&User::new("alice", ["dev"])).unwrap();
        assert_eq!(json, r#"{"username":"alice","groups":["dev"]}"#);
    }
}
