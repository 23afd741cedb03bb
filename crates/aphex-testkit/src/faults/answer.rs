//! Answers that a service did not give.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tower::BoxError;

/// The body of every answer.
pub(super) type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body of another type.
pub(super) fn body<B>(body: B) -> AnyBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// A refusal as the Kubernetes API writes it.
pub(super) fn refusal(code: StatusCode, reason: &str, retry_after: Option<u32>) -> Response<AnyBody> {
    let mut status = status(code, reason);
    let mut response = Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        status["details"] = json!({ "retryAfterSeconds": seconds });
        response = response.header(header::RETRY_AFTER, seconds);
    }
    answer(response, status.to_string())
}

/// An open watch, that says this and ends.
pub(super) fn watch(event: Option<Value>) -> Response<AnyBody> {
    let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
    answer(response, event.map(|event| format!("{event}\n")).unwrap_or_default())
}

/// The event by which a watch says that it cannot go on.
pub(super) fn expired() -> Value {
    json!({ "type": "ERROR", "object": status(StatusCode::GONE, "Expired") })
}

fn answer(response: http::response::Builder, text: String) -> Response<AnyBody> {
    let full = Full::new(Bytes::from(text)).map_err(|never| match never {});
    response.body(full.boxed_unsync()).unwrap_or_else(|_| Response::new(body(http_body_util::Empty::new())))
}

fn status(code: StatusCode, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("a fault of the test: {reason}"), "reason": reason, "code": code.as_u16(),
    })
}

/// A body that ends with an error in the middle of what comes first.
pub(super) struct Cut<B> {
    inner: Pin<Box<B>>,
    over: bool,
}

impl<B> Cut<B> {
    pub(super) fn new(inner: B) -> Self {
        Self { inner: Box::pin(inner), over: false }
    }
}

impl<B> Body for Cut<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let cut = || Err(BoxError::from("a fault of the test: the connection was cut"));
        if self.over {
            return Poll::Ready(Some(cut()));
        }
        let polled = self.inner.as_mut().poll_frame(context);
        polled.map(|frame| {
            self.over = true;
            let data = frame.and_then(Result::ok).and_then(|frame| frame.into_data().ok());
            match data {
                Some(data) => Some(Ok(Frame::data(data.slice(..data.len() / 2)))),
                None => Some(cut()),
            }
        })
    }
}
