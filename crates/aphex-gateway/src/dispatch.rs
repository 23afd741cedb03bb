//! Creates the resources that triggers ask for, as the trigger's ServiceAccount; the only writes to foreign kinds.
//!
//! Names are deterministic, so "already exists" means "done before" when the object carries the event's id, and an
//! error when somebody else's object has the name. Nothing here retries: the caller is told whether trying again helps.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aphex_api::delivery::{CreatedObject, RunConcurrency};
use aphex_api::foreign::tekton::PipelineRun;
use aphex_api::foreign::triggers::EVENT_ID_LABEL;
use aphex_runtime::errors::chain;
use http::{HeaderName, HeaderValue};
use kube::api::{GetParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Request};
use kube::discovery::Scope;
use kube::{Client, Resource as _, ResourceExt as _};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::deliveries::is_id_of;
use crate::select::Account;

/// Answers of the engine that no later attempt changes: malformed, invalid, too large, no such verb.
const FINAL: [u16; 5] = [400, 405, 413, 415, 422];

/// A resource was not created.
#[derive(Debug, Error)]
pub enum DispatchError {
    /// The template's object is no Kubernetes object.
    #[error("cannot read the resource to create")]
    Object(#[source] serde_json::Error),
    /// The ServiceAccount's name cannot be sent.
    #[error("cannot act as system:serviceaccount:{namespace}:{name}", namespace = .0.namespace, name = .0.name)]
    Account(Account),
    /// The engine does not serve the kind.
    #[error("cannot find out how {kind} in {api_version} is served")]
    Kind {
        /// Group and version.
        api_version: String,
        /// Kind.
        kind: String,
        /// What the engine said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The engine did not take the object.
    #[error("cannot create {kind} {name}{}", by(.account.as_ref()))]
    Create {
        /// Kind.
        kind: String,
        /// Namespace and name.
        name: String,
        /// Who asked, when it was not the program itself.
        account: Option<Account>,
        /// What the engine said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The name is taken by an object that this event did not create.
    #[error("{kind} {name} exists already and does not come from this event")]
    Taken {
        /// Kind.
        kind: String,
        /// Namespace and name.
        name: String,
    },
}

fn by(account: Option<&Account>) -> String {
    account.map(|account| format!(" as {}/{}", account.namespace, account.name)).unwrap_or_default()
}

impl DispatchError {
    /// The error and its causes in one sentence, in the engine's own words where it gave an answer.
    pub fn explain(&self) -> String {
        match self {
            Self::Kind { source, .. } | Self::Create { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => format!("{self}: {}", status.message),
                error => format!("{self}: {}", chain(error)),
            },
            error => chain(error),
        }
    }

    /// Whether a later attempt may succeed without anybody changing the trigger.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Object(_) | Self::Account(_) | Self::Taken { .. } => false,
            // A kind may be installed, a right given, a quota freed, a namespace made.
            Self::Kind { .. } => true,
            Self::Create { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => !FINAL.contains(&status.code),
                _ => true,
            },
        }
    }
}

/// As much of the engine's answer as is of interest; the rest is read past.
#[derive(Debug, Deserialize)]
struct Made {
    metadata: MadeMeta,
}

#[derive(Debug, Deserialize)]
struct MadeMeta {
    uid: Option<String>,
}

/// RFC 7240.
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Nobody is told of what is created before the Delivery that names it is stored after it. The embedded engine, whose disk
/// takes writes in one order, so need not wait for it twice; other API servers know no such preference.
const COMMIT_AHEAD: HeaderValue = HeaderValue::from_static("commit=ahead");

/// Creates resources; knows how each kind is served.
pub struct Dispatcher {
    client: Client,
    kinds: Mutex<HashMap<GroupVersionKind, (ApiResource, Scope)>>,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dispatcher")
    }
}

impl Dispatcher {
    /// Creates with this client, which must be allowed to impersonate ServiceAccounts.
    pub fn new(client: Client) -> Self {
        Self { client, kinds: Mutex::default() }
    }

    /// Creates one resource; it existing already from an earlier attempt counts as created.
    pub async fn create(
        &self,
        resource: &Value,
        account: &Account,
        event_id: &str,
    ) -> Result<CreatedObject, DispatchError> {
        self.send(resource, Some(account), event_id, &PostParams::default()).await
    }

    /// Has the engine decide about one resource without storing it: as the account, or as whoever asks.
    pub async fn rehearse(
        &self,
        resource: &Value,
        account: Option<&Account>,
        event_id: &str,
    ) -> Result<CreatedObject, DispatchError> {
        let params = PostParams { dry_run: true, ..PostParams::default() };
        self.send(resource, account, event_id, &params).await
    }

    async fn send(
        &self,
        resource: &Value,
        account: Option<&Account>,
        event_id: &str,
        params: &PostParams,
    ) -> Result<CreatedObject, DispatchError> {
        let mut object: DynamicObject =
            serde_json::from_value(resource.clone()).map_err(DispatchError::Object)?;
        let types = object.types.clone().unwrap_or_default();
        let kind =
            GroupVersionKind::try_from(&types).unwrap_or_else(|_| GroupVersionKind::gvk("", "", &types.kind));
        let (served, scope) = self.served(&kind, &types.api_version).await?;
        let namespace = match scope {
            Scope::Namespaced => object.namespace(),
            Scope::Cluster => {
                object.metadata.namespace = None;
                None
            }
        };
        let path = DynamicObject::url_path(&served, namespace.as_deref());
        let body = serde_json::to_vec(&object).map_err(DispatchError::Object)?;
        let request = Request::new(&path).create(params, body);
        let name = object.name_any();
        let failed = |source: kube::Error| {
            if matches!(&source, kube::Error::Api(status) if status.code == 404) {
                // The kind may have gone, or be served under another name since.
                self.kinds().remove(&kind);
            }
            let name = full_name(namespace.as_deref(), &name);
            DispatchError::Create {
                kind: types.kind.clone(),
                name,
                account: account.cloned(),
                source: Box::new(source),
            }
        };
        let request = request.map_err(|error| failed(kube::Error::BuildRequest(error)))?;
        let mut request = match account {
            Some(account) => impersonate(request, account)?,
            None => request,
        };
        request.headers_mut().insert(PREFER, COMMIT_AHEAD);
        let (uid, concurrency) = match self.client.request::<Made>(request).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let request = Request::new(&path).get(&name, &GetParams::default());
                let request = request.map_err(|error| failed(kube::Error::BuildRequest(error)))?;
                // Read with the gateway's own eyes: an account that may create need not be allowed to read.
                let there: DynamicObject = self.client.request(request).await.map_err(failed)?;
                if there.labels().get(EVENT_ID_LABEL).is_none_or(|label| !is_id_of(label, event_id, &name)) {
                    let name = full_name(namespace.as_deref(), &name);
                    return Err(DispatchError::Taken { kind: types.kind, name });
                }
                // The controllers may have let it go, or stopped it, since.
                (there.uid(), concurrency(&served, &there))
            }
            made => (made.map_err(failed)?.metadata.uid, concurrency(&served, &object)),
        };
        let (api_version, kind) = (types.api_version, types.kind);
        Ok(CreatedObject { api_version, kind, namespace, name, uid, concurrency })
    }

    async fn served(
        &self,
        kind: &GroupVersionKind,
        api_version: &str,
    ) -> Result<(ApiResource, Scope), DispatchError> {
        if let Some(known) = self.kinds().get(kind) {
            return Ok(known.clone());
        }
        let (resource, capabilities) =
            kube::discovery::pinned_kind(&self.client, kind).await.map_err(|source| DispatchError::Kind {
                api_version: api_version.to_owned(),
                kind: kind.kind.clone(),
                source: Box::new(source),
            })?;
        self.kinds().insert(kind.clone(), (resource.clone(), capabilities.scope.clone()));
        Ok((resource, capabilities.scope))
    }

    fn kinds(&self) -> std::sync::MutexGuard<'_, HashMap<GroupVersionKind, (ApiResource, Scope)>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What concurrency decided about an object that is a run.
fn concurrency(served: &ApiResource, object: &DynamicObject) -> Option<RunConcurrency> {
    let is_run = served.kind == PipelineRun::kind(&()) && served.group == PipelineRun::group(&());
    let status = object.data["spec"]["status"].as_str();
    is_run.then(|| RunConcurrency::of(object.annotations(), status)).flatten()
}

/// Adds the header that makes the engine act as the ServiceAccount; it adds the account's groups itself.
fn impersonate(
    mut request: http::Request<Vec<u8>>,
    account: &Account,
) -> Result<http::Request<Vec<u8>>, DispatchError> {
    let user = format!("system:serviceaccount:{}:{}", account.namespace, account.name);
    let user = HeaderValue::from_str(&user).map_err(|_| DispatchError::Account(account.clone()))?;
    request.headers_mut().insert("impersonate-user", user);
    Ok(request)
}

fn full_name(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> DispatchError {
        let status = kube::core::Status::failure("no", "Because").with_code(code).boxed();
        DispatchError::Create {
            kind: "ConfigMap".into(),
            name: "web/x".into(),
            account: Some(Account { namespace: "org-acme".into(), name: "eventlistener".into() }),
            source: Box::new(kube::Error::Api(status)),
        }
    }

    #[test]
    fn what_time_may_heal_is_tried_again() {
        for code in [401, 403, 404, 409, 429, 500, 503] {
            assert!(refused(code).may_pass(), "{code}");
        }
        for code in FINAL {
            assert!(!refused(code).may_pass(), "{code}");
        }
    }

    #[test]
    fn the_account_goes_into_the_request() {
        let account = Account { namespace: "org-acme".into(), name: "eventlistener".into() };
        let request = impersonate(http::Request::new(Vec::new()), &account).unwrap();
        assert_eq!(request.headers()["impersonate-user"], "system:serviceaccount:org-acme:eventlistener");
        let account = Account { namespace: "a\nb".into(), name: "x".into() };
        assert!(impersonate(http::Request::new(Vec::new()), &account).is_err());
    }
}
