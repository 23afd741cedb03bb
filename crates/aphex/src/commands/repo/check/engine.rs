//! What has to be on the engine: the listener and its trigger, the secret, the pipeline, and room in the quota.

use std::fmt::Debug;

use aphex_api::foreign::tekton::Pipeline;
use aphex_api::foreign::triggers::{EventListener, Trigger};
use aphex_api::names::{OrgName, TenantName};
use aphex_api::repo_binding::RepoBinding;
use aphex_runtime::errors;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ResourceQuota, Secret};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::commands::report::{Check, Report};

/// The listener that the controllers make.
const LISTENER: &str = "github-listener";
const SECRET_KEY: &str = "secret";
/// The Pipeline of a tenant that stands alone.
const STANDALONE_PIPELINE: &str = "cdktf-deploy";

/// Names of the binding's objects.
struct Names {
    listener_namespace: String,
    tenant: TenantName,
    organization: bool,
    pipeline: String,
}

impl Names {
    fn of(binding: &RepoBinding) -> Option<Self> {
        let spec = &binding.spec;
        let pipeline = spec.pipeline_name.as_deref();
        let tenant: TenantName = pipeline.or(spec.tenant_name.as_deref())?.parse().ok()?;
        let organization = spec.aphex_org.as_deref().map(str::parse::<OrgName>).transpose().ok()?;
        Some(Self {
            listener_namespace: organization.as_ref().map_or_else(|| tenant.namespace(), OrgName::namespace),
            organization: organization.is_some(),
            pipeline: pipeline.unwrap_or(STANDALONE_PIPELINE).to_owned(),
            tenant,
        })
    }
}

/// Looks at each.
pub(super) async fn walk(client: &Client, binding: &RepoBinding, report: &mut Report) {
    let Some(names) = Names::of(binding) else {
        report.add(Check::skip("listener", "the binding's spec names no tenant that can be"));
        return;
    };
    report.add(listener(client, &names).await);
    report.add(trigger(client, &names).await);
    report.add(secret(client, &names, binding).await);
    report.add(pipeline(client, &names).await);
    report.add(quota(client, &names).await);
}

/// An object, or why there is nothing to look at.
async fn get<K>(client: &Client, step: &str, namespace: &str, name: &str, remedy: &str) -> Result<K, Check>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let kind = K::kind(&());
    match api.get_opt(name).await {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(Check::fail(step, &format!("{kind} {namespace}/{name} is not there"), remedy)),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Err(Check::skip(step, &format!("you may not get {kind} {namespace}/{name}")))
        }
        Err(error) => {
            let found = format!("{kind} {namespace}/{name}: {}", errors::chain(&error));
            Err(Check::fail(step, &found, "`aphex doctor` looks closer"))
        }
    }
}

const CONTROLLERS: &str =
    "the controllers make it again within seconds: see that they run, and what the binding's status says";

async fn listener(client: &Client, names: &Names) -> Check {
    const STEP: &str = "listener";
    let place = &names.listener_namespace;
    let found = match get::<EventListener>(client, STEP, place, LISTENER, CONTROLLERS).await {
        Ok(found) => found,
        Err(check) => return check,
    };
    let tenant = names.tenant.namespace();
    if names.organization && !found.spec.namespace_selector.match_names.contains(&tenant) {
        let said = format!("EventListener {place}/{LISTENER} does not list namespace {tenant}");
        return Check::fail(STEP, &said, CONTROLLERS);
    }
    Check::ok(STEP, &format!("EventListener {place}/{LISTENER} listens for {tenant}"))
}

async fn trigger(client: &Client, names: &Names) -> Check {
    const STEP: &str = "trigger object";
    if !names.organization {
        return Check::skip(STEP, "a tenant that stands alone has its trigger in its listener");
    }
    let (place, name) = (&names.listener_namespace, names.tenant.trigger());
    match get::<Trigger>(client, STEP, place, &name, CONTROLLERS).await {
        Ok(_) => Check::ok(STEP, &format!("Trigger {place}/{name} is there")),
        Err(check) => check,
    }
}

async fn secret(client: &Client, names: &Names, binding: &RepoBinding) -> Check {
    const STEP: &str = "secret";
    let (place, name) = (&names.listener_namespace, names.tenant.webhook_secret());
    let found = match get::<Secret>(client, STEP, place, &name, CONTROLLERS).await {
        Ok(found) => found,
        Err(check) => return check,
    };
    let told = binding.status.as_ref().and_then(|status| status.webhook_secret.as_deref());
    let kept = found.data.as_ref().and_then(|data| data.get(SECRET_KEY));
    match (kept, told) {
        (Some(kept), Some(told)) if kept.0 == told.as_bytes() => {
            Check::ok(STEP, &format!("Secret {place}/{name} has the secret of the binding's status"))
        }
        (Some(_), _) => Check::fail(
            STEP,
            &format!("Secret {place}/{name} has another secret than the binding's status"),
            "wait until the controllers have told the new one; GitHub's webhook needs the same",
        ),
        (None, _) => {
            Check::fail(STEP, &format!("Secret {place}/{name} has no key {SECRET_KEY}"), CONTROLLERS)
        }
    }
}

async fn pipeline(client: &Client, names: &Names) -> Check {
    const STEP: &str = "pipeline";
    let (place, name) = (names.tenant.namespace(), &names.pipeline);
    let remedy = if names.organization {
        CONTROLLERS
    } else {
        "a tenant that stands alone brings it itself: kubectl apply -f examples/standalone-pipeline.yaml shows one"
    };
    match get::<Pipeline>(client, STEP, &place, name, remedy).await {
        Ok(_) => Check::ok(STEP, &format!("Pipeline {place}/{name} is there")),
        Err(check) => check,
    }
}

async fn quota(client: &Client, names: &Names) -> Check {
    const STEP: &str = "quota";
    const NAME: &str = "tenant-quota";
    let place = names.tenant.namespace();
    let found = match get::<ResourceQuota>(client, STEP, &place, NAME, CONTROLLERS).await {
        Ok(found) => found,
        Err(check) => return check,
    };
    let status = found.status.unwrap_or_default();
    let (hard, used) = (status.hard.unwrap_or_default(), status.used.unwrap_or_default());
    let counted = ["pods", "persistentvolumeclaims"].into_iter().filter_map(|what| {
        let number = |of: &std::collections::BTreeMap<String, _>| {
            let quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity = of.get(what)?;
            quantity.0.parse::<u64>().ok()
        };
        Some((what, number(&used)?, number(&hard)?))
    });
    let counted: Vec<_> = counted.collect();
    if counted.is_empty() {
        return Check::skip(STEP, &format!("nobody has counted what is used in {place} yet"));
    }
    let text: Vec<String> =
        counted.iter().map(|(what, used, hard)| format!("{used} of {hard} {what}")).collect();
    let said = format!("{} in use in {place}", text.join(", "));
    if counted.iter().any(|(_, used, hard)| used >= hard) {
        let remedy = "end runs that are under way or delete old ones, or ask for permissionProfile elevated";
        return Check::fail(STEP, &said, remedy);
    }
    Check::ok(STEP, &said)
}
