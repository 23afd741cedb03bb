//! The envelope of every answer.

use http::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::{Value, json};

/// An answer before it is put on the wire.
pub(super) struct Answer {
    status: u16,
    body: Value,
}

impl Answer {
    pub(super) fn ok(result: &Value) -> Self {
        let body = json!({ "success": true, "errors": [], "messages": [], "result": result });
        Self { status: 200, body }
    }

    /// One page of a list.
    pub(super) fn page(entries: &[Value], query: &str) -> Self {
        let number = |name: &str, otherwise: usize| {
            super::state::parameter(query, name).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
        };
        let (page, per_page) = (number("page", 1).max(1), number("per_page", 20).clamp(1, 50));
        let shown: Vec<&Value> = entries.iter().skip((page - 1) * per_page).take(per_page).collect();
        let info = json!({
            "page": page,
            "per_page": per_page,
            "count": shown.len(),
            "total_count": entries.len(),
            "total_pages": entries.len().div_ceil(per_page),
        });
        let body =
            json!({ "success": true, "errors": [], "messages": [], "result": shown, "result_info": info });
        Self { status: 200, body }
    }

    pub(super) fn refused(status: u16, code: i64, message: &str) -> Self {
        let errors = json!([{ "code": code, "message": message }]);
        Self { status, body: json!({ "success": false, "errors": errors, "messages": [], "result": null }) }
    }

    pub(super) fn respond(&self) -> Response<Full<Bytes>> {
        response(self.status, "application/json", self.body.to_string())
    }
}

/// What is said to who asks too often.
pub(super) fn too_many(seconds: u64) -> Response<Full<Bytes>> {
    let message = "Please wait and consider throttling your request speed";
    let mut response = Answer::refused(429, 971, message).respond();
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

/// A page of HTML, as proxies in between give it.
pub(super) fn page(status: u16) -> Response<Full<Bytes>> {
    response(status, "text/html", format!("<html><title>{status}</title></html>"))
}

fn response(status: u16, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
