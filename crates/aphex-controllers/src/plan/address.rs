//! Which object or collection a request is about.

use kube::core::{Expression, Selector};

/// One object of the engine: the path of its collection's kind, and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    /// `/api/v1`, or `/apis/<group>/<version>`.
    pub(super) prefix: String,
    pub(super) plural: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

impl Id {
    /// The namespace of a name.
    pub(super) fn of_namespace(name: &str) -> Self {
        Self {
            prefix: "/api/v1".to_owned(),
            plural: "namespaces".to_owned(),
            namespace: None,
            name: name.to_owned(),
        }
    }

    /// Where the engine has it.
    pub(super) fn path(&self) -> String {
        let Self { prefix, plural, namespace, name } = self;
        match namespace {
            Some(namespace) => format!("{prefix}/namespaces/{namespace}/{plural}/{name}"),
            None => format!("{prefix}/{plural}/{name}"),
        }
    }
}

/// The path of a request, taken apart (RequestInfo in k8s.io/apiserver/pkg/endpoints/request).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) prefix: String,
    pub(super) plural: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

impl Address {
    /// Nothing for paths that are about no resource, such as discovery's.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (prefix, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => (format!("/api/{version}"), rest),
            ["apis", group, version, rest @ ..] => (format!("/apis/{group}/{version}"), rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
            rest => (None, rest),
        };
        let (plural, rest) = rest.split_first()?;
        Some(Self {
            prefix,
            plural: (*plural).to_owned(),
            namespace,
            name: rest.first().map(|name| (*name).to_owned()),
            subresource: rest.get(1).map(|name| (*name).to_owned()),
        })
    }

    /// The object of a name in this collection; without a namespace of its own, in the object's.
    pub(super) fn id(&self, name: &str, namespace: Option<&str>) -> Id {
        Id {
            prefix: self.prefix.clone(),
            plural: self.plural.clone(),
            namespace: self.namespace.as_deref().or(namespace).map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// Whether an object is in this collection, or the collection of all namespaces.
    pub(super) fn holds(&self, id: &Id) -> bool {
        self.prefix == id.prefix
            && self.plural == id.plural
            && self.namespace.as_ref().is_none_or(|namespace| id.namespace.as_ref() == Some(namespace))
    }
}

/// The value of a query parameter.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// A label selector of equalities and existences, which is all that controllers select by.
pub(super) fn selector(text: &str) -> Option<Selector> {
    let expression = |term: &str| match term.split_once('=') {
        _ if term.contains(['!', '(', ' ']) => None,
        Some((key, value)) => {
            Some(Expression::Equal(key.to_owned(), value.trim_start_matches('=').to_owned()))
        }
        None => Some(Expression::Exists(term.to_owned())),
    };
    text.split(',').filter(|term| !term.is_empty()).map(expression).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::core::SelectorExt as _;

    use super::*;

    #[test]
    fn paths_name_objects_and_collections() {
        let object = Address::parse("/apis/aphex.io/v1alpha1/namespaces/a/repobindings/b/status").unwrap();
        assert_eq!((object.namespace.as_deref(), object.name.as_deref()), (Some("a"), Some("b")));
        assert_eq!(object.subresource.as_deref(), Some("status"));
        assert_eq!(object.id("b", None).path(), "/apis/aphex.io/v1alpha1/namespaces/a/repobindings/b");
        let namespace = Address::parse("/api/v1/namespaces/a").unwrap();
        assert_eq!(namespace.id("a", None), Id::of_namespace("a"));
        assert_eq!(Address::parse("/apis/aphex.io/v1alpha1"), None);
        assert_eq!(Address::parse("/version"), None);
    }

    #[test]
    fn a_collection_of_all_namespaces_holds_objects_of_each() {
        let all = Address::parse("/api/v1/secrets").unwrap();
        let one = Address::parse("/api/v1/namespaces/a/secrets").unwrap();
        let secret = all.id("s", Some("a"));
        assert!(all.holds(&secret) && one.holds(&secret));
        assert!(!one.holds(&all.id("s", Some("b"))));
    }

    #[test]
    fn selectors_are_equalities_and_existences() {
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let both = selector("a=1,b").unwrap();
        assert!(both.matches(&labels(&[("a", "1"), ("b", "")])));
        assert!(!both.matches(&labels(&[("a", "1")])) && !both.matches(&labels(&[("a", "2"), ("b", "")])));
        assert!(selector("a in (b)").is_none() && selector("a!=b").is_none());
        assert!(selector("").unwrap().matches(&labels(&[])));
        let encoded = "labelSelector=platform.aphex%2Fowner-uid%3Dx&limit=5";
        assert_eq!(parameter(encoded, "labelSelector").as_deref(), Some("platform.aphex/owner-uid=x"));
    }
}
