//! What the git servers say about the repositories of a KnowledgeBase.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use aphex_api::knowledge_base::KnowledgeBase;
use aphex_git::{Credentials, Remote};
use futures::{StreamExt as _, stream};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};

use super::tracker::{Answer, Key, Question};
use super::validate::{self, Planned};
use crate::apply::Inventory;
use crate::context::Context;
use crate::outcome::StepError;

/// Questions of one object that wait for their turn at once.
const PARALLEL: usize = 64;
/// The types of Secrets that are for this; others are not for handing out to servers.
const BASIC_AUTH: &str = "kubernetes.io/basic-auth";
const SSH_AUTH: &str = "kubernetes.io/ssh-auth";

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// For each repository of the spec the commit, or why it is not known; empty when the spec cannot be carried out.
    pub repositories: Vec<Result<String, String>>,
    /// When one of them is to be looked at again.
    pub again: Duration,
    /// Nothing: a KnowledgeBase owns no objects.
    pub inventory: Inventory,
}

pub(super) async fn observe(context: &Context, object: &KnowledgeBase) -> Result<Observed, StepError> {
    let settings = &context.settings.git;
    let mut observed = Observed { again: settings.interval, ..Observed::default() };
    let Ok(valid) = validate::validate(object, &settings.policy) else { return Ok(observed) };
    let namespace = object.namespace().unwrap_or_default();
    let names: BTreeSet<&String> = valid.0.iter().filter_map(|planned| planned.secret.as_ref()).collect();
    let mut secrets = BTreeMap::new();
    for name in names {
        secrets.insert(name.clone(), secret(context, &namespace, name).await?);
    }
    // One question for all branches of a repository.
    let mut wanted: BTreeMap<Asked, BTreeSet<String>> = BTreeMap::new();
    for planned in &valid.0 {
        wanted.entry(asked(planned)).or_default().insert(planned.branch.to_string());
    }
    let questions: Vec<_> = wanted
        .into_iter()
        .map(|(asked, branches)| {
            let secret = asked.1.as_ref().and_then(|name| secrets.get_key_value(name));
            let (branches, namespace) = (branches.into_iter().collect(), namespace.clone());
            async move { (asked.clone(), ask(context, asked.0, namespace, secret, branches).await) }
        })
        .collect();
    let answers: HashMap<Asked, Answer> = stream::iter(questions).buffer_unordered(PARALLEL).collect().await;
    // However long a repository is left alone: a Secret that was mended is a new question.
    let soonest = answers.values().map(|answer| answer.again).min();
    observed.again = soonest.map_or(settings.interval, |soonest| soonest.min(settings.interval));
    observed.repositories = valid
        .0
        .iter()
        .map(|planned| match answers.get(&asked(planned)).map(|answer| &answer.commits) {
            Some(Ok(commits)) => {
                let missing = || format!("branch {} does not exist", planned.branch);
                commits.get(planned.branch.as_str()).cloned().ok_or_else(missing)
            }
            Some(Err(error)) => Err(error.clone()),
            None => Err("not asked yet".to_owned()),
        })
        .collect();
    Ok(observed)
}

/// A repository and the Secret by which it is read.
type Asked = (Remote, Option<String>);
/// The version of a Secret and what it holds, or why it cannot be used.
type Held = Result<(String, Credentials), String>;

fn asked(planned: &Planned) -> Asked {
    (planned.remote.clone(), planned.secret.clone())
}

async fn ask(
    context: &Context,
    remote: Remote,
    namespace: String,
    secret: Option<(&String, &Held)>,
    branches: Vec<String>,
) -> Answer {
    let (account, credentials) = match secret {
        None => (None, None),
        Some((name, Ok((_, Credentials::Key { .. })))) if !matches!(remote, Remote::Ssh(_)) => {
            let error = format!("Secret {namespace}/{name} is for SSH: use one of type {BASIC_AUTH}");
            return Answer { commits: Err(error), again: context.settings.git.interval };
        }
        Some((name, Ok((version, credentials)))) => {
            (Some([namespace, name.clone(), version.clone()]), Some(credentials))
        }
        Some((_, Err(error))) => {
            return Answer { commits: Err(error.clone()), again: context.settings.git.interval };
        }
    };
    context.tracker.ask(&Question { key: Key { remote, account }, credentials, branches }).await
}

async fn secret(context: &Context, namespace: &str, name: &str) -> Result<Held, StepError> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let found = api.get_opt(name).await;
    let what = || format!("Secret {namespace}/{name}");
    let Some(secret) = found.map_err(|source| StepError::read(what(), source))? else {
        return Ok(Err(format!("{} does not exist", what())));
    };
    let text = |key: &str| {
        let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
        String::from_utf8(bytes.clone()).ok().filter(|text| !text.is_empty())
    };
    let lacks = |key: &str| Err(format!("{} has no {key}", what()));
    let credentials = match secret.type_.as_deref() {
        Some(BASIC_AUTH) => {
            let Some(password) = text("password") else { return Ok(lacks("password")) };
            // For a token any user name will do.
            Credentials::Basic { username: text("username").unwrap_or_else(|| "git".to_owned()), password }
        }
        Some(SSH_AUTH) => {
            let Some(private_key) = text("ssh-privatekey") else { return Ok(lacks("ssh-privatekey")) };
            let Some(known_hosts) = text("known_hosts") else { return Ok(lacks("known_hosts")) };
            Credentials::Key { private_key, known_hosts }
        }
        _ => return Ok(Err(format!("{} must be of type {BASIC_AUTH} or {SSH_AUTH}", what()))),
    };
    Ok(Ok((secret.resource_version().unwrap_or_default(), credentials)))
}
