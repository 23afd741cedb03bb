//! `aphex apply`: server-side apply of files, for people without kubectl at hand.

pub(crate) mod makers;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use aphex_api::conditions::Reason;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind, Status};
use kube::discovery::Scope;
use kube::error::DiscoveryError;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;

use crate::cli::{Apply, Global};
use crate::output::{Table, note, say};
use crate::{connect, exit, output};

/// How long an object waits for its namespace, when no other time was given.
const NAMESPACE_PATIENCE: u64 = 60;

/// The field manager of objects applied with this command.
pub(crate) const MANAGER: &str = "aphex-cli";

pub(crate) async fn run(global: &Global, arguments: Apply) -> anyhow::Result<()> {
    let objects = read_all(&arguments.files)?;
    let client = connect::client(global).await?;
    apply_all(global, &client, &objects, &arguments).await
}

/// The objects of all files; without any it is an error.
pub(crate) fn read_all(files: &[PathBuf]) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for path in files {
        objects.extend(read(path)?);
    }
    anyhow::ensure!(!objects.is_empty(), "the files hold no objects");
    Ok(objects)
}

/// Applies objects in order, then waits where that was asked for; programs get the objects as they are then.
pub(crate) async fn apply_all(
    global: &Global,
    client: &Client,
    objects: &[Value],
    arguments: &Apply,
) -> anyhow::Result<()> {
    let people = global.output.is_for_people();
    let mut applied = apply_each(client, objects, arguments, people).await?;
    if let Some(seconds) = arguments.wait {
        for done in &mut applied {
            settle(done, Duration::from_secs(seconds)).await?;
        }
    }
    if people {
        return Ok(());
    }
    let mut values = Vec::new();
    for mut done in applied {
        done.object.metadata.managed_fields = None;
        values.push(serde_json::to_value(done.object)?);
    }
    output::objects(&global.output, &values, values.len() == 1, Table::default)
}

/// Applies objects in order; those whose namespace another of them makes come after that one is Ready.
async fn apply_each(
    client: &Client,
    objects: &[Value],
    arguments: &Apply,
    people: bool,
) -> anyhow::Result<Vec<Applied>> {
    let patience = Duration::from_secs(arguments.wait.unwrap_or(NAMESPACE_PATIENCE));
    let mut applied: BTreeMap<usize, Applied> = BTreeMap::new();
    let mut waiting: Vec<usize> = (0..objects.len()).collect();
    loop {
        let (before, mut lacking) = (waiting.len(), None);
        for at in std::mem::take(&mut waiting) {
            let Some(object) = objects.get(at) else { continue };
            let mut outcome = apply(client, object, arguments.force_conflicts).await;
            if let Err(error) = &outcome
                && let Some(maker) =
                    makers::missing_namespace(error).and_then(|namespace| makers::maker(objects, namespace))
            {
                let Some(maker) = applied.get_mut(&maker) else {
                    // It comes later in the files, and this object after it.
                    lacking = outcome.err();
                    waiting.push(at);
                    continue;
                };
                await_namespace(object, maker, patience).await?;
                outcome = apply(client, object, arguments.force_conflicts).await;
            }
            let done = outcome?;
            if people {
                say(&format!("{} serverside-applied", done.title));
            }
            applied.insert(at, done);
        }
        match lacking {
            None => return Ok(applied.into_values().collect()),
            Some(error) if waiting.len() == before => return Err(error),
            Some(_) => {}
        }
    }
}

/// Waits for the object that makes another's namespace.
async fn await_namespace(object: &Value, maker: &mut Applied, patience: Duration) -> anyhow::Result<()> {
    let what = output::title(object);
    if !maker.is_settled && becomes_ready(&maker.object) {
        note(&format!("{what} waits for its namespace, which {} makes", maker.title));
    }
    let settled = settle(maker, patience).await;
    settled.with_context(|| format!("cannot apply {what}: {} makes its namespace", maker.title))
}

/// Waits until an object is Ready, if its kind comes to be that, and once only.
async fn settle(done: &mut Applied, limit: Duration) -> anyhow::Result<()> {
    if done.is_settled || !becomes_ready(&done.object) {
        return Ok(());
    }
    let types = done.object.types.clone();
    done.object = wait_until_ready(done, limit, note).await?;
    done.object.types = done.object.types.take().or(types);
    done.is_settled = true;
    Ok(())
}

/// An object that was applied and where it is.
pub(crate) struct Applied {
    pub(crate) title: String,
    pub(crate) object: DynamicObject,
    pub(crate) api: Api<DynamicObject>,
    /// Whether it was waited for already.
    is_settled: bool,
}

impl Applied {
    pub(crate) fn new(title: String, object: DynamicObject, api: Api<DynamicObject>) -> Self {
        Self { title, object, api, is_settled: false }
    }
}

/// Applies one object.
pub(crate) async fn apply(client: &Client, object: &Value, force: bool) -> anyhow::Result<Applied> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    anyhow::ensure!(
        !api_version.is_empty() && !kind.is_empty() && !name.is_empty(),
        "an object needs apiVersion, kind and metadata.name; found {api_version:?}, {kind:?}, {name:?}"
    );
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let wanted = GroupVersionKind::gvk(group, version, &kind);
    let (resource, capabilities) = kube::discovery::pinned_kind(client, &wanted)
        .await
        .map_err(|error| unknown_kind(error, &kind, &api_version))?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => match text("/metadata/namespace") {
            none if none.is_empty() => Api::default_namespaced_with(client.clone(), &resource),
            namespace => Api::namespaced_with(client.clone(), &namespace, &resource),
        },
    };
    let parameters = PatchParams { force, ..PatchParams::apply(MANAGER).validation_strict() };
    let title = title(&resource, &name);
    let object = api
        .patch(&name, &parameters, &Patch::Apply(object))
        .await
        .with_context(|| format!("cannot apply {title}"))?;
    Ok(Applied::new(title, object, api))
}

/// Why a kind was not found: the server does not have it, or did not say.
fn unknown_kind(error: kube::Error, kind: &str, api_version: &str) -> anyhow::Error {
    let none = match &error {
        kube::Error::Api(status) => status.code == 404,
        kube::Error::Discovery(DiscoveryError::MissingKind(_)) => true,
        _ => false,
    };
    if !none {
        return anyhow::Error::new(error).context("cannot ask which kinds the server has");
    }
    // The library tells a kind that a version lacks otherwise than a version that there is not; it is one thing to people.
    let message = "the server could not find the requested resource".to_owned();
    let status = Status { code: 404, reason: "NotFound".to_owned(), message, ..Status::default() };
    let error = anyhow::Error::new(kube::Error::Api(Box::new(status)));
    error.context(format!("the server has no kind {kind} in {api_version}"))
}

pub(crate) fn title(resource: &ApiResource, name: &str) -> String {
    let kind = resource.kind.to_lowercase();
    match resource.group.as_str() {
        "" => format!("{kind}/{name}"),
        group => format!("{kind}.{group}/{name}"),
    }
}

/// Whether an object comes to carry the condition Ready.
///
/// Of Kubernetes' own kinds, whose groups have no dot or end in `k8s.io`, only pods do among those that people apply. Tekton
/// says `Succeeded` of runs and nothing of what runs are made from; Argo CD has no such condition, and Deliveries end in a
/// verdict.
fn becomes_ready(object: &DynamicObject) -> bool {
    const OTHERWISE: [&str; 3] = ["tekton.dev", "triggers.tekton.dev", "argoproj.io"];
    let Some(types) = &object.types else { return false };
    let group = types.api_version.split_once('/').map_or("", |(group, _)| group);
    if (group, types.kind.as_str()) == ("aphex.io", "Delivery") || OTHERWISE.contains(&group) {
        return false;
    }
    types.kind == "Pod" || (group.contains('.') && !group.ends_with(".k8s.io"))
}

/// Waits for the condition Ready of an object, when its kind has conditions; reports each change of message.
///
/// Ends early where waiting cannot help: the object itself has to be changed first.
pub(crate) async fn wait_until_ready(
    applied: &Applied,
    limit: Duration,
    progress: impl Fn(&str),
) -> anyhow::Result<DynamicObject> {
    let name = applied.object.name_any();
    let last = std::sync::Mutex::new(String::new());
    let ready = |object: Option<&DynamicObject>| {
        let Some(status) = object.and_then(|object| object.data.get("status")) else { return false };
        let message = status["message"].as_str().unwrap_or_default().to_owned();
        if let Ok(mut last) = last.lock()
            && !message.is_empty()
            && *last != message
        {
            progress(&output::value(&format!(
                "  {}: {} - {message}",
                applied.title,
                status["phase"].as_str().unwrap_or_default()
            )));
            *last = message;
        }
        let current = object.and_then(|o| o.metadata.generation) == status["observedGeneration"].as_i64();
        current && (is_ready(status) || verdict(status).is_some())
    };
    let waited = tokio::time::timeout(limit, await_condition(applied.api.clone(), &name, ready)).await;
    let Ok(found) = waited else {
        let said = last.lock().map(|last| last.clone()).unwrap_or_default();
        let seconds = limit.as_secs();
        let message = format!("{} is not Ready after {seconds} s; its status says: {said:?}", applied.title);
        return Err(exit::Coded { code: exit::TIMED_OUT, message }.into());
    };
    let found = found
        .with_context(|| format!("cannot watch {}", applied.title))?
        .with_context(|| format!("{} was deleted while waiting for it", applied.title))?;
    let status = &found.data["status"];
    if let Some(step) = verdict(status).filter(|_| !is_ready(status)) {
        let said = status["message"].as_str().unwrap_or_default();
        let message = format!("{} will not become Ready: {said}; {step}", applied.title);
        return Err(exit::Coded { code: exit::REFUSED, message }.into());
    }
    Ok(found)
}

fn is_ready(status: &Value) -> bool {
    conditions(status).any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// What has to be done first, when the condition Ready has a reason that only its user can change.
fn verdict(status: &Value) -> Option<&'static str> {
    let ready = conditions(status).find(|c| c["type"] == "Ready")?;
    let last = [Reason::InvalidSpec, Reason::NotAllowed].into_iter();
    last.filter(|reason| ready["reason"] == reason.as_str()).find_map(Reason::advice)
}

fn conditions(status: &Value) -> impl Iterator<Item = &Value> {
    status["conditions"].as_array().into_iter().flatten()
}

/// The objects in a file, in a folder's files, or on standard input.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Value>> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return parse(&text).context("standard input");
    }
    if path.is_dir() {
        let mut files: Vec<PathBuf> = std::fs::read_dir(path)
            .with_context(|| format!("cannot list {}", path.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|file| file.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json"))
            .collect();
        files.sort();
        let mut objects = Vec::new();
        for file in files {
            objects.extend(read(&file)?);
        }
        return Ok(objects);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

/// All documents of a YAML or JSON text; lists are taken apart.
pub(crate) fn parse(text: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
    let mut objects = Vec::new();
    for mut document in documents {
        if let Some(items) = document.get_mut("items").and_then(Value::as_array_mut) {
            objects.append(items);
        } else if !document.is_null() {
            objects.push(document);
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_lists_become_objects() {
        let text = "kind: A\n---\n---\nkind: List\nitems:\n- kind: B\n- kind: C\n";
        let kinds: Vec<String> =
            parse(text).unwrap().iter().map(|o| o["kind"].as_str().unwrap().to_owned()).collect();
        assert_eq!(kinds, ["A", "B", "C"]);
    }

    #[test]
    fn only_what_becomes_ready_is_waited_for() {
        let becomes = |api_version: &str, kind: &str| {
            let object = serde_json::json!({ "apiVersion": api_version, "kind": kind, "metadata": {} });
            becomes_ready(&serde_json::from_value(object).unwrap())
        };
        for (api_version, kind) in
            [("platform.dev/v1alpha1", "Pipeline"), ("aphex.io/v1alpha1", "Organization"), ("v1", "Pod")]
        {
            assert!(becomes(api_version, kind), "{kind}");
        }
        for (api_version, kind) in
            [("v1", "Namespace"), ("apps/v1", "Deployment"), ("rbac.authorization.k8s.io/v1", "Role")]
        {
            assert!(!becomes(api_version, kind), "{kind}");
        }
        // Waiting for these would never end, whatever stands beside them.
        for (api_version, kind) in [
            ("tekton.dev/v1", "Pipeline"),
            ("triggers.tekton.dev/v1beta1", "TriggerTemplate"),
            ("argoproj.io/v1alpha1", "AppProject"),
            ("aphex.io/v1alpha1", "Delivery"),
        ] {
            assert!(!becomes(api_version, kind), "{kind}");
        }
    }

    #[test]
    fn a_kind_that_there_is_not_is_told_from_a_server_that_is_not_there() {
        let missing = || DiscoveryError::MissingKind("GroupVersionKind { .. }".to_owned());
        let error = unknown_kind(kube::Error::Discovery(missing()), "Foo", "aphex.io/v1alpha1");
        let told = aphex_runtime::errors::chain(error.as_ref());
        assert!(told.starts_with("the server has no kind Foo in aphex.io/v1alpha1: "), "{told}");
        assert!(!told.contains("GroupVersionKind"), "{told}");
        assert_eq!(exit::code_of(&error), exit::NOT_FOUND);
        assert!(crate::advice::next_step(&error).unwrap().contains("aphex doctor"));
        let away = kube::Error::Service("Connection refused".into());
        let error = unknown_kind(away, "Foo", "aphex.io/v1alpha1");
        assert_eq!(error.to_string(), "cannot ask which kinds the server has");
        assert_eq!(exit::code_of(&error), exit::UNREACHABLE);
    }

    #[test]
    fn broken_yaml_is_an_error() {
        assert!(parse("a: [1,").is_err());
    }
}
