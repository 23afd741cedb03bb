//! `providers/oauth2/`. Secrets are shown as `***`, but for one made here, in the answer to its creation.

use http::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::{Authentik, Call};
use crate::directory::Scope;
use crate::providers::{ClientType, Provider, ProviderChange, ProviderError};
use crate::web::{self, Response};

/// What is shown in place of a secret; sent back, it means that the secret stays.
const HIDDEN: &str = "***";

/// A provider as clients send it; what is left out stays, or is the usual.
#[derive(Deserialize)]
struct Wanted {
    name: Option<String>,
    assigned_application_slug: Option<String>,
    authorization_flow: Option<String>,
    signing_key: Option<String>,
    client_type: Option<ClientType>,
    client_id: Option<String>,
    client_secret: Option<String>,
    redirect_uris: Option<RedirectUris>,
}

/// One a line, or as Authentik has it since 2024.12.
#[derive(Deserialize)]
#[serde(untagged)]
enum RedirectUris {
    Lines(String),
    Objects(Vec<RedirectUri>),
}

#[derive(Deserialize)]
struct RedirectUri {
    #[serde(default)]
    matching_mode: MatchingMode,
    url: String,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum MatchingMode {
    #[default]
    Strict,
    Regex,
}

impl Authentik {
    pub(super) async fn oauth2(&self, call: &Call<'_>, rest: &[&str]) -> Result<Response, Failure> {
        match rest {
            [] => match *call.method() {
                Method::GET => {
                    call.need(Scope::ProvidersRead)?;
                    let providers = self.providers.list()?;
                    let mut providers: Vec<Value> = providers.iter().map(shown).collect();
                    let fields = ["name", "client_id", "client_type", "signing_key", "authorization_flow"];
                    call.query.filter(&mut providers, &fields)?;
                    call.query.answer(providers, &["name"])
                }
                Method::POST => self.create_provider(call).await,
                _ => Err(call.not_allowed()),
            },
            [pk] => self.one_provider(call, pk).await,
            _ => Err(Failure::NotFound),
        }
    }

    async fn create_provider(&self, call: &Call<'_>) -> Result<Response, Failure> {
        call.need(Scope::ProvidersWrite)?;
        let change = call.body::<Wanted>()?.change()?;
        if change.name.is_none() {
            return Err(Failure::field("name", "This field is required."));
        }
        let made_up = change.client_secret.is_none() && change.client_type != Some(ClientType::Public);
        let provider = self.providers.create(change, &call.actor()).await?;
        let mut body = shown(&provider);
        if made_up {
            body["client_secret"] = json!(provider.client_secret.expose_secret());
        }
        Ok(web::private_json(StatusCode::CREATED, &body))
    }

    async fn one_provider(&self, call: &Call<'_>, pk: &str) -> Result<Response, Failure> {
        let pk = pk.parse().map_err(|_| Failure::NotFound)?;
        match *call.method() {
            Method::GET => {
                call.need(Scope::ProvidersRead)?;
                let provider = self.providers.by_pk(pk)?.ok_or(Failure::NotFound)?;
                Ok(web::private_json(StatusCode::OK, &shown(&provider)))
            }
            Method::PUT | Method::PATCH => {
                call.need(Scope::ProvidersWrite)?;
                let change = call.body::<Wanted>()?.change()?;
                if *call.method() == Method::PUT && change.name.is_none() {
                    return Err(Failure::field("name", "This field is required."));
                }
                let provider = self.providers.change(pk, change, &call.actor()).await?;
                Ok(web::private_json(StatusCode::OK, &shown(&provider)))
            }
            Method::DELETE => {
                call.need(Scope::ProvidersWrite)?;
                self.providers.delete(pk, &call.actor()).await?;
                Ok(web::empty(StatusCode::NO_CONTENT))
            }
            _ => Err(call.not_allowed()),
        }
    }
}

impl Wanted {
    fn change(self) -> Result<ProviderChange, Failure> {
        let redirect_uris = match self.redirect_uris {
            None => None,
            Some(RedirectUris::Lines(lines)) => Some(lines.split_whitespace().map(str::to_owned).collect()),
            Some(RedirectUris::Objects(objects)) => {
                if objects.iter().any(|uri| uri.matching_mode == MatchingMode::Regex) {
                    let problem = "Only matching_mode strict is supported: redirects are matched exactly.";
                    return Err(Failure::field("redirect_uris", problem));
                }
                Some(objects.into_iter().map(|uri| uri.url).collect())
            }
        };
        Ok(ProviderChange {
            name: self.name,
            slug: self.assigned_application_slug,
            authorization_flow: self.authorization_flow,
            signing_key: self.signing_key,
            client_type: self.client_type,
            client_id: self.client_id,
            client_secret: self.client_secret.filter(|secret| secret != HIDDEN).map(SecretString::from),
            redirect_uris,
        })
    }
}

fn shown(provider: &Provider) -> Value {
    json!({
        "pk": provider.pk,
        "name": provider.name,
        "authorization_flow": provider.authorization_flow,
        "client_type": provider.client_type,
        "client_id": provider.client_id,
        "client_secret": HIDDEN,
        "redirect_uris": provider.redirect_uris.join("\n"),
        "signing_key": provider.signing_key,
        "assigned_application_slug": provider.slug,
    })
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::NotFound(_) => Self::NotFound,
            ProviderError::Invalid { field, problem } => Self::field(field, problem),
            ProviderError::Storage(error) => Self::Storage(error),
        }
    }
}
