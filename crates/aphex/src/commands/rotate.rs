//! `aphex repo|org rotate-secret`: asks for a new webhook secret, and waits until it is in force.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::Context as _;
use aphex_api::conditions::Reason;
use aphex_api::labels;
use aphex_api::names::OrgName;
use aphex_api::organization::Organization;
use aphex_api::repo_binding::RepoBinding;
use aphex_api::webhook_secret::SecretRotation;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::look;
use crate::cli::{Global, RotateSecret};
use crate::output::{self, note, say};
use crate::{connect, exit};

/// How long the controllers may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Where organizations and bindings are.
const PLATFORM: &str = "platform-system";

/// As much of a status as matters here.
pub(crate) struct Told<'a> {
    phase: String,
    message: &'a str,
    rotation: Option<&'a SecretRotation>,
}

/// An object that has a webhook secret.
pub(crate) trait Rotated:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + 'static
{
    /// What users call it.
    const NOUN: &'static str;

    /// Why its secret is not the platform's to replace.
    fn own_secret(&self) -> Option<&'static str>;

    /// What its status says.
    fn told(&self) -> Option<Told<'_>>;

    /// The request that was carried out last.
    fn rotation(&self) -> Option<&SecretRotation> {
        self.told()?.rotation
    }

    /// Phase and message of its status.
    fn standing(&self) -> String {
        match self.told() {
            Some(told) => format!("{}: {}", told.phase, told.message),
            None => "Pending: no controller has looked at it yet".to_owned(),
        }
    }

    /// The command that prints the secret.
    fn how_to_read(name: &str) -> String;

    /// The secret in force.
    fn secret(&self, client: &Client) -> impl Future<Output = anyhow::Result<Option<String>>> + Send;
}

impl Rotated for RepoBinding {
    const NOUN: &'static str = "binding";

    fn own_secret(&self) -> Option<&'static str> {
        None
    }

    fn told(&self) -> Option<Told<'_>> {
        let status = self.status.as_ref()?;
        let rotation = status.webhook_secret_rotation.as_ref();
        Some(Told { phase: format!("{:?}", status.phase), message: &status.message, rotation })
    }

    fn how_to_read(name: &str) -> String {
        format!("kubectl -n {PLATFORM} get repobinding {name} -o jsonpath='{{.status.webhookSecret}}'")
    }

    async fn secret(&self, _: &Client) -> anyhow::Result<Option<String>> {
        Ok(self.status.as_ref().and_then(|status| status.webhook_secret.clone()))
    }
}

impl Rotated for Organization {
    const NOUN: &'static str = "organization";

    fn own_secret(&self) -> Option<&'static str> {
        let chosen = self.spec.webhook_secret.as_deref().is_some_and(|secret| !secret.is_empty());
        chosen.then_some("its spec.webhookSecret was chosen by hand: change it there")
    }

    fn told(&self) -> Option<Told<'_>> {
        let status = self.status.as_ref()?;
        let rotation = status.webhook_secret_rotation.as_ref();
        Some(Told { phase: format!("{:?}", status.phase), message: &status.message, rotation })
    }

    fn how_to_read(name: &str) -> String {
        format!(
            "kubectl -n org-{name} get secret {SECRET} -o jsonpath='{{.data.{KEY}}}' | base64 -d",
            SECRET = aphex_controllers::organization::WEBHOOK_SECRET,
            KEY = aphex_controllers::webhook_secret::KEY,
        )
    }

    async fn secret(&self, client: &Client) -> anyhow::Result<Option<String>> {
        let name: OrgName = self.metadata.name.as_deref().unwrap_or_default().parse()?;
        let name_of_secret = aphex_controllers::organization::WEBHOOK_SECRET;
        let api: Api<Secret> = Api::namespaced(client.clone(), &name.namespace());
        let secret = api
            .get(name_of_secret)
            .await
            .with_context(|| format!("cannot read Secret {}/{name_of_secret}", name.namespace()))?;
        Ok(aphex_controllers::webhook_secret::read(&secret))
    }
}

/// Why a request would stand until somebody changes the object or what it names, and what to do about that.
fn stuck(object: &Value) -> Option<String> {
    let (status, metadata) = (&object["status"], &object["metadata"]);
    let seen = status["observedGeneration"]
        .as_i64()
        .is_some_and(|seen| Some(seen) == metadata["generation"].as_i64());
    let ready = status["conditions"].as_array()?.iter().find(|condition| condition["type"] == "Ready")?;
    let reason = Reason::from_wire(ready["reason"].as_str()?)?;
    let lasts = matches!(reason, Reason::InvalidSpec | Reason::NotAllowed | Reason::NameTaken);
    let said = status["message"].as_str().unwrap_or_default();
    // The grace of a request before this one, which this one replaces.
    let is_request = said.contains(labels::ROTATION_GRACE);
    let advice = reason.advice().filter(|_| seen && lasts && status["phase"] == "Failed" && !is_request)?;
    Some(format!("it is Failed ({}): {said}; {advice}", reason.as_str()))
}

/// Asks for a new secret, waits for it, and says how to read it.
pub(crate) async fn run<K: Rotated>(global: &Global, arguments: &RotateSecret) -> anyhow::Result<()> {
    let (noun, name) = (K::NOUN, &arguments.name);
    let client = connect::client(global).await?;
    let api: Api<K> = Api::namespaced(client.clone(), PLATFORM);
    let object = api.get_opt(name).await.with_context(|| format!("cannot get {noun} {name:?}"))?;
    let Some(object) = object else {
        let message = format!("no {noun} {name:?} in {PLATFORM}");
        return Err(exit::Coded { code: exit::NOT_FOUND, message }.into());
    };
    if let Some(why) = object.own_secret() {
        let message = format!("the webhook secret of {noun} {name:?} is not rotated: {why}");
        return Err(exit::Coded { code: exit::REFUSED, message }.into());
    }
    if let Some(why) = stuck(&serde_json::to_value(&object)?) {
        let message = format!("the webhook secret of {noun} {name:?} cannot be rotated: {why}");
        return Err(exit::Coded { code: exit::REFUSED, message }.into());
    }
    // Any value that was not there before; a time tells whoever looks when it was asked for.
    let request = Timestamp::now().to_string();
    let grace = arguments.grace.map(|grace| format!("{grace:#}").replace(' ', ""));
    let annotations = json!({ labels::ROTATE_WEBHOOK_SECRET: request, labels::ROTATION_GRACE: grace });
    let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
    api.patch(name, &PatchParams::default(), &patch)
        .await
        .with_context(|| format!("cannot ask for a new webhook secret of {noun} {name:?}"))?;
    let object = wait::<K>(api, name, &request).await?;
    let before = match object.rotation().and_then(|rotation| rotation.previous_until.as_ref()) {
        Some(until) => format!("the one before verifies until {}", until.0),
        None => "the one before verifies no longer".to_owned(),
    };
    let secret = if arguments.show {
        let secret = object.secret(&client).await.and_then(|secret| {
            secret.context("the secret is there no longer: it may have been replaced meanwhile")
        });
        Some(secret.with_context(|| format!("{noun} {name} has a new webhook secret, which is not shown"))?)
    } else {
        None
    };
    let document = told(look::typed(&object)?, secret.as_deref());
    output::answer(&global.output, &document, &output::title(&document), || {
        say(&format!("{noun} {name} has a new webhook secret; {before}"));
        note(&format!("enter it at GitHub; to read it: {}", K::how_to_read(name)));
        if let Some(secret) = &secret {
            output::print(secret);
        }
    })
}

/// The object for programs, whose secret is in it where it was asked for, and nowhere else.
fn told(mut object: Value, secret: Option<&str>) -> Value {
    if let Some(configuration) =
        object.pointer_mut("/status/webhookConfiguration").and_then(Value::as_object_mut)
    {
        configuration.remove("secret");
    }
    if let Some(status) = object.pointer_mut("/status").and_then(Value::as_object_mut) {
        status.remove("webhookSecret");
        status.extend(secret.map(|secret| ("webhookSecret".to_owned(), secret.into())));
    }
    object
}

/// Waits until the status tells that the request was carried out.
async fn wait<K: Rotated>(api: Api<K>, name: &str, request: &str) -> anyhow::Result<K> {
    let carried_out = |object: Option<&K>| {
        object.and_then(Rotated::rotation).is_some_and(|rotation| rotation.request == request)
    };
    let waited = tokio::time::timeout(PATIENCE, await_condition(api.clone(), name, carried_out)).await;
    if let Ok(found) = waited {
        let found = found.with_context(|| format!("cannot watch {} {name:?}", K::NOUN))?;
        return found.with_context(|| format!("{} {name:?} was deleted meanwhile", K::NOUN));
    }
    let standing = match api.get_opt(name).await {
        Ok(Some(object)) => format!("it is {}", object.standing()),
        _ => "nothing is known of it".to_owned(),
    };
    let message = format!(
        "no new webhook secret after {} s: {standing}; the request stands, and is carried out once it can be",
        PATIENCE.as_secs()
    );
    Err(exit::Coded { code: exit::TIMED_OUT, message }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_somebody_has_to_change_refuses_a_request() {
        let object = |phase: &str, reason: &str, seen: u32, message: &str| {
            json!({ "metadata": { "generation": 2 }, "status": {
                "phase": phase, "observedGeneration": seen, "message": message,
                "conditions": [{ "type": "Ready", "status": "False", "reason": reason }],
            } })
        };
        for reason in ["InvalidSpec", "NotAllowed", "NameTaken"] {
            let why = stuck(&object("Failed", reason, 2, "no such branch")).unwrap_or_default();
            assert!(why.starts_with(&format!("it is Failed ({reason}): no such branch; ")), "{why}");
            assert_eq!(stuck(&object("Failed", reason, 1, "of an older spec")), None);
        }
        assert_eq!(stuck(&object("Failed", "ProvisioningFailed", 2, "tried again")), None);
        assert_eq!(stuck(&object("Pending", "WaitingFor", 2, "Waiting for Organization")), None);
        let grace = format!("metadata.annotations[{}]: '5' is no duration", labels::ROTATION_GRACE);
        assert_eq!(stuck(&object("Failed", "InvalidSpec", 2, &grace)), None, "another request mends it");
        assert_eq!(stuck(&json!({ "metadata": { "generation": 1 } })), None);
    }

    #[test]
    fn the_secret_is_in_the_object_only_where_it_was_asked_for() {
        let object = json!({ "status": {
            "phase": "Ready", "webhookSecret": "old-secret", "webhookConfiguration": { "url": "https://a", "secret": "old-secret" },
        } });
        let quiet = told(object.clone(), None).to_string();
        assert!(quiet.contains("https://a") && !quiet.contains("secret"), "{quiet}");
        assert_eq!(told(object, Some("new-secret"))["status"]["webhookSecret"], "new-secret");
        // An organization's status has none by itself.
        assert_eq!(
            told(json!({ "status": {} }), Some("new-secret"))["status"]["webhookSecret"],
            "new-secret"
        );
    }
}
