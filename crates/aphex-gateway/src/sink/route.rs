//! From host and path to the listeners a request may be for.

use std::sync::Arc;

use aphex_api::foreign::triggers::EventListener;

use crate::snapshot::Snapshot;

/// The listener that the platform makes in every namespace that has one.
const USUAL: &str = "github-listener";
/// What the namespace of an organization begins with.
const ORGANIZATION_PREFIX: &str = "org-";

/// The listeners that `/<organization>`, `/<tenant>`, `/<namespace>/<listener>` or host `<organization>.<domain>` mean.
///
/// An organization and a tenant may have the same name: then there are two, and the signature decides.
pub(super) fn listeners(
    snapshot: &Snapshot,
    host: &str,
    path: &str,
    domain: &str,
) -> Vec<Arc<EventListener>> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let (name, listener) = match segments.as_slice() {
        [] => match organization(host, domain) {
            Some(organization) => (organization, None),
            None => return Vec::new(),
        },
        [name] => ((*name).to_owned(), None),
        [name, listener] => ((*name).to_owned(), Some(*listener)),
        _ => return Vec::new(),
    };
    let namespaces = [format!("{ORGANIZATION_PREFIX}{name}"), name];
    let found = namespaces.iter().filter_map(|namespace| match listener {
        Some(listener) => snapshot.listener(namespace, listener),
        None => snapshot.listener(namespace, USUAL).or_else(|| {
            let mut all = snapshot.listeners(namespace);
            // A namespace with several listeners of other names must be asked with the listener's name.
            if all.len() == 1 { all.pop() } else { None }
        }),
    });
    found.collect()
}

/// The one label before the platform's domain.
fn organization(host: &str, domain: &str) -> Option<String> {
    let host = host
        .rsplit_once(':')
        .filter(|(_, port)| port.chars().all(|c| c.is_ascii_digit()))
        .map_or(host, |h| h.0);
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let label = host.strip_suffix(&domain.to_ascii_lowercase())?.strip_suffix('.')?;
    (!domain.is_empty() && !label.is_empty() && !label.contains('.')).then(|| label.to_owned())
}

#[cfg(test)]
mod tests {
    use aphex_api::foreign::triggers::EventListenerSpec;

    use super::*;
    use crate::snapshot::Objects;

    fn snapshot() -> Snapshot {
        let listeners = [
            ("org-acme", "github-listener"),
            ("acme", "github-listener"),
            ("archon", "only"),
            ("many", "a"),
            ("many", "b"),
        ];
        let listeners = listeners.map(|(namespace, name)| {
            let mut listener = EventListener::new(name, EventListenerSpec::default());
            listener.metadata.namespace = Some(namespace.to_owned());
            listener
        });
        Snapshot::of(Objects { listeners: listeners.into(), ..Objects::default() })
    }

    #[test]
    fn host_and_path_name_listeners() {
        let snapshot = snapshot();
        let found = |host: &str, path: &str| {
            let found = listeners(&snapshot, host, path, "hooks.example.com");
            found
                .iter()
                .map(|l| {
                    format!(
                        "{}/{}",
                        l.metadata.namespace.as_deref().unwrap(),
                        l.metadata.name.as_deref().unwrap()
                    )
                })
                .collect::<Vec<_>>()
                .join(" ")
        };
        for (host, path, expected) in [
            ("", "/acme", "org-acme/github-listener acme/github-listener"),
            ("", "/acme/", "org-acme/github-listener acme/github-listener"),
            ("ACME.hooks.example.com:8080", "/", "org-acme/github-listener acme/github-listener"),
            ("acme.hooks.example.com", "/archon", "archon/only"),
            ("", "/archon", "archon/only"),
            ("", "/many", ""),
            ("", "/many/b", "many/b"),
            ("", "/many/b/c", ""),
            ("", "/", ""),
            ("hooks.example.com", "/", ""),
            ("a.acme.hooks.example.com", "/", ""),
            ("evilhooks.example.com", "/", ""),
            ("", "/nobody", ""),
        ] {
            assert_eq!(found(host, path), expected, "{host}{path}");
        }
    }
}
