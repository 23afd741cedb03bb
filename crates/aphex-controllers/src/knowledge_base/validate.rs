//! Whether the repositories of a KnowledgeBase can be tracked at all.

use aphex_api::knowledge_base::{KnowledgeBase, TrackedRepository};
use aphex_api::names::Branch;
use aphex_git::{Policy, Remote, RemoteFormatError};

use crate::outcome::Rejection;

/// Where documentation is.
const DOCUMENTATION: &str = ".kiro/docs";

/// What is to be tracked, in the order of the spec.
#[derive(Clone, Debug)]
pub struct Valid(pub Vec<Planned>);

/// One repository to be tracked.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its address.
    pub remote: Remote,
    /// The branch.
    pub branch: Branch,
    /// Name of the Secret with the credentials.
    pub secret: Option<String>,
}

pub(super) fn validate(object: &KnowledgeBase, policy: &Policy) -> Result<Valid, Rejection> {
    if object.spec.display_name.trim().is_empty() {
        return Err(Rejection::invalid("spec.displayName must not be empty"));
    }
    if object.spec.repositories.is_empty() {
        return Err(Rejection::invalid("spec.repositories must name at least one repository"));
    }
    let planned = object.spec.repositories.iter().enumerate().map(|(index, repository)| {
        plan(repository, policy)
            .map_err(|message| Rejection::invalid(format!("spec.repositories[{index}].{message}")))
    });
    planned.collect::<Result<_, _>>().map(Valid)
}

/// Tells the field and the rule that it breaks.
fn plan(repository: &TrackedRepository, policy: &Policy) -> Result<Planned, String> {
    let secret = repository.secret_ref.as_ref().map(|secret| secret.name.clone());
    let remote =
        remote(&repository.url, policy, secret.is_some()).map_err(|message| format!("url {message}"))?;
    let branch = repository.branch.parse().map_err(|error| format!("branch: {error}"))?;
    for path in &repository.paths {
        let below = path.strip_prefix(DOCUMENTATION);
        if below.is_none_or(|rest| !rest.is_empty() && !rest.starts_with('/')) {
            return Err(format!("paths: '{path}' must start with {DOCUMENTATION}"));
        }
        if path.split('/').any(|part| part == "..") {
            return Err(format!("paths: '{path}' must not contain '..'"));
        }
    }
    if secret.is_some() && matches!(remote, Remote::Git { .. }) {
        return Err("secretRef: git:// knows no credentials; use https://".to_owned());
    }
    Ok(Planned { remote, branch, secret })
}

fn remote(url: &str, policy: &Policy, has_secret: bool) -> Result<Remote, String> {
    let parsed: Result<Remote, RemoteFormatError> = url.parse();
    let hosts = policy.hosts.as_deref().unwrap_or_default();
    let remote = match parsed {
        Ok(remote) => remote,
        // Whoever reads this sees the spec as well, but not everybody who sees the status does.
        Err(error @ RemoteFormatError::Credentials) => return Err(error.to_string()),
        Err(error) => return Err(begins(hosts).unwrap_or_else(|| error.to_string())),
    };
    if !policy.permits_host(remote.host()) {
        let named = || format!("names host {}; the platform asks {}", remote.host(), hosts.join(", "));
        return Err(begins(hosts).unwrap_or_else(named));
    }
    if matches!(remote, Remote::Ssh(_)) && !has_secret {
        return Err("is for SSH, which needs a key: name a Secret in secretRef".to_owned());
    }
    match remote.plain() {
        Some(scheme) if !policy.allow_private => {
            let plain = || format!("must begin with https://, not with {scheme}://");
            Err(begins(hosts).unwrap_or_else(plain))
        }
        _ => Ok(remote),
    }
}

/// How an address may begin, when there is one host.
fn begins(hosts: &[String]) -> Option<String> {
    match hosts {
        [host] => {
            Some(format!("must start with https://{host}/, or with git@{host}: and have a key in secretRef"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aphex_api::knowledge_base::{KnowledgeBaseSpec, SecretReference};

    use super::*;
    use crate::context::GitSettings;

    fn object(edit: impl FnOnce(&mut TrackedRepository)) -> KnowledgeBase {
        let fine: TrackedRepository =
            serde_json::from_value(serde_json::json!({ "url": "https://github.com/acme/app" })).unwrap();
        let mut repository = fine.clone();
        edit(&mut repository);
        let spec = KnowledgeBaseSpec {
            display_name: "Docs".to_owned(),
            repositories: vec![fine, repository],
            ..KnowledgeBaseSpec::default()
        };
        KnowledgeBase::new("docs", spec)
    }

    fn rejection(policy: &Policy, edit: impl FnOnce(&mut TrackedRepository)) -> String {
        validate(&object(edit), policy).unwrap_err().message
    }

    #[test]
    fn by_default_only_github_is_asked() {
        let policy = GitSettings::default().policy;
        let valid = validate(&object(|_| ()), &policy).unwrap();
        assert_eq!(valid.0[1].remote.to_string(), "https://github.com/acme/app");
        assert_eq!(valid.0[1].branch.as_str(), "main");
        for url in [
            "https://gitlab.com/acme/app",
            "http://github.com/acme/app",
            "git://github.com/acme/app",
            "https://github.com",
            "https://github.com.evil.example/acme/app",
            "",
        ] {
            let message = rejection(&policy, |repository| repository.url = url.to_owned());
            assert_eq!(
                message,
                "spec.repositories[1].url must start with https://github.com/, or with git@github.com: and have a \
                 key in secretRef",
                "{url}"
            );
        }
        let message = rejection(&policy, |repository| repository.url = "git@github.com:acme/app".to_owned());
        assert_eq!(
            message,
            "spec.repositories[1].url is for SSH, which needs a key: name a Secret in secretRef"
        );
    }

    #[test]
    fn credentials_in_an_address_are_refused_and_not_repeated() {
        let message = rejection(&GitSettings::default().policy, |repository| {
            repository.url = "https://me:hunter2@github.com/acme/app".to_owned();
        });
        assert!(message.starts_with("spec.repositories[1].url must not carry"), "{message}");
        assert!(!message.contains("hunter2"));
    }

    #[test]
    fn other_hosts_and_plain_schemes_are_the_configurations_to_allow() {
        let hosts = Some(vec!["github.com".to_owned(), "git.example.com".to_owned()]);
        let strict = Policy { hosts, allow_private: false };
        let message = rejection(&strict, |repository| repository.url = "https://other.example/x".to_owned());
        assert_eq!(
            message,
            "spec.repositories[1].url names host other.example; the platform asks github.com, git.example.com"
        );
        let message = rejection(&strict, |repository| repository.url = "git://git.example.com/x".to_owned());
        assert_eq!(message, "spec.repositories[1].url must begin with https://, not with git://");
        let by_ssh = |repository: &mut TrackedRepository| {
            repository.url = "git@github.com:acme/app".to_owned();
            repository.secret_ref = Some(SecretReference { name: "key".to_owned() });
        };
        assert!(validate(&object(by_ssh), &GitSettings::default().policy).is_ok());
        let open = Policy { hosts: None, allow_private: true };
        assert!(validate(&object(|r| r.url = "git://localhost/x".to_owned()), &open).is_ok());
    }

    #[test]
    fn branches_and_paths_are_what_git_and_the_platform_call_so() {
        let policy = GitSettings::default().policy;
        let message = rejection(&policy, |repository| repository.branch = "a..b".to_owned());
        assert_eq!(message, "spec.repositories[1].branch: invalid branch name 'a..b'");
        for (path, rule) in [
            ("docs", "must start with .kiro/docs"),
            (".kiro/docsecret", "must start with .kiro/docs"),
            (".kiro/docs/../x", "must not contain '..'"),
        ] {
            let message = rejection(&policy, |repository| repository.paths = vec![path.to_owned()]);
            assert_eq!(message, format!("spec.repositories[1].paths: '{path}' {rule}"));
        }
        let none = KnowledgeBase::new(
            "docs",
            KnowledgeBaseSpec { display_name: "Docs".into(), ..KnowledgeBaseSpec::default() },
        );
        let message = validate(&none, &policy).unwrap_err().message;
        assert_eq!(message, "spec.repositories must name at least one repository");
    }
}
