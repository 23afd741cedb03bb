//! What the API server itself refuses, by our definitions.

use anyhow::Context as _;
use aphex_api::organization::Organization;
use aphex_api::repo_binding::RepoBinding;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::engine::{Engine, PLATFORM, binding_spec};

fn without(spec: &Value, field: &str) -> Value {
    let mut spec = spec.clone();
    spec.as_object_mut().unwrap().remove(field);
    spec
}

fn with(spec: &Value, field: &str, value: Value) -> Value {
    let mut spec = spec.clone();
    spec[field] = value;
    spec
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binding_has_one_shape_and_names_that_fit() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let whole = binding_spec("shape", "acme");
    let tenant = json!({ "repoOrg": "acme", "repoName": "app", "tenantName": "app" });
    for (spec, expected) in [
        (
            without(&whole, "pipelineSpec"),
            "pipelineName, templateRef and pipelineSpec are required with aphexOrg",
        ),
        (
            without(&whole, "templateRef"),
            "pipelineName, templateRef and pipelineSpec are required with aphexOrg",
        ),
        (without(&whole, "aphexOrg"), "set either aphexOrg"),
        (with(&whole, "tenantName", json!("x")), "set either aphexOrg"),
        (with(&tenant, "pipelineName", json!("x")), "go with aphexOrg, not with tenantName"),
        (with(&whole, "ingressHost", json!("a.example")), "ingressHost goes with tenantName"),
        (with(&whole, "pipelineName", json!("My_App")), "should match"),
        (with(&whole, "pipelineName", json!("p".repeat(56))), "may not be more than 55"),
        (with(&whole, "aphexOrg", json!("o".repeat(60))), "may not be more than 59"),
        (with(&whole, "repoOrg", json!("a/b")), "should match"),
        (with(&whole, "permissionProfile", json!("root")), "supported values: \"standard\", \"elevated\""),
    ] {
        let refused = engine.create_raw("RepoBinding", "shape", &spec).await;
        let message = refused.expect_err(expected);
        assert!(message.contains(expected), "{expected}: {message}");
    }
    assert!(engine.create_raw("RepoBinding", "tenant", &tenant).await.is_ok());
    let long = "b".repeat(64);
    let message = engine.create_raw("RepoBinding", &long, &whole).await.expect_err("a long name");
    assert!(message.contains("at most 63 characters"), "{message}");
    engine.delete_raw("RepoBinding", "tenant").await
}

/// What `kubectl get rb NAME` shows below the column PIPELINE.
async fn pipeline_cell(engine: &Engine, name: &str) -> anyhow::Result<Value> {
    let request =
        http::Request::get(format!("/apis/aphex.io/v1alpha1/namespaces/{PLATFORM}/repobindings/{name}"))
            .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
            .body(Vec::new())?;
    let table: Value = engine.client.request(request).await?;
    let columns = table["columnDefinitions"].as_array().context("no columns")?;
    let column = columns.iter().position(|column| column["name"] == "Pipeline").context("no PIPELINE")?;
    Ok(table["rows"][0]["cells"][column].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_column_of_the_pipeline_is_filled_whatever_the_shape() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let tenant = json!({ "repoOrg": "acme", "repoName": "app", "tenantName": "lonely" });
    for (name, spec, expected) in
        [("in-column", binding_spec("web", "acme"), "web"), ("lonely-column", tenant, "lonely")]
    {
        engine.create_raw("RepoBinding", name, &spec).await.map_err(anyhow::Error::msg)?;
        assert_eq!(pipeline_cell(&engine, name).await?, expected);
        engine.delete_raw("RepoBinding", name).await?;
    }
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_immutable_cannot_change() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let whole = binding_spec("fixed", "acme");
    engine.create_raw("RepoBinding", "fixed", &whole).await.map_err(anyhow::Error::msg)?;
    for (patch, expected) in [
        (json!({ "aphexOrg": "other" }), "aphexOrg is immutable"),
        (json!({ "pipelineName": "other" }), "pipelineName is immutable"),
    ] {
        let patch = Patch::Merge(json!({ "spec": patch }));
        let refused =
            engine.api::<RepoBinding>(PLATFORM).patch("fixed", &PatchParams::default(), &patch).await;
        let message = refused.expect_err(expected).to_string();
        assert!(message.contains(expected), "{message}");
    }
    let patch = Patch::Merge(json!({ "spec": { "repoName": "renamed" } }));
    engine.api::<RepoBinding>(PLATFORM).patch("fixed", &PatchParams::default(), &patch).await?;
    engine.delete_raw("RepoBinding", "fixed").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_has_a_name_administrators_and_a_strong_secret() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let whole = json!({ "displayName": "x", "adminUsers": ["ann@acme.com"], "webhookSecret": "" });
    for (name, spec, expected) in [
        ("acme", with(&whole, "adminUsers", json!([])), "should have at least 1 items"),
        ("acme", with(&whole, "adminUsers", json!(["ann"])), "should match"),
        (
            "acme",
            with(&whole, "adminUsers", json!(["ann@acme.com", "Ann@acme.com"])),
            "must not name anyone twice",
        ),
        ("acme", with(&whole, "displayName", json!("")), "should be at least 1 chars long"),
        ("acme", with(&whole, "webhookSecret", json!("short")), "at least 16 characters"),
        ("a.b", whole.clone(), "the namespace is org-<name>"),
        (&"n".repeat(60), whole.clone(), "the namespace is org-<name>"),
    ] {
        let message = engine.create_raw("Organization", name, &spec).await.expect_err(expected);
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let name = "n".repeat(59);
    engine.create_raw("Organization", &name, &whole).await.map_err(anyhow::Error::msg)?;
    assert!(engine.api::<Organization>(PLATFORM).get_opt(&name).await?.is_some());
    engine.delete_raw("Organization", &name).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_options_of_a_binding_have_their_bounds() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let whole = binding_spec("options", "acme");
    for (field, value, expected) in [
        ("events", json!([]), "should have at least 1 items"),
        ("events", json!(["issues"]), "supported values: \"push\", \"pull_request\""),
        ("events", json!(["push", "push"]), "events must not name one twice"),
        ("branches", json!(["!main"]), "should match"),
        ("branches", json!([""]), "should be at least 1 chars long"),
        ("paths", json!(vec!["x"; 33]), "must have at most 32 items"),
        ("pathsIgnore", json!(["a\nb"]), "should match"),
        ("branches", json!(["main", "[ab"]), "each glob closes its [ with ]"),
        ("branches", json!(["refs/heads/main"]), "not refs/heads/main"),
        ("paths", json!(["src/**", "[a/b]"]), "has no / between them"),
        ("paths", json!(["/src/**"]), "neither begin nor end with /"),
        ("pathsIgnore", json!(["docs/"]), "docs/** is all in folder docs"),
        ("pathsIgnore", json!(["docs\\"]), "ends with no \\"),
        (
            "concurrency",
            json!({ "policy": "Drop" }),
            "supported values: \"Allow\", \"Queue\", \"CancelSuperseded\"",
        ),
        ("concurrency", json!({ "policy": "Allow", "max": 2 }), "max goes with policy Queue"),
        ("concurrency", json!({ "policy": "Queue", "max": 0 }), "should be greater than or equal to 1"),
        ("retention", json!({ "keepFailed": -1 }), "should be greater than or equal to 0"),
        ("allowForks", json!(true), "allowForks goes with the event pull_request"),
    ] {
        let refused = engine.create_raw("RepoBinding", "options", &with(&whole, field, value)).await;
        let message = refused.expect_err(expected);
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let mut spec = whole.clone();
    for (field, value) in [
        ("events", json!(["pull_request"])),
        ("branches", json!(["main", "release/**"])),
        ("concurrency", json!({ "policy": "Queue" })),
        ("retention", json!({ "keepFailed": 0 })),
        ("allowForks", json!(true)),
    ] {
        spec[field] = value;
    }
    let made = engine.create_raw("RepoBinding", "options", &spec).await.map_err(anyhow::Error::msg)?;
    assert_eq!(made.data["spec"]["retention"]["keepSucceeded"], 10);
    engine.delete_raw("RepoBinding", "options").await?;
    // What nobody wrote is not there.
    let made = engine.create_raw("RepoBinding", "bare", &whole).await.map_err(anyhow::Error::msg)?;
    for field in ["events", "branches", "paths", "pathsIgnore", "concurrency", "retention", "allowForks"] {
        assert!(made.data["spec"].get(field).is_none(), "{field}");
    }
    engine.delete_raw("RepoBinding", "bare").await
}
