//! Reading collections: selectors, pages, revisions.

use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use aphex_store::{Entry, List, Page, ReadError, Revision};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Response;
use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::call::Call;
use crate::codec;
use crate::input;
use crate::request::ListOptions;
use crate::resource::Resource;
use crate::respond::{self, ListMeta};
use crate::selectors::Filter;
use crate::status::Status;

const TOKEN_VERSION: &str = "meta.k8s.io/v1";
const TOO_OLD: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// A continue token: the form of `k8s.io/apiserver/pkg/storage/continue.go`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Continue {
    v: String,
    rv: i64,
    start: String,
}

impl Continue {
    /// A token for the page after a key; revision -1 means "whatever is there then".
    pub(super) fn after(revision: i64, key: &str) -> String {
        let token = Self { v: TOKEN_VERSION.to_owned(), rv: revision, start: key.to_owned() };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    /// Reads a token.
    pub(super) fn parse(text: &str) -> Result<Self, Status> {
        let wrong = |why: &str| {
            Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
        };
        let bytes = URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|_| wrong("illegal base64 data at input byte 0"))?;
        let read = input::json(&bytes).map_err(|error| wrong(&error.to_string()))?;
        let token: Self = serde_json::from_value(read.value).map_err(|error| wrong(&error.to_string()))?;
        if token.v != TOKEN_VERSION || token.rv == 0 {
            return Err(wrong("server does not recognize this encoded version"));
        }
        if token.start.is_empty() || token.start.contains("..") {
            return Err(wrong("encoded start key may not be empty"));
        }
        Ok(token)
    }
}

/// Answers with the objects of a collection.
pub(super) fn list(call: &Call) -> Result<Response<Body>, Status> {
    let options = ListOptions::parse(&call.query, false)?;
    let filter = Filter::parse(&call.resource, &options.label_selector, &options.field_selector)?;
    let prefix = call.resource.key_prefix(call.path.namespace.as_deref());
    let counted = filter.is_empty();
    let (page, consistent) =
        read(call, &options, &prefix, scope(call, &filter), options.limit.filter(|_| counted))?;
    // One more than wanted tells that there are more: what is on later pages is not looked at for each of those before.
    let most = options.limit.map_or(usize::MAX, |limit| limit.saturating_add(1));
    let found = page.entries.iter().filter(|entry| selected(&call.resource, &filter, entry));
    let mut entries: Vec<&Entry> = found.take(most).collect();
    let mut meta = ListMeta { revision: page.revision, ..ListMeta::default() };
    if let Some(limit) = options.limit
        && (page.remaining > 0 || entries.len() > limit)
    {
        entries.truncate(limit);
        let last = entries.last().map(|entry| &*entry.key).unwrap_or_default();
        let start = last.strip_prefix(prefix.as_str()).unwrap_or(last);
        let revision = if consistent { i64::try_from(page.revision).unwrap_or(-1) } else { -1 };
        meta.continue_token = Some(Continue::after(revision, start));
        meta.remaining = counted.then_some(page.remaining);
    }
    let items: Vec<Bytes> =
        entries.into_iter().map(|entry| codec::serve(&call.resource, entry)).collect::<Result<_, _>>()?;
    respond::list(call, items, &meta)
}

/// The beginning of all keys that a filter lets through: who asks for one object by name need not wait for a look at all.
pub(super) fn scope(call: &Call, filter: &Filter) -> String {
    let resource = &call.resource;
    let namespace = call.path.namespace.as_deref().or_else(|| filter.namespace());
    let namespace = namespace.filter(|_| resource.namespaced);
    let mut scope = resource.key_prefix(namespace);
    if let Some(name) = filter.name().filter(|_| namespace.is_some() || !resource.namespaced) {
        scope.push_str(name);
    }
    scope
}

/// The entries that the options ask for, and whether they are all of one revision.
fn read(
    call: &Call,
    options: &ListOptions,
    prefix: &str,
    scope: String,
    limit: Option<usize>,
) -> Result<(Page, bool), Status> {
    let store = &call.server.store;
    let mut request = List { prefix: scope, limit, ..List::default() };
    if !options.continue_token.is_empty() {
        if !options.resource_version.is_empty() && options.resource_version != "0" {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let token = Continue::parse(&options.continue_token)?;
        request.after = Some(format!("{prefix}{}", token.start));
        request.at = u64::try_from(token.rv).ok();
        let consistent = request.at.is_some();
        return match store.list(&request) {
            Ok(page) => Ok((page, consistent)),
            Err(ReadError::Compacted { .. }) => {
                let mut status = Status::expired(TOO_OLD);
                status.continue_token = Some(Continue::after(-1, &token.start));
                Err(status)
            }
            Err(error) => Err(unreadable(&error, request.at)),
        };
    }
    let version = parse_version(&options.resource_version)?;
    let exact = options.resource_version_match == "Exact"
        || (options.resource_version_match.is_empty() && options.limit.is_some() && version > 0);
    if exact {
        request.at = Some(version);
    } else {
        check_reached(call, version)?;
    }
    store.list(&request).map(|page| (page, true)).map_err(|error| unreadable(&error, request.at))
}

fn unreadable(error: &ReadError, wanted: Option<Revision>) -> Status {
    match error {
        ReadError::Compacted { .. } => {
            Status::expired("The resourceVersion for the provided list is too old.")
        }
        ReadError::Future { current } => {
            Status::too_large_resource_version(wanted.unwrap_or_default(), *current)
        }
    }
}

/// Reads a `resourceVersion`; absent is 0.
pub(super) fn parse_version(text: &str) -> Result<Revision, Status> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| {
        let why = format!("strconv.ParseUint: parsing \"{text}\": invalid syntax");
        let error = FieldError::invalid(&Path::root().child("resourceVersion"), text, why);
        Status::bad_request(format!("invalid resource version: {error}"))
    })
}

/// Refuses a revision that does not exist yet.
pub(super) fn check_reached(call: &Call, version: Revision) -> Result<(), Status> {
    let current = call.server.store.revision();
    if version > current { Err(Status::too_large_resource_version(version, current)) } else { Ok(()) }
}

/// Namespace and name in a key.
pub(super) fn key_parts<'a>(resource: &Resource, key: &'a str) -> (&'a str, &'a str) {
    let rest = key.strip_prefix(resource.storage.prefix.as_str()).unwrap_or(key);
    if resource.namespaced { rest.split_once('/').unwrap_or(("", rest)) } else { ("", rest) }
}

/// Whether an entry matches a filter.
pub fn selected(resource: &Resource, filter: &Filter, entry: &Entry) -> bool {
    if filter.is_empty() {
        return true;
    }
    let (namespace, name) = key_parts(resource, &entry.key);
    if crate::convert::is_structural(resource) {
        // Field names of this version, not of the stored one.
        return codec::serve(resource, entry).is_ok_and(|bytes| filter.matches(namespace, name, &bytes));
    }
    filter.matches(namespace, name, &entry.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continue_tokens_read_back() {
        let token = Continue::parse(&Continue::after(12, "ns/a")).unwrap();
        assert_eq!((token.rv, token.start.as_str()), (12, "ns/a"));
    }

    #[test]
    fn broken_tokens_are_refused_in_kubernetes_words() {
        assert_eq!(
            Continue::parse("x").unwrap_err().message,
            "invalid continue token: continue key is not valid: illegal base64 data at input byte 0"
        );
    }

    #[test]
    fn a_revision_must_be_a_number() {
        assert_eq!(
            parse_version("zz").unwrap_err().message,
            "invalid resource version: resourceVersion: Invalid value: \"zz\": strconv.ParseUint: parsing \"zz\": \
             invalid syntax"
        );
    }
}
