//! The Secrets that the manifests refer to: what is there is kept, what is missing is random.

use std::collections::BTreeMap;
use std::fmt;

use aphex_controllers::sensitive::Sensitive;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Namespace and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) namespace: &'static str,
    pub(super) name: &'static str,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The values of one Secret, by key.
pub(super) type Values = BTreeMap<&'static str, Sensitive>;
/// The values of all.
pub(super) type Known = BTreeMap<Id, Values>;

/// Where a value comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    /// So many random bytes, as text.
    Random(usize),
    /// A key of Dex's own Secret: the other end of the same secret.
    Dex(&'static str),
}

const DEX: Id = Id { namespace: "auth-system", name: "dex" };
const AUTHENTIK: Id = Id { namespace: "auth-system", name: "authentik" };
const ARGOCD: Id = Id { namespace: "argocd", name: "argocd-secret" };
const TEKTON: Id = Id { namespace: "tekton-pipelines", name: "tekton-dashboard-oidc" };

/// Dex's come first, for others repeat them.
const WANTED: &[(Id, &str, From)] = &[
    (DEX, "authentik-client-secret", From::Random(48)),
    (DEX, "argocd-client-secret", From::Random(48)),
    (DEX, "tekton-dashboard-client-secret", From::Random(48)),
    (AUTHENTIK, "secret-key", From::Random(48)),
    (AUTHENTIK, "postgresql-password", From::Random(32)),
    (AUTHENTIK, "bootstrap-password", From::Random(24)),
    (AUTHENTIK, "bootstrap-token", From::Random(48)),
    (ARGOCD, "oidc.dex.clientSecret", From::Dex("argocd-client-secret")),
    (TEKTON, "client-secret", From::Dex("tekton-dashboard-client-secret")),
    // oauth2-proxy takes it for a key of AES, which has 16, 24 or 32 bytes.
    (TEKTON, "cookie-secret", From::Random(32)),
];

/// Every Secret that there should be.
pub(super) fn ids() -> impl Iterator<Item = Id> {
    [DEX, AUTHENTIK, ARGOCD, TEKTON].into_iter()
}

/// The keys of a Secret.
pub(super) fn keys(id: Id) -> impl Iterator<Item = &'static str> {
    WANTED.iter().filter(move |(one, ..)| *one == id).map(|(_, key, _)| *key)
}

/// Where the value of a key comes from.
#[cfg(test)]
pub(super) fn source(name: &str, key: &str) -> Option<From> {
    WANTED.iter().find(|(id, one, _)| id.name == name && *one == key).map(|(_, _, from)| *from)
}

/// What there should be: values that are known, and new ones for the others.
pub(super) fn fill(known: &Known) -> Known {
    let mut all = Known::new();
    for (id, key, from) in WANTED {
        let known =
            known.get(id).and_then(|values| values.get(key)).filter(|value| !value.reveal().is_empty());
        let value = match from {
            From::Random(bytes) => known.cloned().unwrap_or_else(|| random(*bytes)),
            From::Dex(other) => match all.get(&DEX).and_then(|dex| dex.get(other)) {
                Some(same) => same.clone(),
                None => random(48),
            },
        };
        all.entry(*id).or_default().insert(key, value);
    }
    all
}

/// Those values of a Secret that are missing from it or not what they should be.
pub(super) fn changes(wanted: &Values, known: Option<&Values>) -> Values {
    let same = |key: &str, value: &Sensitive| known.and_then(|known| known.get(key)) == Some(value);
    wanted.iter().filter(|(key, value)| !same(key, value)).map(|(key, value)| (*key, value.clone())).collect()
}

/// The Secret as an object.
pub(super) fn object(id: Id, values: &Values) -> Value {
    let data: BTreeMap<&str, &str> = values.iter().map(|(key, value)| (*key, value.reveal())).collect();
    let owner = if id == ARGOCD { "argocd" } else { "aphex" };
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": id.name,
            "namespace": id.namespace,
            "labels": { "app.kubernetes.io/part-of": owner },
        },
        "stringData": data,
    })
}

fn random(bytes: usize) -> Sensitive {
    let mut buffer = vec![0_u8; bytes];
    rand::fill(&mut buffer[..]);
    Sensitive::new(URL_SAFE_NO_PAD.encode(buffer))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn new_secrets_differ_and_two_ends_of_one_are_the_same() {
        let all = fill(&Known::new());
        let texts: BTreeSet<&str> = all.values().flat_map(BTreeMap::values).map(Sensitive::reveal).collect();
        assert_eq!(texts.len(), WANTED.len() - 2);
        assert!(texts.iter().all(|text| text.len() >= 32), "each is at least 24 bytes");
        assert_eq!(all[&ARGOCD]["oidc.dex.clientSecret"], all[&DEX]["argocd-client-secret"]);
        assert_eq!(all[&TEKTON]["client-secret"], all[&DEX]["tekton-dashboard-client-secret"]);
        assert_eq!(all[&TEKTON]["cookie-secret"].reveal().len(), 43, "32 bytes");
        assert_ne!(fill(&Known::new()), all, "another installation has others");
    }

    #[test]
    fn what_is_there_is_kept_and_a_stale_copy_is_mended() {
        let first = fill(&Known::new());
        assert_eq!(fill(&first), first);
        let mut damaged = first.clone();
        damaged.entry(ARGOCD).or_default().insert("oidc.dex.clientSecret", Sensitive::new("of an older Dex"));
        damaged.entry(AUTHENTIK).or_default().remove("bootstrap-token");
        damaged.entry(AUTHENTIK).or_default().insert("secret-key", Sensitive::new(""));
        let filled = fill(&damaged);
        assert_eq!(filled[&DEX], first[&DEX]);
        assert_eq!(filled[&ARGOCD], first[&ARGOCD]);
        let new = changes(&filled[&AUTHENTIK], damaged.get(&AUTHENTIK));
        assert_eq!(new.into_keys().collect::<Vec<_>>(), ["bootstrap-token", "secret-key"]);
        assert!(changes(&filled[&DEX], first.get(&DEX)).is_empty());
    }

    #[test]
    fn nothing_shows_in_what_is_printed_for_debugging() {
        let all = fill(&Known::new());
        let text = format!("{all:?}");
        assert!(all.values().flat_map(BTreeMap::values).all(|value| !text.contains(value.reveal())));
    }
}
