//! The layer in which a fault strikes.

use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tower::{BoxError, Service};

use super::answer::{self, AnyBody, Cut};
use super::{Fault, Faults};

/// A service with faults in front of it.
#[derive(Clone, Debug)]
pub struct Faulty<S> {
    inner: S,
    faults: Faults,
}

impl<S> Faulty<S> {
    pub(super) fn new(inner: S, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

impl<S, Q, R> Service<Request<Q>> for Faulty<S>
where
    S: Service<Request<Q>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    Q: Send + 'static,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<AnyBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<AnyBody>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let head = Request::from_parts(parts, ());
        let (call, fault) = self.faults.meet(&head);
        let request = Request::from_parts(head.into_parts().0, body);
        let faults = self.faults.clone();
        // The one that was ready goes; a new one stays.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            faults.let_go(call.as_ref()).await;
            let Some(fault) = fault else {
                return inner.call(request).await.map(|given| given.map(answer::body)).map_err(Into::into);
            };
            match before(fault) {
                Before::Answer(response) => Ok(response),
                Before::Silence => pending().await,
                Before::Death => {
                    faults.kill();
                    pending().await
                }
                Before::Nothing => {
                    let given = inner.call(request).await.map_err(Into::into);
                    match fault {
                        Fault::AnswerCut => {
                            let (mut parts, body) = given?.into_parts();
                            parts.headers.remove(http::header::CONTENT_LENGTH);
                            return Ok(Response::from_parts(parts, answer::body(Cut::new(body))));
                        }
                        Fault::KilledAfter => faults.kill(),
                        _ => {}
                    }
                    pending().await
                }
            }
        })
    }
}

/// What happens instead of the call being carried out.
enum Before {
    Answer(Response<AnyBody>),
    Silence,
    Death,
    Nothing,
}

fn before(fault: Fault) -> Before {
    let refusal = |code, reason| Before::Answer(answer::refusal(code, reason, None));
    match fault {
        Fault::Internal => refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        Fault::Unavailable => refusal(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        Fault::TooMany => {
            Before::Answer(answer::refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", Some(1)))
        }
        Fault::Conflict => refusal(StatusCode::CONFLICT, "Conflict"),
        Fault::WatchGone => refusal(StatusCode::GONE, "Expired"),
        Fault::WatchClosed => Before::Answer(answer::watch(None)),
        Fault::WatchExpired => Before::Answer(answer::watch(Some(answer::expired()))),
        Fault::RequestLost => Before::Silence,
        Fault::KilledBefore => Before::Death,
        Fault::AnswerLost | Fault::AnswerCut | Fault::KilledAfter => Before::Nothing,
    }
}
