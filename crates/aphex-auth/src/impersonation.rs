//! Acting as someone else: the `Impersonate-*` headers, what they need and whom they give.
//!
//! As apiserver's endpoints/filters/impersonation/impersonation.go. Every [`Impersonation::checks`]
//! must be authorized for the one who asks before the request runs as [`Impersonation::user`].

use std::collections::BTreeMap;

use crate::attributes::Attributes;
use crate::user::{
    ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User, service_account_groups, split_service_account_name,
};

const GROUP: &str = "authentication.k8s.io";
const EXTRA_PREFIX: &str = "impersonate-extra-";

/// A request to act as someone else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impersonation {
    /// The user name asked for.
    pub name: String,
    /// The groups asked for; when empty, they follow from the name.
    pub groups: Vec<String>,
    /// The uid asked for, empty for none.
    pub uid: String,
    /// The extra values asked for; keys are in lower case.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Groups, a uid or extra values without a user; the message of the BadRequest error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("requested {requested} without impersonating a user")]
pub struct UserMissing {
    /// What was asked for, as Go prints the references.
    requested: String,
}

impl Impersonation {
    /// Reads the headers of a request; none when it asks for no impersonation.
    pub fn from_headers<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<Self>, UserMissing> {
        let mut asked =
            Self { name: String::new(), groups: Vec::new(), uid: String::new(), extra: BTreeMap::new() };
        // The first of several values counts, also when it is empty (net/http's Header.Get).
        let (mut name_seen, mut uid_seen) = (false, false);
        for (header, value) in headers {
            let header = header.to_ascii_lowercase();
            match header.as_str() {
                "impersonate-user" if !name_seen => {
                    name_seen = true;
                    value.clone_into(&mut asked.name);
                }
                "impersonate-uid" if !uid_seen => {
                    uid_seen = true;
                    value.clone_into(&mut asked.uid);
                }
                "impersonate-group" => asked.groups.push(value.to_owned()),
                _ => {
                    if let Some(key) = header.strip_prefix(EXTRA_PREFIX) {
                        let values = asked.extra.entry(unescaped(key)).or_default();
                        values.push(value.to_owned());
                    }
                }
            }
        }
        if !asked.name.is_empty() {
            return Ok(Some(asked));
        }
        if asked.groups.is_empty() && asked.extra.is_empty() && asked.uid.is_empty() {
            return Ok(None);
        }
        Err(UserMissing { requested: asked.references() })
    }

    /// What must be allowed to the one who asks, in the order Kubernetes checks it.
    pub fn checks<'a>(&'a self, requestor: &'a User) -> Vec<Attributes<'a>> {
        let impersonate = |group, resource, name| Attributes {
            name,
            ..Attributes::resource(requestor, "impersonate", group, resource)
        };
        let mut checks = Vec::new();
        checks.push(match split_service_account_name(&self.name) {
            Some((namespace, name)) => Attributes { namespace, ..impersonate("", "serviceaccounts", name) },
            None => impersonate("", "users", &self.name),
        });
        checks.extend(self.groups.iter().map(|group| impersonate("", "groups", group)));
        for (key, values) in &self.extra {
            checks.extend(values.iter().map(|value| Attributes {
                version: "v1",
                subresource: key,
                ..impersonate(GROUP, "userextras", value)
            }));
        }
        if !self.uid.is_empty() {
            checks.push(Attributes { version: "v1", ..impersonate(GROUP, "uids", &self.uid) });
        }
        checks
    }

    /// The user the request then runs as.
    pub fn user(&self) -> User {
        let mut groups = self.groups.clone();
        if groups.is_empty()
            && let Some((namespace, _)) = split_service_account_name(&self.name)
        {
            groups.extend(service_account_groups(namespace));
        }
        let has = |group: &str| groups.iter().any(|held| held == group);
        if self.name == ANONYMOUS {
            if !has(UNAUTHENTICATED) {
                groups.push(UNAUTHENTICATED.to_owned());
            }
        } else if !has(AUTHENTICATED) && !has(UNAUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        User { name: self.name.clone(), uid: self.uid.clone(), groups, extra: self.extra.clone() }
    }

    /// The references as Go prints them: kind, namespace, name, uid, version, revision, path.
    fn references(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.groups.iter().map(|group| format!("{{Group  {group}    }}")));
        for (key, values) in &self.extra {
            let printed = |value: &String| format!("{{UserExtra  {value}  {GROUP}/v1  {key}}}");
            parts.extend(values.iter().map(printed));
        }
        if !self.uid.is_empty() {
            parts.push(format!("{{UID  {}  {GROUP}/v1  }}", self.uid));
        }
        format!("[{}]", parts.join(" "))
    }
}

/// A key with its percent-encoded bytes decoded; one that is malformed stays as it came.
fn unescaped(key: &str) -> String {
    decoded(key).unwrap_or_else(|| key.to_owned())
}

fn decoded(key: &str) -> Option<String> {
    let mut out = Vec::with_capacity(key.len());
    let mut bytes = key.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        out.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests;
