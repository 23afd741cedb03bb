//! What a client asked for: how often, and which rights that took.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request, header};
use kube::Client;
use kube::client::Body;

/// A request in the terms of authorization (RequestInfo in k8s.io/apiserver/pkg/endpoints/request).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource in plural.
    pub resource: String,
    /// The subresource; empty for the object itself.
    pub subresource: String,
    /// The verb.
    pub verb: String,
    /// The namespace; empty at cluster scope and for all namespaces.
    pub namespace: String,
    /// The object's name; empty where a request has none.
    pub name: String,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.kind())?;
        write!(f, " {}/{}", self.namespace, self.name)
    }
}

impl Asked {
    /// Resource and subresource as rules name them, with the group: `pods/log`, `triggers.tekton.dev`.
    pub fn kind(&self) -> String {
        let sub = if self.subresource.is_empty() { String::new() } else { format!("/{}", self.subresource) };
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        format!("{}{sub}{group}", self.resource)
    }

    /// Everything that a request asks for; nothing when it is about no resource.
    pub(crate) fn of<B>(request: &Request<B>) -> Vec<Self> {
        let mut asked = Vec::new();
        let path = request.uri().path();
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (group, rest) = match segments.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return asked,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let [resource, rest @ ..] = rest else { return asked };
        let name = rest.first().copied().unwrap_or_default();
        let watches =
            request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "watch=true"));
        let verb = match *request.method() {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if name.is_empty() => "deletecollection",
            Method::DELETE => "delete",
            _ if watches => "watch",
            _ if name.is_empty() => "list",
            _ => "get",
        };
        let one = Self {
            group: group.to_owned(),
            resource: (*resource).to_owned(),
            subresource: rest.get(1).copied().unwrap_or_default().to_owned(),
            verb: verb.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        // Applying creates what is not there, and takes the right to do so.
        let content = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if content.is_some_and(|content| content.starts_with("application/apply-patch"))
            && one.subresource.is_empty()
        {
            asked.push(Self { verb: "create".to_owned(), ..one.clone() });
        }
        let acts_as = request.headers().get("impersonate-user").and_then(|value| value.to_str().ok());
        if let Some(["system", "serviceaccount", namespace, name]) =
            acts_as.map(|user| user.split(':').collect::<Vec<_>>()).as_deref()
        {
            // What is asked for in another's name takes the other's rights.
            return vec![Self {
                resource: "serviceaccounts".to_owned(),
                verb: "impersonate".to_owned(),
                namespace: (*namespace).to_owned(),
                name: (*name).to_owned(),
                ..Self::default()
            }];
        }
        asked.push(one);
        asked
    }
}

/// The requests that were made; shared by clones.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Log>);

#[derive(Debug)]
struct Log {
    counts: [AtomicUsize; 2],
    /// What was asked for; none where only numbers are wanted.
    asked: Option<Mutex<BTreeSet<Asked>>>,
}

impl Default for Log {
    fn default() -> Self {
        Self { counts: Default::default(), asked: Some(Mutex::default()) }
    }
}

impl Requests {
    /// Keeps numbers alone: where a million requests are measured, what they asked for must not take time and memory.
    pub fn numbers() -> Self {
        Self(Arc::new(Log { asked: None, ..Log::default() }))
    }

    /// A client whose requests are taken note of here.
    pub fn client(&self, inner: &Client) -> Client {
        let (through, namespace, inner) = (self.clone(), inner.default_namespace().to_owned(), inner.clone());
        let send = move |request: Request<Body>| {
            through.record(&request);
            let inner = inner.clone();
            async move { inner.send(request).await }
        };
        Client::new(tower::service_fn(send), namespace)
    }

    /// Requests that only read.
    pub fn reads(&self) -> usize {
        self.0.counts[0].load(Ordering::Acquire)
    }

    /// Requests that could have changed something.
    pub fn writes(&self) -> usize {
        self.0.counts[1].load(Ordering::Acquire)
    }

    /// What was asked for, each once; empty where numbers alone are kept.
    pub fn asked(&self) -> BTreeSet<Asked> {
        let asked = self.0.asked.as_ref();
        asked.map(|asked| asked.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
    }

    pub(crate) fn record<B>(&self, request: &Request<B>) {
        let at = usize::from(!matches!(*request.method(), Method::GET | Method::HEAD));
        self.0.counts[at].fetch_add(1, Ordering::AcqRel);
        if let Some(asked) = &self.0.asked {
            asked.lock().unwrap_or_else(PoisonError::into_inner).extend(Asked::of(request));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, path: &str) -> Vec<String> {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        Asked::of(&request).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_request_is_read_as_authorization_reads_it() {
        assert_eq!(asked(Method::GET, "/api/v1/namespaces"), ["list namespaces /"]);
        assert_eq!(asked(Method::GET, "/api/v1/namespaces/a"), ["get namespaces /a"]);
        assert_eq!(asked(Method::GET, "/api/v1/namespaces/a/secrets/b"), ["get secrets a/b"]);
        assert_eq!(
            asked(Method::GET, "/apis/tekton.dev/v1/pipelines?limit=5&watch=true"),
            ["watch pipelines.tekton.dev /"]
        );
        assert_eq!(
            asked(Method::PATCH, "/apis/aphex.io/v1alpha1/namespaces/a/deliveries/b/status"),
            ["patch deliveries/status.aphex.io a/b"]
        );
        assert_eq!(asked(Method::GET, "/apis/tekton.dev/v1"), Vec::<String>::new());
        assert_eq!(asked(Method::GET, "/version"), Vec::<String>::new());
    }

    #[test]
    fn applying_takes_two_rights_and_acting_as_another_only_that() {
        let request = |name: &str, value: &str| {
            let path = "/api/v1/namespaces/a/secrets/b";
            Request::builder().method(Method::PATCH).uri(path).header(name, value).body(()).unwrap()
        };
        let asked = |request| Asked::of(&request).iter().map(ToString::to_string).collect::<Vec<_>>();
        let applied = asked(request("content-type", "application/apply-patch+yaml"));
        assert_eq!(applied, ["create secrets a/b", "patch secrets a/b"]);
        let acting = asked(request("impersonate-user", "system:serviceaccount:org:web"));
        assert_eq!(acting, ["impersonate serviceaccounts org/web"]);
    }
}
