//! One object as it is: what it owns, how that is, and what its controller would say now.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::DynamicObject;
use kube::{Api, Client};
use serde::Serialize;

use super::change::Change;
use super::shadow::Shadow;
use super::subject::{Subject, SubjectKind};
use super::{PlanError, Verdict, context};
use crate::apply::{Inventory, Key};
use crate::context::{Context, Settings};
use crate::driver::{self, Reconciler};
use crate::knowledge_base::KnowledgeBases;
use crate::organization::Organizations;
use crate::outcome::StepError;
use crate::pipeline::Pipelines;
use crate::repo_binding::RepoBindings;

/// What a look at an object found.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    /// How a pass would end now; none while the object is being deleted.
    pub verdict: Option<Verdict>,
    /// What it owns and what it should own.
    pub owned: Vec<Owned>,
    /// Objects that carry its name in their labels, but the uid of another.
    pub foreign: Vec<Named>,
}

/// What an object is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    /// Its group and version.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace, if its kind has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl Named {
    fn of(key: &Key) -> Self {
        Self {
            api_version: key.kind.resource.api_version.clone(),
            kind: key.kind.resource.kind.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
        }
    }
}

/// One object that is owned, or should be.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Owned {
    /// What it is called.
    #[serde(flatten)]
    pub named: Named,
    /// Whether it is as it should be.
    pub health: Health,
    /// What it says of itself, where its kind does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
}

/// Whether an object is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// It is there, as it is wanted.
    InPlace,
    /// It is not there.
    Missing,
    /// It is there, and otherwise than it is wanted.
    Drifted,
    /// It is there, and not wanted any more.
    Unwanted,
    /// It is on its way out.
    Deleting,
    /// It is there; whether as it is wanted could not be told.
    There,
}

/// What an object's own condition says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// Whether it works.
    pub ready: bool,
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
}

/// Looks at one object; nothing when there is none of the name.
pub async fn examine(
    client: &Client,
    settings: Settings,
    subject: &Subject,
) -> Result<Option<Examination>, PlanError> {
    let shadow = Shadow::new(client.clone());
    let context = context(&shadow, settings, super::outside::Noted::default()).await?;
    let looked = match subject.kind {
        SubjectKind::Organization => Box::pin(look::<Organizations>(&shadow, &context, subject)).await,
        SubjectKind::Pipeline => Box::pin(look::<Pipelines>(&shadow, &context, subject)).await,
        SubjectKind::RepoBinding => Box::pin(look::<RepoBindings>(&shadow, &context, subject)).await,
        SubjectKind::KnowledgeBase => Box::pin(look::<KnowledgeBases>(&shadow, &context, subject)).await,
    };
    looked.map_err(PlanError::Read)
}

async fn look<R: Reconciler>(
    shadow: &Shadow,
    context: &Context,
    subject: &Subject,
) -> Result<Option<Examination>, StepError> {
    let api: Api<R::Object> = Api::namespaced(context.client.clone(), &subject.namespace);
    let read = |source| StepError::read(format!("{:?} {}", subject.kind, subject.name), source);
    let Some(object) = api.get_opt(&subject.name).await.map_err(read)? else { return Ok(None) };
    // The pass puts what is missing into the shadow, so that it is found there.
    let outcome = subject.pass(context).await;
    let owner = driver::owner::<R>(context, &object);
    let mut observed = R::observe(context, &object, &owner).await?;
    let inventory = std::mem::take(R::inventory(&mut observed));
    let foreign = inventory.foreign().map(Named::of).collect();
    let owned = owned(shadow, &inventory, subject);
    Ok(Some(Examination { verdict: outcome.as_ref().map(Verdict::of), owned, foreign }))
}

fn owned(shadow: &Shadow, inventory: &Inventory, subject: &Subject) -> Vec<Owned> {
    let mut owned = Vec::new();
    let mut seen = BTreeSet::new();
    for (_, entry) in shadow.written() {
        let Some(change) = Change::of(&entry) else { continue };
        let named = Named {
            api_version: change.api_version,
            kind: change.kind,
            namespace: change.namespace,
            name: change.name,
        };
        let itself = named.kind == subject.kind.kind().resource.kind && named.name == subject.name;
        if itself && named.namespace.as_deref() == Some(&subject.namespace) {
            continue;
        }
        let health = match (&entry.before, &entry.after) {
            (None, _) => Health::Missing,
            (Some(before), _) if before["metadata"]["deletionTimestamp"].is_string() => Health::Deleting,
            (Some(_), None) => Health::Unwanted,
            (Some(_), Some(_)) => Health::Drifted,
        };
        let live = entry.before.and_then(|object| serde_json::from_value(object).ok());
        seen.insert(named.clone());
        owned.push(Owned { named, health, ready: live.as_ref().and_then(ready) });
    }
    for key in inventory.keys() {
        let (named, Some(object)) = (Named::of(key), inventory.get(key)) else { continue };
        if !seen.contains(&named) {
            let going = object.metadata.deletion_timestamp.is_some();
            let health = if going { Health::Deleting } else { Health::InPlace };
            owned.push(Owned { named, health, ready: ready(object) });
        }
    }
    owned.sort_by_key(|one| (one.named.namespace.clone(), one.named.kind.clone(), one.named.name.clone()));
    owned
}

/// What an object says of itself: by the condition Ready, or else Available.
pub(super) fn ready(object: &DynamicObject) -> Option<Ready> {
    let conditions = object.data.pointer("/status/conditions")?.as_array()?;
    let conditions: Vec<Condition> =
        conditions.iter().filter_map(|condition| serde_json::from_value(complete(condition)).ok()).collect();
    let find = |wanted: &str| conditions.iter().find(|condition| condition.type_ == wanted);
    let found = find("Ready").or_else(|| find("Available"))?;
    Some(Ready {
        ready: found.status == "True",
        reason: found.reason.clone(),
        message: found.message.clone(),
    })
}

/// A condition with all fields: other programs leave some out.
fn complete(condition: &serde_json::Value) -> serde_json::Value {
    let mut condition = condition.clone();
    if let Some(fields) = condition.as_object_mut() {
        for field in ["reason", "message"] {
            fields.entry(field).or_insert_with(|| "".into());
        }
        fields.entry("lastTransitionTime").or_insert_with(|| "1970-01-01T00:00:00Z".into());
    }
    condition
}
