//! A request taken apart: which resource, which verb, which options.
//!
//! Paths follow `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`; options are in [`options`], content
//! negotiation in [`negotiate`], the time that a request may take in [`deadline`].

pub mod deadline;
pub mod negotiate;
pub mod options;

use http::Method;

pub use negotiate::{Encoding, Output, Shape};
pub use options::{DeleteOptions, FieldValidation, ListOptions, Query, WriteOptions, prefers_ahead};

/// What a path names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourcePath {
    /// API group; the core group is "".
    pub group: String,
    /// Version.
    pub version: String,
    /// Namespace, if the path has one.
    pub namespace: Option<String>,
    /// Plural resource name.
    pub plural: String,
    /// Object name.
    pub name: Option<String>,
    /// Subresource.
    pub subresource: Option<String>,
    /// What follows the subresource (proxies use it).
    pub rest: Vec<String>,
    /// The deprecated `/watch/` prefix was used.
    pub watch: bool,
}

/// A path below `/api` or `/apis`, or another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `/api/v1/...` or `/apis/group/version/...` with a resource.
    Resource(Box<ResourcePath>),
    /// Anything else: discovery, health, OpenAPI.
    Other(Vec<String>),
}

/// Reads a path.
pub fn parse_path(path: &str) -> Target {
    let segments: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(percent_decode).collect();
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, rest) = match words.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Target::Other(segments),
    };
    let (watch, rest) = match rest {
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        rest => (false, rest),
    };
    let (namespace, rest) = match rest {
        // The namespaces resource itself, and its own subresources.
        ["namespaces"] | ["namespaces", _] | ["namespaces", _, "finalize" | "status", ..] => (None, rest),
        ["namespaces", namespace, rest @ ..] => (Some((*namespace).to_owned()), rest),
        rest => (None, rest),
    };
    let own = |segment: Option<&&str>| segment.map(|s| (*s).to_owned());
    Target::Resource(Box::new(ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace,
        plural: own(rest.first()).unwrap_or_default(),
        name: own(rest.get(1)),
        subresource: own(rest.get(2)),
        rest: rest.iter().skip(3).map(|s| (*s).to_owned()).collect(),
        watch,
    }))
}

/// The Kubernetes verb of a request, as authorization and discovery name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read a collection.
    List,
    /// Follow a collection.
    Watch,
    /// Create an object.
    Create,
    /// Replace an object.
    Update,
    /// Change an object.
    Patch,
    /// Delete an object.
    Delete,
    /// Delete a collection.
    DeleteCollection,
}

impl Verb {
    /// From method, path and the `watch` option; `None` if the method means nothing there.
    pub fn of(method: &Method, path: &ResourcePath, watch: bool) -> Option<Self> {
        let named = path.name.is_some();
        Some(match *method {
            Method::GET | Method::HEAD if watch => Self::Watch,
            Method::GET | Method::HEAD if named => Self::Get,
            Method::GET | Method::HEAD => Self::List,
            Method::POST => Self::Create,
            Method::PUT if named => Self::Update,
            Method::PATCH if named => Self::Patch,
            Method::DELETE if named => Self::Delete,
            Method::DELETE => Self::DeleteCollection,
            _ => return None,
        })
    }

    /// The verb's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// Decodes `%41` and leaves malformed escapes as they are.
pub fn percent_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = bytes.get(i + 1..i + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (bytes[i], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                i += 3;
            }
            (byte, _) => {
                out.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(path: &str) -> ResourcePath {
        match parse_path(path) {
            Target::Resource(found) => *found,
            Target::Other(segments) => panic!("not a resource: {segments:?}"),
        }
    }

    #[test]
    fn paths_name_group_namespace_object_and_subresource() {
        let found = resource("/apis/apps/v1/namespaces/team/deployments/web/scale");
        assert_eq!((found.group.as_str(), found.version.as_str()), ("apps", "v1"));
        assert_eq!(found.namespace.as_deref(), Some("team"));
        assert_eq!(found.plural, "deployments");
        assert_eq!((found.name.as_deref(), found.subresource.as_deref()), (Some("web"), Some("scale")));
    }

    #[test]
    fn the_namespaces_resource_is_not_a_namespaced_one() {
        let found = resource("/api/v1/namespaces/team/finalize");
        assert_eq!((found.plural.as_str(), found.name.as_deref()), ("namespaces", Some("team")));
        assert_eq!((found.namespace, found.subresource.as_deref()), (None, Some("finalize")));
        assert_eq!(resource("/api/v1/namespaces/team/configmaps").namespace.as_deref(), Some("team"));
    }

    #[test]
    fn discovery_paths_name_no_resource() {
        for path in ["/", "/api", "/apis", "/apis/apps", "/apis/apps/v1", "/api/v1", "/healthz"] {
            assert!(matches!(parse_path(path), Target::Other(_)), "{path}");
        }
    }

    #[test]
    fn escapes_are_decoded_once() {
        assert_eq!(resource("/api/v1/namespaces/a/configmaps/x%3Ay%2541").name.as_deref(), Some("x:y%41"));
    }
}
