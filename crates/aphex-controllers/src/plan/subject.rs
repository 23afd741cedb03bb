//! The objects that the controllers would go over.

use std::collections::BTreeSet;

use aphex_api::knowledge_base::{KnowledgeBase, KnowledgeBaseStatus};
use aphex_api::labels;
use aphex_api::organization::Organization;
use aphex_api::pipeline::Pipeline;
use aphex_api::repo_binding::RepoBinding;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde_json::Value;

use super::address::Id;
use super::change::Change;
use super::shadow::Shadow;
use crate::apply::Kind;
use crate::context::Context;
use crate::driver::{self, Reconciler};
use crate::knowledge_base::KnowledgeBases;
use crate::organization::Organizations;
use crate::outcome::{Outcome, StepError};
use crate::pipeline::Pipelines;
use crate::repo_binding::RepoBindings;

/// A kind that has a controller; what comes first is gone over first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum SubjectKind {
    /// `aphex.io`.
    Organization,
    /// `platform.dev`.
    Pipeline,
    /// `aphex.io`.
    RepoBinding,
    /// `aphex.io`; its controller writes what it finds in the repositories into the status, and nothing else.
    KnowledgeBase,
}

impl SubjectKind {
    const ALL: [Self; 4] = [Self::Organization, Self::Pipeline, Self::RepoBinding, Self::KnowledgeBase];

    /// The kind as the engine addresses it.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Organization => Kind::of::<Organization>(),
            Self::Pipeline => Kind::of::<Pipeline>(),
            Self::RepoBinding => Kind::of::<RepoBinding>(),
            Self::KnowledgeBase => Kind::of::<KnowledgeBase>(),
        }
    }

    /// The kind of an object by where the engine has it.
    fn at(id: &Id) -> Option<Self> {
        Self::ALL.into_iter().find(|known| {
            let resource = known.kind().resource;
            id.plural == resource.plural && id.prefix == format!("/apis/{}", resource.api_version)
        })
    }
}

/// An object that has a controller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Subject {
    /// Its kind.
    pub kind: SubjectKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Subject {
    fn new(kind: SubjectKind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// One pass of its controller; nothing when there is no such object, or it is being deleted.
    pub(super) async fn pass(&self, context: &Context) -> Option<Outcome> {
        match self.kind {
            SubjectKind::Organization => pass::<Organizations>(context, self).await,
            SubjectKind::Pipeline => pass::<Pipelines>(context, self).await,
            SubjectKind::RepoBinding => pass::<RepoBindings>(context, self).await,
            SubjectKind::KnowledgeBase => pass::<KnowledgeBases>(context, self).await,
        }
    }

    /// What the status would say, of a kind that owns no objects from which that could be seen.
    pub(super) async fn said(&self, context: &Context) -> Result<Option<String>, StepError> {
        if self.kind != SubjectKind::KnowledgeBase {
            return Ok(None);
        }
        let api: Api<KnowledgeBase> = Api::namespaced(context.client.clone(), &self.namespace);
        let read = |source| StepError::read(format!("KnowledgeBase {}", self.name), source);
        let status = api.get_opt(&self.name).await.map_err(read)?.and_then(|found| found.status);
        Ok(status.map(|status| told(&status)))
    }
}

async fn pass<R: Reconciler>(context: &Context, subject: &Subject) -> Option<Outcome> {
    let api: Api<R::Object> = Api::namespaced(context.client.clone(), &subject.namespace);
    // What deletion would take back is no matter of what is applied.
    match api.get_metadata_opt(&subject.name).await {
        Ok(Some(found)) if found.metadata.deletion_timestamp.is_some() => None,
        _ => driver::once::<R>(context, &api, &subject.name).await.map(|(outcome, _)| outcome),
    }
}

/// The message of a KnowledgeBase's status, and the commit that each branch is at.
fn told(status: &KnowledgeBaseStatus) -> String {
    let mut lines = vec![status.message.clone()];
    for found in &status.repositories {
        if let Some(commit) = &found.commit {
            lines.push(format!("  {} {} {commit}", found.url, found.branch));
        }
    }
    lines.join("\n")
}

/// Everything that was written, and what the controllers' watches would wake for it.
pub(super) async fn concerned(shadow: &Shadow, context: &Context) -> Result<BTreeSet<Subject>, StepError> {
    let platform = context.settings.platform_namespace.as_str();
    let mut concerned = BTreeSet::new();
    for (id, entry) in shadow.written() {
        let (Some(kind), Some(object), Some(namespace)) =
            (SubjectKind::at(&id), &entry.after, id.namespace.as_deref())
        else {
            continue;
        };
        concerned.insert(Subject::new(kind, namespace, &id.name));
        match kind {
            SubjectKind::Organization if Change::of(&entry).is_some() => {
                concerned.extend(bindings(context, &id.name).await?);
            }
            SubjectKind::RepoBinding => concerned.extend(around(object, platform)),
            SubjectKind::Organization | SubjectKind::Pipeline | SubjectKind::KnowledgeBase => {}
        }
    }
    Ok(concerned)
}

/// The organization whose listener names the tenant, and the Pipeline that would have the binding as it was.
fn around(binding: &Value, platform: &str) -> Vec<Subject> {
    let organization = binding["spec"]["aphexOrg"].as_str();
    let mut around: Vec<Subject> = organization
        .map(|name| Subject::new(SubjectKind::Organization, platform, name))
        .into_iter()
        .collect();
    let label = |key: &str| binding["metadata"]["labels"][key].as_str();
    if label(labels::OWNER_KIND) == Some(Pipeline::kind(&()).as_ref())
        && let Some(name) = label(labels::OWNER_NAME)
    {
        let namespace = label(labels::OWNER_NAMESPACE).unwrap_or(platform);
        around.push(Subject::new(SubjectKind::Pipeline, namespace, name));
    }
    around
}

/// The bindings that name an organization.
async fn bindings(context: &Context, organization: &str) -> Result<Vec<Subject>, StepError> {
    let platform = context.settings.platform_namespace.as_str();
    let api: Api<RepoBinding> = Api::namespaced(context.client.clone(), platform);
    let list =
        api.list(&ListParams::default()).await.map_err(|source| StepError::read("RepoBindings", source))?;
    let named = list.items.iter().filter(|binding| binding.spec.aphex_org.as_deref() == Some(organization));
    Ok(named.map(|binding| Subject::new(SubjectKind::RepoBinding, platform, &binding.name_any())).collect())
}
