//! What a new pipeline needs to be known: from flags, from the namespace, and, on a terminal, by asking.

use std::path::PathBuf;

use aphex_api::labels;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};

use crate::cli::CreatePipeline;
use crate::{ask, exit};

/// Everything that flags can say, complete.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) organization: String,
    pub(super) repo: String,
    pub(super) pipeline: PathBuf,
    pub(super) branch: Option<String>,
    pub(super) template: Option<String>,
    pub(super) profile: Option<String>,
}

/// The flags, completed; an error that names all that is missing where nobody can be asked.
pub(super) async fn answered(client: &Client, flags: &CreatePipeline) -> anyhow::Result<Wanted> {
    let asks = ask::is_possible() && is_incomplete(flags);
    let namespace = flags
        .namespace
        .clone()
        .or_else(|| Some(client.default_namespace().to_owned()).filter(|name| is_developers(name)));
    let namespace = match namespace {
        None if asks => Some(ask::text("Namespace (team-… or user-…)", None, |text| {
            is_developers(text).then_some(()).ok_or_else(|| "it begins with team- or user-".to_owned())
        })?),
        known => known,
    };
    let labelled = match (&flags.organization, &namespace) {
        (None, Some(namespace)) => organization_of(client, namespace).await,
        _ => None,
    };
    let mut organization = flags.organization.clone().or(labelled);
    let (mut name, mut repo, mut pipeline, mut branch) =
        (flags.name.clone(), flags.repo.clone(), flags.pipeline.clone(), flags.branch.clone());
    if asks {
        name = Some(given_or(name, || ask::text("Name", None, not_empty))?);
        organization = Some(given_or(organization, || ask::text("Organization", None, not_empty))?);
        let check = |text: &str| split(text).map(drop);
        repo = Some(given_or(repo, || ask::text("GitHub repository (OWNER/NAME)", None, check))?);
        branch = Some(given_or(branch, || ask::text("Branch", Some("main".to_owned()), not_empty))?);
        let readable = |text: &str| std::fs::metadata(text).map(drop).map_err(|error| error.to_string());
        let asked = || ask::text("File with the Tekton Pipeline", None, readable).map(PathBuf::from);
        pipeline = Some(given_or(pipeline, asked)?);
    }
    let missing: Vec<&str> = [
        ("NAME", name.is_none()),
        ("--namespace (team-… or user-…)", namespace.is_none()),
        ("--org", organization.is_none()),
        ("--repo", repo.is_none()),
        ("--pipeline", pipeline.is_none()),
    ]
    .into_iter()
    .filter_map(|(flag, missing)| missing.then_some(flag))
    .collect();
    let (Some(name), Some(namespace), Some(organization), Some(repo), Some(pipeline)) =
        (name, namespace, organization, repo, pipeline)
    else {
        let message = format!(
            "missing: {}. Give them, give a file with -f, or run this on a terminal to be asked",
            missing.join(", ")
        );
        return Err(exit::Coded { code: exit::USAGE, message }.into());
    };
    let profile = flags.profile.map(|profile| profile.as_str().to_owned());
    let template = flags.template.clone();
    Ok(Wanted { name, namespace, organization, repo, pipeline, branch, template, profile })
}

fn is_incomplete(flags: &CreatePipeline) -> bool {
    flags.name.is_none() || flags.repo.is_none() || flags.pipeline.is_none()
}

fn given_or<T>(given: Option<T>, ask: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    match given {
        Some(given) => Ok(given),
        None => ask(),
    }
}

fn not_empty(text: &str) -> Result<(), String> {
    if text.is_empty() { Err("it must not be empty".to_owned()) } else { Ok(()) }
}

/// Owner and name of a repository.
pub(super) fn split(text: &str) -> Result<(&str, &str), String> {
    match text.split_once('/') {
        Some((owner, name)) if !owner.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((owner, name))
        }
        _ => Err(format!("{text:?} is not OWNER/NAME, such as acme/shop")),
    }
}

/// Whether a namespace is a team's or a user's.
pub(super) fn is_developers(namespace: &str) -> bool {
    ["team-", "user-"].iter().any(|prefix| namespace.len() > prefix.len() && namespace.starts_with(prefix))
}

/// The organization that a namespace is labelled with, where the caller may see it.
async fn organization_of(client: &Client, namespace: &str) -> Option<String> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let found = namespaces.get_opt(namespace).await.ok()??;
    found.metadata.labels?.remove(labels::SECRET_STORE_ORGANIZATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_have_an_owner_and_a_name() {
        assert_eq!(split("acme/shop"), Ok(("acme", "shop")));
        for wrong in ["shop", "/shop", "acme/", "a/b/c", "https://github.com/acme/shop"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn namespaces_of_teams_and_users_are_told_by_their_names() {
        assert!(is_developers("team-payments") && is_developers("user-ann"));
        assert!(!is_developers("default") && !is_developers("team-") && !is_developers("platform-system"));
    }
}
