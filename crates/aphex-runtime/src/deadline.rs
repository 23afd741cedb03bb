//! A limit on how long an answer of the Kubernetes API may take.
//!
//! kube's client waits for ever on a connection over which nothing comes any more (a machine that went away, a firewall
//! that forgot it), and whoever waits with it does nothing else. A watch is answered once it is open; how long it may
//! be silent is the watcher's to say.

use std::time::Duration;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tower::BoxError;

/// The answer to a request did not come in time; whether it was carried out is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {} s", .0.as_secs_f64())]
pub struct NoAnswer(Duration);

/// A client whose requests fail when their answer does not come within a limit.
#[must_use]
pub fn client(inner: Client, limit: Duration) -> Client {
    let namespace = inner.default_namespace().to_owned();
    let send = move |request: Request<Body>| {
        let (inner, watches) = (inner.clone(), is_watch(&request));
        async move {
            let answer = async {
                let response = inner.send(request).await?;
                if watches {
                    return Ok(response);
                }
                let (parts, body) = response.into_parts();
                Ok::<_, kube::Error>(Response::from_parts(parts, Body::from(body.collect_bytes().await?)))
            };
            match tokio::time::timeout(limit, answer).await {
                Ok(answer) => answer.map_err(BoxError::from),
                Err(_) => Err(BoxError::from(NoAnswer(limit))),
            }
        }
    };
    Client::new(tower::service_fn(send), namespace)
}

fn is_watch<B>(request: &Request<B>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|part| part == "watch=true")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace;
    use kube::Api;
    use kube::api::{ListParams, WatchParams};

    use super::*;

    /// A server that opens watches, says nothing on them, and never answers anything else.
    fn silent() -> Client {
        let send = |request: Request<Body>| async move {
            if is_watch(&request) {
                return Ok::<_, BoxError>(Response::new(Body::empty()));
            }
            std::future::pending().await
        };
        Client::new(tower::service_fn(send), "default")
    }

    #[tokio::test]
    async fn what_is_never_answered_fails_and_a_watch_does_not() {
        let api: Api<Namespace> = Api::all(client(silent(), Duration::from_millis(5)));
        let error = api.list(&ListParams::default()).await.unwrap_err();
        assert!(crate::errors::chain(&error).contains("no answer within 0.005 s"), "{error:?}");
        assert!(api.watch(&WatchParams::default(), "0").await.is_ok());
    }
}
