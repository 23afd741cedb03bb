//! `addChangedFiles`: the files of a push from its payload, those of a pull request from GitHub's API.
//!
//! After `parseBodyForChangedFiles` and `getChangedFilesFromPr` of Tekton Triggers v0.34.

use aphex_api::delivery::SecretKeyRef;
use serde_json::Value;

use super::api::{Api, segment};
use super::{Asked, Reply};
use crate::event::Event;
use crate::interceptors::Context;

/// The names, joined by commas.
pub(super) fn changed(
    kind: &str,
    context: &Context<'_>,
    event: &Event,
    token: Option<SecretKeyRef>,
) -> Asked<String> {
    let broken = |message: String| Reply::Fail(format!("error parsing body: {message}"));
    let repository = repository(&event.body).map_err(broken)?;
    if kind == "push" {
        return pushed(&event.body).map_err(broken);
    }
    let number = number(&event.body["number"])
        .ok_or_else(|| broken("pull_request body missing 'number' field".to_owned()))?;
    let api = Api::of(context, event, token)?;
    let (owner, name) = repository;
    let path = format!("/repos/{}/{}/pulls/{number}/files", segment(owner), segment(name));
    let files = api.list(&path)?.ok_or_else(|| {
        Reply::Fail(format!(
            "error getting changed files: GitHub knows no {path}, or the token may not see it"
        ))
    })?;
    let names: Vec<&str> = files.iter().filter_map(|file| file["filename"].as_str()).collect();
    Ok(names.join(","))
}

/// Owner and name of the payload's repository.
pub(super) fn repository(body: &Value) -> Result<(&str, &str), String> {
    if !body["repository"].is_object() {
        return Err("payload body missing 'repository' field".to_owned());
    }
    let name = body["repository"]["full_name"].as_str();
    let name = name.ok_or("payload body missing 'repository.full_name' field")?;
    name.split_once('/').ok_or_else(|| format!("'repository.full_name' {name} has no owner"))
}

pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_u64()
}

fn pushed(body: &Value) -> Result<String, String> {
    let mut files = Vec::new();
    for commit in body["commits"].as_array().into_iter().flatten() {
        for field in ["added", "modified", "removed"] {
            let names = commit[field].as_array();
            let names = names.ok_or_else(|| format!("payload body missing 'commits.*.{field}' field"))?;
            files.extend(names.iter().filter_map(Value::as_str));
        }
    }
    Ok(files.join(","))
}
