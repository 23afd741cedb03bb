//! `aphex describe`: an object, what it owns and how that is, what happened of late, and what to do next.
//!
//! How the owned objects are is found as a plan is: the controller's own steps say what is missing or has drifted.

mod activity;
mod advice;
mod show;
mod tree;
mod watch;

use aphex_api::knowledge_base::KnowledgeBase;
use aphex_api::names::{OrgName, TenantName, pipeline_binding};
use aphex_api::organization::Organization;
use aphex_api::pipeline::Pipeline;
use aphex_api::repo_binding::RepoBinding;
use aphex_controllers::Settings;
use aphex_controllers::plan::{Examination, Glimpse, Health, Owned, Subject, SubjectKind, examine, glimpse};
use jiff::Timestamp;
use kube::Client;
use kube::api::ListParams;
use kube::core::ApiResource;
use serde_json::Value;

use activity::Scene;
pub(crate) use activity::run as state_of_run;

use super::look::{self, name, text};
use super::settings;
use crate::cli::{Describe, Described, Format, Global};
use crate::output;
use crate::{connect, exit};

/// Everything that was found about an object.
#[derive(Clone, Debug, Default)]
struct Found {
    object: Value,
    /// What it owns, unless its kind owns nothing or the user may not see it.
    examination: Option<Examination>,
    /// Why the user may not.
    hidden: Option<String>,
    /// What the user may see of what a Pipeline's binding owns, who may not see all of it.
    glimpse: Option<Glimpse>,
    /// A Pipeline's binding, by name, and what that owns.
    binding: Option<String>,
    below: Option<Examination>,
    /// An organization's bindings.
    bindings: Vec<Value>,
    scene: Scene,
    deliveries: Vec<Value>,
    /// Namespaces whose deliveries the user may not see.
    unseen: Vec<String>,
    runs: Vec<Value>,
    /// Namespaces whose runs the user may not see.
    unseen_runs: Vec<String>,
}

pub(crate) async fn run(global: &Global, arguments: Describe) -> anyhow::Result<()> {
    let client = connect::client(global).await?;
    if arguments.one.watch {
        return watch::run(global, &client, &arguments).await;
    }
    let found = find(&client, &arguments).await?;
    output::show_on(&global.output, &printed(&global.output, &found)?);
    Ok(())
}

/// What was found, in the wanted form.
fn printed(format: &Format, found: &Found) -> anyhow::Result<String> {
    Ok(match format {
        Format::Table | Format::Wide => show::tree(found, Timestamp::now()),
        Format::Name => format!("{}/{}", text(&found.object, "/kind").to_lowercase(), name(&found.object)),
        form => output::rendered(form, &show::document(found))?.unwrap_or_default(),
    })
}

fn resource_of(kind: Described) -> ApiResource {
    match kind {
        Described::Org => ApiResource::erase::<Organization>(&()),
        Described::Repo => ApiResource::erase::<RepoBinding>(&()),
        Described::Pipeline => ApiResource::erase::<Pipeline>(&()),
        Described::Kb => ApiResource::erase::<KnowledgeBase>(&()),
    }
}

async fn find(client: &Client, arguments: &Describe) -> anyhow::Result<Found> {
    let resource = resource_of(arguments.kind);
    let (subject, usual) = match arguments.kind {
        Described::Org => (Some(SubjectKind::Organization), Some("platform-system")),
        Described::Repo => (Some(SubjectKind::RepoBinding), Some("platform-system")),
        Described::Pipeline => (Some(SubjectKind::Pipeline), None),
        Described::Kb => (None, None),
    };
    let namespace = arguments.one.namespace.as_deref().or(usual);
    let object = look::find(client, &resource, &arguments.one.name, namespace).await?;
    let Some(object) = object else {
        let message = format!("no {} {:?}", resource.kind, arguments.one.name);
        return Err(exit::Coded { code: exit::NOT_FOUND, message }.into());
    };
    let mut object = serde_json::to_value(object)?;
    object["apiVersion"] = Value::from(resource.api_version);
    object["kind"] = Value::from(resource.kind);
    let mut found = Found { object, ..Found::default() };
    if let Some(kind) = subject
        && let Err(error) = examined(client, kind, &mut found).await
    {
        found.hidden = Some(aphex_runtime::errors::chain(error.as_ref()));
        if kind == SubjectKind::Pipeline && exit::is_forbidden(&error) {
            found.glimpse = glimpsed(client, &mut found).await?;
        }
    }
    if let Err(error) = happened(client, arguments.kind, &mut found).await {
        found.hidden.get_or_insert(aphex_runtime::errors::chain(error.as_ref()));
    }
    Ok(found)
}

/// Looks at what the object owns, and at what a Pipeline's binding owns in turn.
async fn examined(client: &Client, kind: SubjectKind, found: &mut Found) -> anyhow::Result<()> {
    let settings = settings::of_engine(client).await?;
    let (namespace, name) = (text(&found.object, "/metadata/namespace"), name(&found.object).to_owned());
    let platform = settings.platform_namespace.clone();
    found.examination = look_at(client, &settings, kind, &namespace, &name).await?;
    if kind == SubjectKind::Pipeline {
        let binding = pipeline_binding(&namespace, &name);
        found.below = look_at(client, &settings, SubjectKind::RepoBinding, &platform, &binding).await?;
        found.binding = Some(binding);
    }
    Ok(())
}

/// Looks at what a developer may see of what the binding owns; nothing where its names are none.
async fn glimpsed(client: &Client, found: &mut Found) -> anyhow::Result<Option<Glimpse>> {
    let (namespace, name) = (text(&found.object, "/metadata/namespace"), name(&found.object).to_owned());
    let binding = pipeline_binding(&namespace, &name);
    let names = (name.parse::<TenantName>(), text(&found.object, "/spec/organization").parse::<OrgName>());
    let (Ok(tenant), Ok(organization)) = names else { return Ok(None) };
    let settings = settings::of_engine(client).await?;
    let seen = glimpse(client, &settings, &binding, &tenant, &organization).await?;
    found.binding = Some(binding);
    Ok(Some(seen))
}

async fn look_at(
    client: &Client,
    settings: &Settings,
    kind: SubjectKind,
    namespace: &str,
    name: &str,
) -> anyhow::Result<Option<Examination>> {
    let subject = Subject { kind, namespace: namespace.to_owned(), name: name.to_owned() };
    Ok(examine(client, settings.clone(), &subject).await?)
}

/// Looks for deliveries and runs, and for an organization's bindings.
async fn happened(client: &Client, kind: Described, found: &mut Found) -> anyhow::Result<()> {
    let object = &found.object;
    let own_tenant = tenant(object).filter(|_| has_tenant(object));
    let listener = |name: &str| name.parse::<OrgName>().ok().map(|name| name.namespace());
    found.scene = match kind {
        Described::Org => {
            found.bindings = bindings(client, name(object)).await?;
            Scene {
                listener: listener(name(object)),
                repository: None,
                tenants: found
                    .bindings
                    .iter()
                    .filter(|binding| has_tenant(binding))
                    .filter_map(tenant)
                    .collect(),
            }
        }
        Described::Repo => Scene {
            listener: object["spec"]["aphexOrg"].as_str().map_or_else(|| own_tenant.clone(), listener),
            repository: Some(format!("{}/{}", text(object, "/spec/repoOrg"), text(object, "/spec/repoName"))),
            tenants: own_tenant.into_iter().collect(),
        },
        Described::Pipeline => Scene {
            listener: listener(&text(object, "/spec/organization")),
            repository: Some(format!(
                "{}/{}",
                text(object, "/spec/repository/org"),
                text(object, "/spec/repository/name")
            )),
            tenants: Some(name(object).to_owned()).filter(|_| holds_tenant(found)).into_iter().collect(),
        },
        Described::Kb => Scene::default(),
    };
    (found.deliveries, found.unseen) = activity::deliveries(client, &found.scene).await?;
    (found.runs, found.unseen_runs) = activity::runs(client, &found.scene).await?;
    Ok(())
}

/// Whether a binding has its tenant's namespace; else that is another's, with what happened there, or nobody's.
fn has_tenant(binding: &Value) -> bool {
    binding["status"]["namespaceCreated"] == true
}

/// Whether a Pipeline's binding has its tenant's namespace, as far as the user may see.
fn holds_tenant(found: &Found) -> bool {
    let conditions = found.object["status"]["conditions"].as_array();
    let says_so = |condition: &Value| condition["type"] == "NamespaceReady" && condition["status"] == "True";
    let is_there = |one: &Owned| one.named.kind == "Namespace" && one.health != Health::Missing;
    conditions.into_iter().flatten().any(says_so)
        || found.below.as_ref().is_some_and(|below| below.owned.iter().any(is_there))
}

/// The namespace of a binding's tenant.
fn tenant(binding: &Value) -> Option<String> {
    let spec = &binding["spec"];
    spec["pipelineName"].as_str().or(spec["tenantName"].as_str()).map(str::to_owned)
}

async fn bindings(client: &Client, organization: &str) -> anyhow::Result<Vec<Value>> {
    let resource = ApiResource::erase::<RepoBinding>(&());
    let named = ListParams::default().fields(&format!("spec.aphexOrg={organization}"));
    let list = look::api(client, &resource, Some("platform-system")).list(&named).await?;
    let mut found: Vec<Value> = list.items.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
    found.sort_by_key(|binding| name(binding).to_owned());
    for binding in &mut found {
        binding["apiVersion"] = Value::from(resource.api_version.clone());
        binding["kind"] = Value::from(resource.kind.clone());
    }
    Ok(found)
}
