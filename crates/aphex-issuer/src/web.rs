//! Requests with their bodies read, and the answers made of them.
//!
//! Nothing here knows the protocol. Bodies are bounded by [`crate::serve`] before they come here.

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::Full;

/// An answer.
pub(crate) type Response = http::Response<Full<Bytes>>;

/// A request, read whole.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The path below the issuer's own, beginning with `/`.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Who asks, as the connection says.
    pub(crate) source: IpAddr,
}

// Queries, headers and bodies hold passwords and tokens.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// A header's text; none when it is missing, given twice or not text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?;
        if values.next().is_some() {
            return None;
        }
        first.to_str().ok()
    }

    /// The value of a cookie; of several with the name the first, which is the one with the longest path.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    /// Whether the body is a form.
    pub(crate) fn is_form(&self) -> bool {
        let kind = self.header(&header::CONTENT_TYPE).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }
}

/// An answer with a body of a type.
pub(crate) fn body(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    body(status, "application/json", value.to_string())
}

/// A JSON answer that nobody may keep: it holds tokens or tells of people (RFC 6749 section 5.1).
pub(crate) fn private_json(status: StatusCode, value: &serde_json::Value) -> Response {
    no_store(json(status, value))
}

/// Forbids caches to keep an answer.
pub(crate) fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// Sends the browser elsewhere: 302 after a GET as the protocol shows it, 303 after a POST so that it is not repeated.
pub(crate) fn redirect(method: &Method, to: &str) -> Response {
    let status = if *method == Method::POST { StatusCode::SEE_OTHER } else { StatusCode::FOUND };
    let mut response = no_store(empty(status));
    match HeaderValue::try_from(to) {
        Ok(to) => {
            let headers = response.headers_mut();
            headers.insert(header::LOCATION, to);
            headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        }
        // Only parsed URLs and paths of ours come here; they hold no control characters.
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}

/// Adds a cookie.
pub(crate) fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A GET without anything.
    pub(crate) fn get(path: &str) -> Request {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Request {
            method: Method::GET,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            source: IpAddr::from([127, 0, 0, 1]),
        }
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut request = get("/");
        request.headers.append(header::COOKIE, "a=1; session=x=y".parse().unwrap());
        request.headers.append(header::COOKIE, "session=later; b=2".parse().unwrap());
        assert_eq!(request.cookie("session"), Some("x=y"));
        assert_eq!(request.cookie("b"), Some("2"));
        assert_eq!(request.cookie("sess"), None);
    }

    #[test]
    fn a_header_given_twice_is_no_header() {
        let mut request = get("/");
        request.headers.append(header::AUTHORIZATION, "Bearer a".parse().unwrap());
        assert_eq!(request.header(&header::AUTHORIZATION), Some("Bearer a"));
        request.headers.append(header::AUTHORIZATION, "Bearer b".parse().unwrap());
        assert_eq!(request.header(&header::AUTHORIZATION), None);
    }
}
