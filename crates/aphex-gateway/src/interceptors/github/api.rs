//! GitHub's REST API, as far as the interceptor asks it: GET, pages by the header `Link`.
//!
//! Wire format of go-github v31, which Tekton uses: `docs.github.com/rest`, media type `application/vnd.github+json`.

use std::collections::BTreeMap;

use aphex_api::delivery::SecretKeyRef;
use serde_json::Value;

use super::{Asked, ENTERPRISE_HOST};
use crate::event::Event;
use crate::interceptors::outside::{Question, Response, Whom};
use crate::interceptors::{Context, Reply};

/// GitHub itself ends a list of changed files after 3,000, which are so many pages.
const PAGES: usize = 30;

/// The API for one event.
pub(super) struct Api<'a> {
    context: &'a Context<'a>,
    token: Option<SecretKeyRef>,
}

impl<'a> Api<'a> {
    /// Refuses an event that says it comes from another GitHub than the one in the settings.
    pub(super) fn of(context: &'a Context<'a>, event: &Event, token: Option<SecretKeyRef>) -> Asked<Self> {
        let host = event.headers.get(ENTERPRISE_HOST).map(String::as_str).unwrap_or_default();
        let own = context.github_api.split_once("://").map_or("", |(_, rest)| rest);
        let own = own.split('/').next().unwrap_or_default();
        if !host.is_empty() && !host.eq_ignore_ascii_case(own) {
            let message = format!(
                "the event comes from {host}, and this gateway asks {own}: start it with --github-api-url \
                 https://{host}/api/v3"
            );
            return Err(Reply::Fail(message));
        }
        Ok(Self { context, token })
    }

    /// What a path gives; nothing for 404.
    pub(super) fn get(&self, path: &str) -> Asked<Option<Value>> {
        self.page(&format!("{}{path}", self.context.github_api)).map(|page| page.map(|(value, _)| value))
    }

    /// All items of all pages of a list; nothing for 404.
    pub(super) fn list(&self, path: &str) -> Asked<Option<Vec<Value>>> {
        let mut items = Vec::new();
        let mut url = format!("{}{path}?per_page=100", self.context.github_api);
        for _ in 0..PAGES {
            let Some((page, next)) = self.page(&url)? else { return Ok(None) };
            let Value::Array(page) = page else {
                return Err(Reply::Fail(format!("GitHub did not answer {path} with a list")));
            };
            items.extend(page);
            match next {
                Some(next) => url = next,
                None => break,
            }
        }
        Ok(Some(items))
    }

    /// One answer, and where the next page of it is.
    fn page(&self, url: &str) -> Asked<Option<(Value, Option<String>)>> {
        let path = url.strip_prefix(self.context.github_api).unwrap_or_default();
        // A token goes to no address but the configured one, whatever an answer says is next.
        if !path.starts_with('/') {
            return Err(Reply::Fail("GitHub's answer leads to another server".to_owned()));
        }
        let headers = BTreeMap::from([
            ("Accept".to_owned(), "application/vnd.github+json".to_owned()),
            ("X-Github-Api-Version".to_owned(), "2022-11-28".to_owned()),
        ]);
        let question = Question {
            whom: Whom::Github,
            url: url.to_owned(),
            ca_bundle: None,
            headers,
            body: None,
            token: self.token.clone(),
        };
        let response = match self.context.outside.answer(&question) {
            None => return Err(Reply::Again(format!("GitHub has not been asked for {path}"))),
            Some(Err(message)) => {
                return Err(Reply::Again(format!("GitHub does not answer {path}: {message}")));
            }
            Some(Ok(response)) => response,
        };
        if response.status == 404 {
            return Ok(None);
        }
        if response.status != 200 {
            return Err(refused(path, &response));
        }
        let value = serde_json::from_str(&response.body)
            .map_err(|error| Reply::Fail(format!("GitHub did not answer {path} with JSON: {error}")))?;
        Ok(Some((value, response.headers.get("Link").and_then(|link| next(link)))))
    }
}

fn refused(path: &str, response: &Response) -> Reply {
    let said: Value = serde_json::from_str(&response.body).unwrap_or_default();
    let said = super::super::remote::cut(said["message"].as_str().unwrap_or("no message"));
    let message = format!("GitHub answered {} to {path}: {said}", response.status);
    // GitHub answers 403 as well when the limit of requests is reached.
    let limited = response.headers.get("X-Ratelimit-Remaining").is_some_and(|left| left == "0");
    if limited || response.may_pass() { Reply::Again(message) } else { Reply::Fail(message) }
}

/// The address of the next page in a header `Link` (RFC 8288).
fn next(link: &str) -> Option<String> {
    link.split(',').find_map(|part| {
        let (url, relation) = part.split_once(';')?;
        let url = url.trim().strip_prefix('<')?.strip_suffix('>')?;
        relation.contains("rel=\"next\"").then(|| url.to_owned())
    })
}

/// A segment of a path, with everything encoded that could end it.
pub(super) fn segment(text: &str) -> String {
    text.bytes().fold(String::new(), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            // Writing to a String cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_others() {
        let link = "<https://api.github.com/x?page=2>; rel=\"next\", <https://api.github.com/x?page=9>; rel=\"last\"";
        assert_eq!(next(link).as_deref(), Some("https://api.github.com/x?page=2"));
        assert_eq!(next("<https://api.github.com/x?page=1>; rel=\"first\""), None);
    }

    #[test]
    fn a_name_cannot_leave_its_segment() {
        assert_eq!(segment("web.app_1"), "web.app_1");
        assert_eq!(segment("../x?y#z"), "..%2Fx%3Fy%23z");
    }
}
