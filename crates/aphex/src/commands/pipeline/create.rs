//! `aphex pipeline create`: makes the object, waits for it, and says what is left to do on GitHub.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use aphex_api::pipeline::Pipeline;
use kube::api::{DynamicObject, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::SHOWN;
use super::questions::{self, Wanted};
use crate::cli::{CreatePipeline, Global};
use crate::commands::apply::{self, Applied};
use crate::commands::look::{self, text};
use crate::output::{self, note, say};
use crate::rights::{self, Wish};
use crate::{connect, exit};

pub(super) async fn run(global: &Global, arguments: CreatePipeline) -> anyhow::Result<()> {
    let client = connect::client(global).await?;
    let object = match &arguments.file {
        Some(file) => from_file(file, arguments.namespace.as_deref(), &client)?,
        None => from_wanted(questions::answered(&client, &arguments).await?)?,
    };
    let (namespace, name) = (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
    check_namespace(&namespace)?;
    let resource = ApiResource::erase::<Pipeline>(&());
    rights::ensure(&client, Wish::new("create", &resource, &namespace)).await?;
    let made = create(&client, &resource, &namespace, object).await?;
    let title = output::title(&look::value(made.clone(), &resource)?);
    let Some(seconds) = arguments.wait else {
        return shown(global, made, &resource, || {
            say(&format!("{title} created"));
            note(&format!("`aphex pipeline get {name} -n {namespace} --watch` shows when it is Ready"));
        });
    };
    note(&format!("{title} created; waiting until it is Ready"));
    let api = look::api(&client, &resource, Some(&namespace));
    let made = Applied::new(title, made, api);
    let ready = apply::wait_until_ready(&made, Duration::from_secs(seconds), note).await?;
    let value = serde_json::to_value(&ready)?;
    shown(global, ready, &resource, || say(&instructions(&value)))
}

async fn create(
    client: &Client,
    resource: &ApiResource,
    namespace: &str,
    object: Value,
) -> anyhow::Result<DynamicObject> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
    let name = text(&object, "/metadata/name");
    let object: DynamicObject = serde_json::from_value(object).context("the object cannot be read")?;
    let parameters = PostParams { field_manager: Some(apply::MANAGER.to_owned()), ..PostParams::default() };
    api.create(&parameters, &object)
        .await
        .with_context(|| format!("cannot create pipeline {name:?} in {namespace}"))
}

/// Prints the object for programs, or what `people` prints.
fn shown(
    global: &Global,
    object: DynamicObject,
    resource: &ApiResource,
    people: impl FnOnce(),
) -> anyhow::Result<()> {
    let value = look::value(object, resource)?;
    output::answer(&global.output, &value, &output::title(&value), people)
}

/// The one Pipeline of a file.
fn from_file(file: &Path, namespace: Option<&str>, client: &Client) -> anyhow::Result<Value> {
    let mut objects = apply::read(file)?;
    let kinds = objects.iter().filter(|o| o["kind"] == "Pipeline" && is_ours(o)).count();
    if objects.len() != 1 || kinds != 1 {
        let message = format!(
            "{} must hold one Pipeline of platform.dev/v1alpha1 and nothing else: `aphex apply -f` takes any objects",
            file.display()
        );
        return Err(exit::Coded { code: exit::USAGE, message }.into());
    }
    let mut object = objects.remove(0);
    let own = text(&object, "/metadata/namespace");
    match namespace {
        Some(namespace) if !own.is_empty() && own != namespace => {
            let message =
                format!("the file says namespace {own}, and -n says {namespace}: leave one of them out");
            return Err(exit::Coded { code: exit::USAGE, message }.into());
        }
        Some(namespace) => object["metadata"]["namespace"] = namespace.into(),
        None if own.is_empty() => object["metadata"]["namespace"] = client.default_namespace().into(),
        None => {}
    }
    Ok(object)
}

fn is_ours(object: &Value) -> bool {
    object["apiVersion"].as_str().is_some_and(|version| version.starts_with("platform.dev/"))
}

fn from_wanted(wanted: Wanted) -> anyhow::Result<Value> {
    let pipeline = tekton(&wanted.pipeline)?;
    let (owner, repository) = questions::split(&wanted.repo)
        .map_err(|message| exit::Coded { code: exit::USAGE, message: format!("--repo: {message}") })?;
    let mut spec = json!({
        "organization": wanted.organization,
        "repository": { "org": owner, "name": repository },
        "pipeline": pipeline,
    });
    for (field, value) in
        [("branch", wanted.branch), ("template", wanted.template), ("permissionProfile", wanted.profile)]
    {
        if let Some(value) = value {
            spec[field] = value.into();
        }
    }
    Ok(json!({
        "apiVersion": "platform.dev/v1alpha1",
        "kind": "Pipeline",
        "metadata": { "name": wanted.name, "namespace": wanted.namespace },
        "spec": spec,
    }))
}

/// The Tekton Pipeline of a file; one that has only the spec is taken for it.
fn tekton(file: &Path) -> anyhow::Result<Value> {
    let objects = apply::read(file)?;
    let usage = |message: String| exit::Coded { code: exit::USAGE, message };
    let [object] = objects.as_slice() else {
        let message =
            format!("{} must hold one Tekton Pipeline, and holds {}", file.display(), objects.len());
        return Err(usage(message).into());
    };
    if object.get("spec").is_some()
        && object.get("kind").is_none_or(|kind| kind == "Pipeline")
        && !is_ours(object)
    {
        return Ok(object.clone());
    }
    if object.get("tasks").is_some() && object.get("kind").is_none() {
        return Ok(json!({ "spec": object }));
    }
    let hint = if is_ours(object) { "; give it with -f instead" } else { "" };
    Err(usage(format!("{} is not a Tekton Pipeline: it needs spec.tasks{hint}", file.display())).into())
}

/// Pipelines live in namespaces of teams and users.
fn check_namespace(namespace: &str) -> anyhow::Result<()> {
    if questions::is_developers(namespace) {
        return Ok(());
    }
    let message = format!(
        "{}s live in namespaces user-… and team-…, not in {namespace:?}: choose one with -n; a platform administrator \
         makes one, and labels it aphex.dev/org=<organization>",
        SHOWN.noun
    );
    Err(exit::Coded { code: exit::USAGE, message }.into())
}

/// What is left to do, once the platform has done its part.
fn instructions(object: &Value) -> String {
    let field = |pointer: &str| text(object, pointer);
    let (namespace, name) = (field("/metadata/namespace"), field("/metadata/name"));
    let binding = aphex_api::names::pipeline_binding(&namespace, &name);
    let repository = format!("{}/{}", field("/spec/repository/org"), field("/spec/repository/name"));
    let (url, branch) = (field("/status/webhookURL"), field("/spec/branch"));
    let mut lines = vec![
        format!("{name} is Ready: pushes to {branch} of {repository} start it once GitHub tells of them."),
        format!("Open https://github.com/{repository}/settings/hooks/new and enter:"),
        format!("  Payload URL    {url}"),
        "  Content type   application/json".to_owned(),
        "  Secret         from a member of platform-admins, who reads it with".to_owned(),
        format!("                 aphex repo get {binding} -o jsonpath='{{.status.webhookSecret}}'"),
        "  Events         Just the push event".to_owned(),
    ];
    if is_local(&url) {
        lines.push(format!(
            "GitHub cannot reach this address; `aphex push {binding}` sends a push as GitHub would, for members of \
             platform-admins."
        ));
    }
    lines.join("\n")
}

/// Whether only this machine reaches an address.
fn is_local(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost", "[::1]"].iter().any(|local| host.starts_with(local))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(url: &str) -> Value {
        json!({
            "metadata": { "name": "checkout", "namespace": "team-payments" },
            "spec": { "organization": "acme-corp", "branch": "main", "repository": { "org": "acme", "name": "shop" } },
            "status": { "webhookURL": url },
        })
    }

    #[test]
    fn the_instructions_lead_to_githubs_form_and_to_the_secret() {
        let said = instructions(&ready("https://acme-corp.hooks.example.com"));
        for part in [
            "https://github.com/acme/shop/settings/hooks/new",
            "Payload URL    https://acme-corp.hooks.example.com",
            "aphex repo get team-payments.checkout -o jsonpath='{.status.webhookSecret}'",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains("cannot reach"), "{said}");
    }

    #[test]
    fn an_address_of_this_machine_is_told_of() {
        let said = instructions(&ready("http://127.0.0.1:8080/acme-corp"));
        assert!(said.contains("`aphex push team-payments.checkout`"), "{said}");
    }

    #[test]
    fn a_pipeline_is_read_with_and_without_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pipeline.yaml");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            tekton(&file)
        };
        let spec = json!({ "tasks": [] });
        assert_eq!(read("tasks: []").unwrap()["spec"], spec);
        assert_eq!(
            read("apiVersion: tekton.dev/v1\nkind: Pipeline\nspec: {tasks: []}").unwrap()["spec"],
            spec
        );
        assert!(read("kind: Deployment\nspec: {}").is_err());
        assert!(read("apiVersion: platform.dev/v1alpha1\nkind: Pipeline\nspec: {}").is_err());
        assert!(read("tasks: []\n---\ntasks: []").is_err());
    }
}
