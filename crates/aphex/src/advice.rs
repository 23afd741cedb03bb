//! What to do next after an error, by what the server or the kubeconfig said.

use kube::config::KubeconfigError;
use kube::core::Status;

use crate::{exit, rights};

/// The next step; nothing where the error says it already, or nobody knows.
pub(crate) fn next_step(error: &anyhow::Error) -> Option<String> {
    for cause in error.chain() {
        // What has a code of its own was written with its next step.
        if cause.downcast_ref::<exit::Coded>().is_some() {
            return None;
        }
        if let Some(KubeconfigError::LoadContext(_)) = cause.downcast_ref::<KubeconfigError>() {
            return Some(
                "`kubectl config get-contexts` lists the contexts; choose one with --context".to_owned(),
            );
        }
        if let Some(error) = exit::of_server(cause) {
            return of_server(error);
        }
    }
    None
}

fn of_server(error: &kube::Error) -> Option<String> {
    match error {
        kube::Error::Api(status) => of_status(status),
        kube::Error::Auth(_) => Some(LOGIN.to_owned()),
        kube::Error::HyperError(_) | kube::Error::Service(_) => Some(
            "see that the server of your kubeconfig runs (`aphex up` starts one on this machine), or choose another \
             with --context or --kubeconfig; `aphex doctor` looks closer"
                .to_owned(),
        ),
        _ => None,
    }
}

const LOGIN: &str = "run `aphex login`: the server does not know who you are, or your login has expired";

fn of_status(status: &Status) -> Option<String> {
    match status.code {
        401 => Some(LOGIN.to_owned()),
        403 => Some(of_refusal(&status.message)),
        404 if status.message.contains("could not find the requested resource")
            || status.message.starts_with("404 page not found") =>
        {
            Some("the server lacks this kind: is the platform installed there? `aphex doctor` says what is missing".to_owned())
        }
        404 if status.message.starts_with("namespaces ") => {
            Some(
                "choose a namespace that exists: a platform administrator makes those of teams and users, and a tenant's \
                 is there once its RepoBinding is Ready; `aphex apply` with both waits for it"
                    .to_owned(),
            )
        }
        409 if status.reason == "Conflict" && status.message.contains("conflict with") => {
            Some("another manager set these fields; --force-conflicts takes them over".to_owned())
        }
        409 if status.reason == "AlreadyExists" => {
            Some("choose another name, or change what is there with `aphex apply -f FILE`".to_owned())
        }
        500 if exit::is_unknown_field(status) => Some(
            "mend the field that the message names; `kubectl explain KIND.spec` lists those there are".to_owned(),
        ),
        422 => Some("change what the message names; `aphex plan -f FILE` shows what a file would do".to_owned()),
        _ => None,
    }
}

/// RBAC's sentence has the words in it: `User "…" cannot list resource "…" in API group "…" in the namespace "…"`.
fn of_refusal(message: &str) -> String {
    let quoted = |after: &str| message.split_once(after)?.1.split('"').next();
    let verb = message.split_once(" cannot ").and_then(|(_, rest)| rest.split(' ').next());
    let (Some(verb), Some(resource)) = (verb, quoted("resource \"")) else {
        return "change what the message names, or ask a platform administrator".to_owned();
    };
    let group = quoted("API group \"").unwrap_or_default();
    let namespace = quoted("namespace \"").unwrap_or_default();
    let remedy = rights::remedy(verb, group, resource, namespace);
    if message.contains("at the cluster scope") && verb == "list" {
        return format!("give a namespace that you may look into with -n; {remedy}");
    }
    remedy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(code: u16, reason: &str, message: &str) -> Option<String> {
        let status =
            Status { code, reason: reason.to_owned(), message: message.to_owned(), ..Status::default() };
        next_step(&anyhow::Error::new(kube::Error::Api(Box::new(status))).context("cannot do it"))
    }

    #[test]
    fn who_is_not_known_is_told_to_log_in() {
        assert!(step(401, "Unauthorized", "Unauthorized").unwrap().contains("aphex login"));
    }

    #[test]
    fn who_may_not_is_told_which_group_may() {
        let said = "pipelines.platform.dev is forbidden: User \"ann\" cannot list resource \"pipelines\" in API group \
                    \"platform.dev\" at the cluster scope";
        let step = step(403, "Forbidden", said).unwrap();
        assert!(step.contains("with -n") && step.contains("platform-engineering"), "{step}");
    }

    #[test]
    fn a_refusal_by_a_policy_names_no_group() {
        let step = step(403, "Forbidden", "ValidatingAdmissionPolicy 'x' denied request: no").unwrap();
        assert!(!step.contains("group"), "{step}");
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        let missing = |message: &str| step(404, "NotFound", message).unwrap_or_default();
        assert!(missing("404 page not found\n").contains("aphex doctor"));
        assert!(missing("namespaces \"team-x\" not found").contains("platform administrator"));
        assert_eq!(missing("secrets \"x\" not found"), "");
    }

    #[test]
    fn a_field_that_is_misspelt_is_the_users_to_mend() {
        let said = "failed to create typed patch object (platform-system/a; aphex.io/v1alpha1, Kind=RepoBinding): \
                    .spec.brnch: field not declared in schema";
        assert!(step(500, "", said).unwrap().contains("kubectl explain"));
        let status = Status { code: 500, message: said.to_owned(), ..Status::default() };
        let error = anyhow::Error::new(kube::Error::Api(Box::new(status)));
        assert_eq!(exit::code_of(&error), exit::REFUSED);
        assert_eq!(step(500, "InternalError", "etcd is gone"), None);
    }

    #[test]
    fn an_error_with_its_own_code_needs_no_more() {
        let error = exit::Coded { code: exit::NOT_FOUND, message: "no such".to_owned() };
        assert_eq!(next_step(&error.into()), None);
    }
}
