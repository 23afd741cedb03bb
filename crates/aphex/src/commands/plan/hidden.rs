//! What the platform would reject for whoever may not see all that it looks at.
//!
//! The same steps run over an engine on which nothing is where the user may not look. What they would make there is not
//! true; what they reject is, as far as it follows from what was written and from what the user sees.

use std::collections::BTreeMap;

use aphex_api::conditions::Reason;
use aphex_api::names::pipeline_binding;
use aphex_controllers::Settings;
use aphex_controllers::plan::{Action, Change, Shadow, Subject, Verdict};
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::exit;

/// What would be rejected, whatever there is that the user may not see.
pub(super) async fn rejections(
    engine: &Client,
    settings: Settings,
    objects: &[Value],
    force: bool,
) -> anyhow::Result<BTreeMap<Subject, Verdict>> {
    let shadow = Shadow::new(without_hidden(engine));
    super::put(&shadow.client(), objects, force).await?;
    let planned = match aphex_controllers::plan::plan(&shadow, settings).await.map_err(anyhow::Error::new) {
        Err(error) if exit::is_forbidden(&error) => return Ok(BTreeMap::new()),
        planned => planned?,
    };
    let mut verdicts = planned.verdicts;
    verdicts.retain(|subject, verdict| {
        verdict.outcome == "rejected" && holds(subject, verdict, &planned.changes)
    });
    Ok(verdicts)
}

/// Whether a rejection holds on the engine as it is.
///
/// The namespace of a Pipeline that is there already looks like another's where its binding is not seen.
fn holds(subject: &Subject, verdict: &Verdict, changes: &[Change]) -> bool {
    let is_new = |change: &Change| {
        let namespace = change.namespace.as_deref().unwrap_or_default();
        change.action == Action::Create
            && change.api_version.starts_with("platform.dev/")
            && pipeline_binding(namespace, &change.name) == subject.name
    };
    verdict.reason != Reason::NameTaken.as_str() || changes.iter().any(is_new)
}

/// A client for which what it may not read is not there; namespaces alone are refused as ever.
///
/// That a namespace is not there, or does not have a label, is a reason to reject.
fn without_hidden(engine: &Client) -> Client {
    let (namespace, engine) = (engine.default_namespace().to_owned(), engine.clone());
    let answer = move |request: Request<Body>| {
        let engine = engine.clone();
        async move {
            let nothing =
                (request.method() == Method::GET).then(|| nothing_at(request.uri().path())).flatten();
            let response = engine.send(request).await?;
            match nothing {
                Some((status, body)) if response.status() == StatusCode::FORBIDDEN => {
                    let mut answer = Response::new(Body::from(body.to_string().into_bytes()));
                    *answer.status_mut() = status;
                    Ok::<_, kube::Error>(answer)
                }
                _ => Ok(response),
            }
        }
    };
    Client::new(tower::service_fn(answer), namespace)
}

/// How an engine answers where there is nothing: an empty list, or that it is not found.
fn nothing_at(path: &str) -> Option<(StatusCode, Value)> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (["api", _, rest @ ..] | ["apis", _, _, rest @ ..]) = segments.as_slice() else { return None };
    let rest = match rest {
        ["namespaces", _, within @ ..] if !within.is_empty() => within,
        _ => rest,
    };
    match rest {
        [] | ["namespaces", ..] => None,
        [_] => {
            let list = json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": [] });
            Some((StatusCode::OK, list))
        }
        _ => Some((StatusCode::NOT_FOUND, not_found())),
    }
}

fn not_found() -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound",
        "message": "not found",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_not_there_except_namespaces() {
        let code = |path: &str| nothing_at(path).map(|(status, _)| status.as_u16());
        for list in [
            "/apis/aphex.io/v1alpha1/namespaces/platform-system/organizations",
            "/apis/aphex.io/v1alpha1/repobindings",
            "/api/v1/namespaces/checkout/secrets",
        ] {
            assert_eq!(code(list), Some(200), "{list}");
        }
        for one in [
            "/apis/aphex.io/v1alpha1/namespaces/platform-system/organizations/acme",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/view",
            "/api/v1/namespaces/checkout/secrets/a/status",
        ] {
            assert_eq!(code(one), Some(404), "{one}");
        }
        for other in ["/api/v1/namespaces", "/api/v1/namespaces/checkout", "/version"] {
            assert_eq!(code(other), None, "{other}");
        }
    }
}
