//! `aphex secret set|list|rm`: the keys of Secret `org-secrets` in an organization's namespace.
//!
//! Values go in and never come out: they are read from standard input, a file or a hidden prompt, and nothing prints them.

mod list;

use std::io::{IsTerminal as _, Read as _};

use anyhow::Context as _;
use aphex_api::names::OrgName;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::apply::MANAGER;
use crate::cli::{Global, RemoveSecrets, SecretVerb, SetSecret};
use crate::output::{self, say};
use crate::rights::{self, Wish};
use crate::{ask, connect, exit, nearest};

/// The Secret that an organization's secret store reads.
const NAME: &str = "org-secrets";
/// Annotation, with the key behind it: when the key was set.
const UPDATED: &str = "updated.aphex.io/";
/// Longest name of an annotation behind its prefix (qualifiedNameMaxLength in k8s.io/apimachinery).
const NAME_MAX: usize = 63;
/// Most bytes of a Secret (MaxSecretSize in k8s.io/kubernetes).
const VALUE_MAX: u64 = 1024 * 1024;

pub(crate) async fn run(global: &Global, verb: SecretVerb) -> anyhow::Result<()> {
    match verb {
        SecretVerb::Set(arguments) => set(global, arguments).await,
        SecretVerb::List(arguments) => list::run(global, arguments).await,
        SecretVerb::Rm(arguments) => remove(global, arguments).await,
    }
}

async fn set(global: &Global, arguments: SetSecret) -> anyhow::Result<()> {
    check_key(&arguments.key)?;
    let key = &arguments.key;
    let place = Place::of(global, &arguments.organization).await?;
    place.ensure("patch").await?;
    let value = read_value(&arguments)?;
    if value.is_empty() {
        let message =
            format!("the value of {key} is empty: nothing was set; `aphex secret rm` removes a key");
        return Err(exit::Coded { code: exit::USAGE, message }.into());
    }
    let encoded = STANDARD.encode(&value);
    let written = place.write(&json!({ key: encoded }), &noted(key, Some(Timestamp::now()))).await?;
    let document = list::of_one(&arguments.organization, &place.namespace, &written);
    output::answer(&global.output, &document, key, || {
        say(&format!("{key} set in {}/{NAME}", place.namespace));
    })
}

async fn remove(global: &Global, arguments: RemoveSecrets) -> anyhow::Result<()> {
    let place = Place::of(global, &arguments.organization).await?;
    place.ensure("patch").await?;
    let there: Vec<String> =
        place.read().await?.and_then(|secret| secret.data).unwrap_or_default().into_keys().collect();
    for key in &arguments.keys {
        if !there.contains(key) {
            let hint = match nearest::among(key, there.iter().cloned()) {
                Some(other) => format!("did you mean {other:?}?"),
                None => format!("`aphex secret list {}` shows what is there", arguments.organization),
            };
            let message = format!("no key {key:?} in {}/{NAME}: {hint}", place.namespace);
            return Err(exit::Coded { code: exit::NOT_FOUND, message }.into());
        }
    }
    let keys = arguments.keys.join(", ");
    ask::consent(&format!("Remove {keys} from the secrets of {}?", arguments.organization), arguments.yes)?;
    let (mut data, mut notes) = (json!({}), json!({}));
    for key in &arguments.keys {
        data[key] = Value::Null;
        if let Some((name, _)) = noted(key, None).as_object().and_then(|one| one.iter().next()) {
            notes[name] = Value::Null;
        }
    }
    let written = place.write(&data, &notes).await?;
    let document = list::of_one(&arguments.organization, &place.namespace, &written);
    output::answer(&global.output, &document, &arguments.keys.join("\n"), || {
        say(&format!("{keys} removed from {}/{NAME}", place.namespace));
    })
}

/// An organization's namespace.
struct Place {
    client: Client,
    namespace: String,
    organization: String,
}

impl Place {
    async fn of(global: &Global, organization: &str) -> anyhow::Result<Self> {
        let name: OrgName = organization.parse().map_err(|error| exit::Coded {
            code: exit::USAGE,
            message: format!("{organization:?} is not the name of an organization: {error}"),
        })?;
        let client = connect::client(global).await?;
        Ok(Self { client, namespace: name.namespace(), organization: organization.to_owned() })
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn ensure(&self, verb: &str) -> anyhow::Result<()> {
        let resource = ApiResource::erase::<Secret>(&());
        rights::ensure(&self.client, Wish::new(verb, &resource, &self.namespace).named(NAME)).await
    }

    async fn read(&self) -> anyhow::Result<Option<Secret>> {
        let what = || format!("cannot read Secret {}/{NAME}", self.namespace);
        self.secrets().get_opt(NAME).await.with_context(what)
    }

    /// Changes keys and annotations, and nothing else; makes the Secret where it is missing. Gives it as it is then.
    async fn write(&self, data: &Value, annotations: &Value) -> anyhow::Result<Secret> {
        let what = || format!("cannot write Secret {}/{NAME}", self.namespace);
        let patch = json!({ "metadata": { "annotations": annotations }, "data": data });
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let changed = self.secrets().patch(NAME, &parameters, &Patch::Merge(&patch)).await;
        let Err(kube::Error::Api(status)) = &changed else { return changed.with_context(what) };
        if status.code != 404 {
            return changed.with_context(what);
        }
        let secret = json!({
            "metadata": { "name": NAME, "annotations": annotations }, "type": "Opaque", "data": data,
        });
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match self.secrets().create(&parameters, &serde_json::from_value(secret)?).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Err(exit::Coded {
                code: exit::NOT_FOUND,
                message: format!(
                    "there is no namespace {}: `aphex org get {}` says how the organization is",
                    self.namespace, self.organization
                ),
            }
            .into()),
            made => made.with_context(what),
        }
    }
}

/// The value, from wherever it may come; never from an argument.
fn read_value(arguments: &SetSecret) -> anyhow::Result<Vec<u8>> {
    if let Some(file) = &arguments.from_file {
        let file_is = || format!("cannot read {}", file.display());
        return std::fs::read(file).with_context(file_is);
    }
    if std::io::stdin().is_terminal() {
        return Ok(ask::hidden(&format!("Value of {}", arguments.key))?.into_bytes());
    }
    let mut value = Vec::new();
    // One byte more than fits, so that what is too long is refused by the server and not cut.
    std::io::stdin()
        .lock()
        .take(VALUE_MAX + 1)
        .read_to_end(&mut value)
        .context("cannot read the value from standard input")?;
    if value.ends_with(b"\n") {
        value.pop();
        if value.ends_with(b"\r") {
            value.pop();
        }
    }
    Ok(value)
}

/// Keys are as Kubernetes takes them (IsConfigMapKey in k8s.io/apimachinery).
fn check_key(key: &str) -> anyhow::Result<()> {
    let fits = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if fits && !key.is_empty() && key.len() <= 253 && key != "." && !key.starts_with("..") {
        return Ok(());
    }
    let message = if key.contains('=') {
        "give the key alone; the value comes from standard input, so that nobody sees it among the arguments"
            .to_owned()
    } else {
        format!("{key:?} is no key: letters, digits, '-', '_' and '.' only, such as github-token")
    };
    Err(exit::Coded { code: exit::USAGE, message }.into())
}

/// The annotation that says when a key was set; none for keys that cannot be in an annotation's name.
fn noted(key: &str, time: Option<Timestamp>) -> Value {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    if key.len() > NAME_MAX || !edge(key.bytes().next()) || !edge(key.bytes().last()) {
        return json!({});
    }
    json!({ format!("{UPDATED}{key}"): time.map(|time| time.strftime("%FT%TZ").to_string()) })
}

/// When a key was set: by its annotation, else by the field manager that set it, else when the Secret was made.
fn updated(secret: &Secret, key: &str) -> Option<Timestamp> {
    let metadata = &secret.metadata;
    let said = metadata.annotations.as_ref().and_then(|all| all.get(&format!("{UPDATED}{key}")));
    if let Some(time) = said.and_then(|time| time.parse().ok()) {
        return Some(time);
    }
    let field = format!("f:{key}");
    let managers = metadata.managed_fields.iter().flatten().filter(|entry| {
        entry.fields_v1.as_ref().is_some_and(|fields| fields.0["f:data"].get(&field).is_some())
    });
    let by_manager = managers.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max();
    by_manager.or_else(|| metadata.creation_timestamp.as_ref().map(|time| time.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_its_value_is_refused_without_repeating_the_value() {
        let said = check_key("token=ghp_123").unwrap_err().to_string();
        assert!(said.contains("standard input") && !said.contains("ghp_123"), "{said}");
        assert!(check_key("github-token").is_ok() && check_key("..").is_err() && check_key("").is_err());
    }

    #[test]
    fn the_age_of_a_key_is_the_annotations_then_the_managers_then_the_secrets() {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": { "updated.aphex.io/a": "2026-03-01T00:00:00Z" },
                "managedFields": [
                    { "time": "2026-02-01T00:00:00Z", "fieldsV1": { "f:data": { "f:a": {}, "f:b": {} } } },
                ],
            }
        }))
        .unwrap();
        let month = |key: &str| updated(&secret, key).unwrap().to_string()[5..7].to_owned();
        assert_eq!([month("a"), month("b"), month("c")], ["03", "02", "01"]);
    }

    #[test]
    fn keys_that_no_annotation_can_name_are_not_noted() {
        for key in [".dockerconfigjson", "-x", &"a".repeat(64)] {
            assert_eq!(noted(key, None), json!({}), "{key}");
        }
    }
}
