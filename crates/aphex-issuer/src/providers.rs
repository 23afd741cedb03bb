//! OAuth2 providers of Authentik's face: each a relying party with an issuer of its own.
//!
//! Authentik has one issuer for each application, `/application/o/<slug>/`. The provider `dex`, which is there
//! from the first start, is the one that Dex's face logs people in with when it is told to.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use url::Url;

use crate::audit::{Action, Actor, Audit};
use crate::secrets;
use crate::storage::{Record, Storage, StorageError, Stored};

/// The application that stands before Dex.
pub const DEX_SLUG: &str = "dex";
const DEX_NAME: &str = "Dex OIDC Provider";
const DEX_CLIENT: &str = "dex-client";
/// Authentik's own name for the flow that asks nothing after the login.
const FLOW: &str = "default-provider-authorization-implicit-consent";
const MOST_TEXT: usize = 255;
const MOST_URIS: usize = 64;
/// Places of the application before Dex, once it follows the issuer's address.
const MOST_FOLLOWED: usize = 8;

/// Whether a client can keep a secret (RFC 6749, section 2.1).
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientType {
    /// It can.
    #[default]
    Confidential,
    /// It cannot: PKCE protects its codes.
    Public,
}

/// A provider with its client.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Number.
    pub pk: i64,
    /// Name to show.
    pub name: String,
    /// Name in the issuer's URL.
    pub slug: String,
    /// Kept for those who ask; means nothing here.
    pub authorization_flow: String,
    /// Kept for those who ask; one key signs for all.
    pub signing_key: String,
    /// Whether the client can keep a secret.
    pub client_type: ClientType,
    /// Who the client is; the audience of its tokens.
    pub client_id: String,
    /// How it proves that.
    pub client_secret: SecretString,
    /// Where people may be sent back to.
    pub redirect_uris: Vec<String>,
}

/// What is wished for; what is left out stays, or is the usual.
#[derive(Clone, Debug, Default)]
pub struct ProviderChange {
    /// Name to show.
    pub name: Option<String>,
    /// Name in the issuer's URL.
    pub slug: Option<String>,
    /// Kept for those who ask.
    pub authorization_flow: Option<String>,
    /// Kept for those who ask.
    pub signing_key: Option<String>,
    /// Whether the client can keep a secret.
    pub client_type: Option<ClientType>,
    /// Who the client is.
    pub client_id: Option<String>,
    /// How it proves that.
    pub client_secret: Option<SecretString>,
    /// Where people may be sent back to.
    pub redirect_uris: Option<Vec<String>>,
}

/// Why a provider could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// There is none with this number.
    #[error("there is no OAuth2 provider {0}")]
    NotFound(i64),
    /// A value breaks a rule.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field, as the wire names it.
        field: &'static str,
        /// The rule.
        problem: String,
    },
    /// Records could not be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// As kept, sealed like everything else; no `Debug`, since it has the secret.
#[derive(Clone, Deserialize, Serialize)]
struct ProviderRecord {
    pk: i64,
    name: String,
    slug: String,
    authorization_flow: String,
    signing_key: String,
    client_type: ClientType,
    client_id: String,
    client_secret: String,
    redirect_uris: Vec<String>,
}

impl Record for ProviderRecord {
    const KIND: &'static str = "oauth2-provider";
}

/// The number of the next provider; written first when the usual one was made.
#[derive(Deserialize, Serialize)]
struct Next {
    pk: i64,
}

impl Record for Next {
    const KIND: &'static str = "oauth2-provider-sequence";
}

/// The providers; cheap to clone.
#[derive(Clone, Debug)]
pub struct Providers {
    storage: Storage,
    audit: Audit,
    changing: Arc<Mutex<()>>,
}

impl Providers {
    /// The providers kept in these records; at first start the one for Dex's face at this issuer.
    pub async fn open(storage: Storage, audit: Audit, issuer: &str) -> Result<Self, ProviderError> {
        let providers = Self { storage, audit, changing: Arc::default() };
        if providers.storage.get::<Next>("")?.is_none() {
            let change = ProviderChange {
                name: Some(DEX_NAME.to_owned()),
                slug: Some(DEX_SLUG.to_owned()),
                client_id: Some(DEX_CLIENT.to_owned()),
                redirect_uris: Some(vec![format!("{}/callback", issuer.trim_end_matches('/'))]),
                ..ProviderChange::default()
            };
            providers.create(change, &Actor::system()).await?;
        }
        Ok(providers)
    }

    /// Lets the application that stands before Dex send people back to Dex's face, whatever its address is now.
    pub(crate) async fn follow(&self, callback: &str) -> Result<(), ProviderError> {
        let Some(provider) = self.by_slug(DEX_SLUG)? else { return Ok(()) };
        if provider.redirect_uris.iter().any(|uri| uri == callback) {
            return Ok(());
        }
        let mut uris = provider.redirect_uris;
        uris.push(callback.to_owned());
        // Of addresses of before, those with ports that were free once, a few are enough.
        let surplus = uris.len().saturating_sub(MOST_FOLLOWED);
        uris.drain(..surplus);
        let change = ProviderChange { redirect_uris: Some(uris), ..ProviderChange::default() };
        self.change(provider.pk, change, &Actor::system()).await.map(drop)
    }

    /// All of them, in the order in which they came.
    pub fn list(&self) -> Result<Vec<Provider>, ProviderError> {
        let mut all: Vec<Provider> = self.records()?.into_iter().map(|stored| view(stored.value)).collect();
        all.sort_by_key(|provider| provider.pk);
        Ok(all)
    }

    /// The provider with this number.
    pub fn by_pk(&self, pk: i64) -> Result<Option<Provider>, ProviderError> {
        Ok(self.list()?.into_iter().find(|provider| provider.pk == pk))
    }

    /// The provider of the client with this id.
    pub fn by_client_id(&self, client_id: &str) -> Result<Option<Provider>, ProviderError> {
        Ok(self.list()?.into_iter().find(|provider| provider.client_id == client_id))
    }

    /// The provider whose issuer has this name.
    pub fn by_slug(&self, slug: &str) -> Result<Option<Provider>, ProviderError> {
        Ok(self.list()?.into_iter().find(|provider| provider.slug == slug))
    }

    /// Creates a provider; client id and secret are made up where they are not given.
    pub async fn create(&self, change: ProviderChange, by: &Actor) -> Result<Provider, ProviderError> {
        let _changing = self.changing.lock().await;
        let pk = self.storage.get::<Next>("")?.map_or(1, |next| next.value.pk);
        let mut record = ProviderRecord {
            pk,
            name: String::new(),
            slug: String::new(),
            authorization_flow: FLOW.to_owned(),
            signing_key: "default".to_owned(),
            client_type: ClientType::default(),
            client_id: secrets::uuid(),
            client_secret: secrets::random().expose_secret().to_owned(),
            redirect_uris: Vec::new(),
        };
        apply(&mut record, change);
        if record.slug.is_empty() {
            record.slug = slug_of(&record.name);
        }
        self.check(&record)?;
        let mut transaction = self.storage.transaction();
        transaction.create(&pk.to_string(), &record)?;
        transaction.put("", &Next { pk: pk + 1 })?;
        transaction.commit().await?;
        self.audit.record(Action::ProviderCreated, by, &record.name, &record.redirect_uris.join(" "));
        Ok(view(record))
    }

    /// Changes what the change names.
    pub async fn change(
        &self,
        pk: i64,
        change: ProviderChange,
        by: &Actor,
    ) -> Result<Provider, ProviderError> {
        let _changing = self.changing.lock().await;
        let mut stored = self.known(pk)?;
        let told = told(&change);
        apply(&mut stored.value, change);
        self.check(&stored.value)?;
        self.storage.replace(&stored).await?;
        self.audit.record(Action::ProviderChanged, by, &stored.value.name, &told);
        Ok(view(stored.value))
    }

    /// Deletes a provider; its client can log nobody in any more.
    pub async fn delete(&self, pk: i64, by: &Actor) -> Result<(), ProviderError> {
        let _changing = self.changing.lock().await;
        let stored = self.known(pk)?;
        self.storage.delete::<ProviderRecord>(&stored.id).await?;
        self.audit.record(Action::ProviderDeleted, by, &stored.value.name, "");
        Ok(())
    }

    fn records(&self) -> Result<Vec<Stored<ProviderRecord>>, ProviderError> {
        Ok(self.storage.list()?)
    }

    fn known(&self, pk: i64) -> Result<Stored<ProviderRecord>, ProviderError> {
        self.storage.get(&pk.to_string())?.ok_or(ProviderError::NotFound(pk))
    }

    fn check(&self, record: &ProviderRecord) -> Result<(), ProviderError> {
        let plain = |text: &str| text.len() <= MOST_TEXT && !text.chars().any(char::is_control);
        if record.name.is_empty() || !plain(&record.name) {
            return invalid(
                "name",
                format!("Must be 1 to {MOST_TEXT} characters without control characters."),
            );
        }
        for (field, text) in
            [("authorization_flow", &record.authorization_flow), ("signing_key", &record.signing_key)]
        {
            if !plain(text) {
                return invalid(field, format!("Must be at most {MOST_TEXT} characters."));
            }
        }
        let slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        // These would take the paths of the endpoints that all providers share.
        let taken = ["authorize", "token", "userinfo", "introspect", "revoke", "device"];
        if record.slug.is_empty()
            || record.slug.len() > 50
            || !record.slug.chars().all(slug)
            || taken.contains(&record.slug.as_str())
        {
            return invalid(
                "assigned_application_slug",
                format!(
                    "Must be 1 to 50 lower-case letters, digits or hyphens, and not {}.",
                    taken.join(", ")
                ),
            );
        }
        let visible = |text: &str| {
            !text.is_empty() && text.len() <= MOST_TEXT && text.chars().all(|c| c.is_ascii_graphic())
        };
        if !visible(&record.client_id) {
            return invalid("client_id", format!("Must be 1 to {MOST_TEXT} visible ASCII characters."));
        }
        if !visible(&record.client_secret) {
            return invalid("client_secret", format!("Must be 1 to {MOST_TEXT} visible ASCII characters."));
        }
        if record.redirect_uris.len() > MOST_URIS || !record.redirect_uris.iter().all(|uri| is_redirect(uri))
        {
            return invalid(
                "redirect_uris",
                format!(
                    "Must be at most {MOST_URIS} absolute URIs without fragment, one a line, matched exactly."
                ),
            );
        }
        for other in
            self.records()?.into_iter().map(|stored| stored.value).filter(|other| other.pk != record.pk)
        {
            if other.client_id == record.client_id {
                return invalid("client_id", "A provider with this client id exists already.");
            }
            if other.slug == record.slug {
                return invalid("assigned_application_slug", "A provider with this slug exists already.");
            }
        }
        Ok(())
    }
}

fn invalid<T>(field: &'static str, problem: impl Into<String>) -> Result<T, ProviderError> {
    Err(ProviderError::Invalid { field, problem: problem.into() })
}

/// What may be redirected to (RFC 6749, section 3.1.2); scripts are not places.
fn is_redirect(uri: &str) -> bool {
    let scripts = ["javascript", "data", "vbscript", "blob", "about"];
    uri.len() <= 2048
        && Url::parse(uri).is_ok_and(|url| url.fragment().is_none() && !scripts.contains(&url.scheme()))
}

fn slug_of(name: &str) -> String {
    let folded = name.to_ascii_lowercase();
    let words = folded.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-");
    slug.chars().take(50).collect::<String>().trim_end_matches('-').to_owned()
}

fn apply(record: &mut ProviderRecord, change: ProviderChange) {
    let set = |kept: &mut String, wanted: Option<String>| {
        if let Some(wanted) = wanted {
            *kept = wanted;
        }
    };
    set(&mut record.name, change.name);
    set(&mut record.slug, change.slug);
    set(&mut record.authorization_flow, change.authorization_flow);
    set(&mut record.signing_key, change.signing_key);
    set(&mut record.client_id, change.client_id);
    set(&mut record.client_secret, change.client_secret.map(|secret| secret.expose_secret().to_owned()));
    record.client_type = change.client_type.unwrap_or(record.client_type);
    if let Some(uris) = change.redirect_uris {
        record.redirect_uris = uris;
    }
}

/// Which fields a change names, with the places to redirect to and never the secret.
fn told(change: &ProviderChange) -> String {
    let named = [
        ("name", change.name.is_some()),
        ("slug", change.slug.is_some()),
        ("authorization_flow", change.authorization_flow.is_some()),
        ("signing_key", change.signing_key.is_some()),
        ("client_type", change.client_type.is_some()),
        ("client_id", change.client_id.is_some()),
        ("client_secret", change.client_secret.is_some()),
    ];
    let mut told: Vec<String> =
        named.into_iter().filter(|(_, named)| *named).map(|(field, _)| field.to_owned()).collect();
    told.extend(change.redirect_uris.as_ref().map(|uris| format!("redirect_uris={}", uris.join(","))));
    told.join(" ")
}

fn view(record: ProviderRecord) -> Provider {
    Provider {
        pk: record.pk,
        name: record.name,
        slug: record.slug,
        authorization_flow: record.authorization_flow,
        signing_key: record.signing_key,
        client_type: record.client_type,
        client_id: record.client_id,
        client_secret: SecretString::from(record.client_secret),
        redirect_uris: record.redirect_uris,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_places() {
        for good in ["https://dex.home.local/callback", "http://127.0.0.1:8000/cb?x=y", "com.example.app:/cb"]
        {
            assert!(is_redirect(good), "{good}");
        }
        for bad in ["", "/callback", "https://x/#a", "javascript:alert(1)", "data:text/html,x", "https://"] {
            assert!(!is_redirect(bad), "{bad}");
        }
    }

    #[test]
    fn slugs_come_from_names() {
        assert_eq!(slug_of("Argo CD (home)"), "argo-cd-home");
        assert_eq!(slug_of("Ä"), "");
        assert_eq!(slug_of(&format!("{} b", "a".repeat(49))), "a".repeat(49));
    }
}
