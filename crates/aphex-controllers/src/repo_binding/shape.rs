//! The two shapes of a binding: of an organization, or a tenant that stands alone.
//!
//! ```text
//!                 organization binding              standalone tenant
//! listener        org-<organization>, shared        <tenant>, its own
//! trigger         Trigger <tenant>-trigger          an entry of the listener
//! runs made by    <tenant>-trigger                  pipeline-runner
//! Pipeline        from spec.pipelineSpec            the tenant's own, by a name everybody knows
//! way in          the organization's                Ingress github-webhook, where there is a host for it
//! ```
//!
//! Which shape a binding has never changes: the schema keeps `aphexOrg` and `tenantName` as they are.

use aphex_api::foreign::tekton::Pipeline;
use aphex_api::names::{AdminEmail, OrgName, TenantName};
use aphex_api::repo_binding::RepoBindingSpec;

use crate::context::Settings;
use crate::outcome::Rejection;

/// The Pipeline that pushes of a standalone tenant start; the tenant keeps it in its namespace.
pub const STANDALONE_PIPELINE: &str = "cdktf-deploy";
/// The dispatcher template of standalone tenants, which name none.
const STANDALONE_TEMPLATE: &str = "run-pipeline-v1";

/// The shape of a binding that can be carried out, with what only that shape has.
#[derive(Clone, Debug)]
pub enum Shape {
    /// One pipeline of an organization.
    Organization {
        /// The organization.
        name: OrgName,
        /// The Tekton Pipeline, as `tekton.dev/v1`.
        pipeline: Box<Pipeline>,
        /// Its administrators, who may see what became of the tenant's pushes.
        admins: Vec<AdminEmail>,
    },
    /// A tenant that belongs to no organization.
    Standalone {
        /// Host name of its Ingress; without one, webhooks arrive at the gateway's own address.
        ingress_host: Option<String>,
        /// The workspaces that its Pipeline declares, as far as there is one.
        workspaces: Vec<String>,
    },
}

/// The fields that tell the shape, as written.
pub(super) struct Written<'a> {
    pub(super) organization: Option<&'a str>,
    pub(super) tenant: &'a str,
    pub(super) template: &'a str,
    pub(super) pipeline: Option<&'a str>,
}

pub(super) fn written(spec: &RepoBindingSpec) -> Result<Written<'_>, Rejection> {
    let given = [
        ("pipelineName", &spec.pipeline_name),
        ("templateRef", &spec.template_ref),
        ("pipelineSpec", &spec.pipeline_spec),
    ];
    match (spec.aphex_org.as_deref(), spec.tenant_name.as_deref()) {
        (Some(organization), None) => {
            if let Some((field, _)) = given.iter().find(|(_, value)| value.is_none()) {
                return Err(Rejection::invalid(format!("spec.{field} is required with aphexOrg")));
            }
            if spec.ingress_host.is_some() {
                return Err(Rejection::invalid("spec.ingressHost goes with tenantName, not with aphexOrg"));
            }
            Ok(Written {
                organization: Some(organization),
                tenant: spec.pipeline_name.as_deref().unwrap_or_default(),
                template: spec.template_ref.as_deref().unwrap_or_default(),
                pipeline: spec.pipeline_spec.as_deref(),
            })
        }
        (None, Some(tenant)) => {
            if let Some((field, _)) = given.iter().find(|(_, value)| value.is_some()) {
                let message = format!("spec.{field} goes with aphexOrg, not with tenantName");
                return Err(Rejection::invalid(message));
            }
            Ok(Written { organization: None, tenant, template: STANDALONE_TEMPLATE, pipeline: None })
        }
        _ => Err(Rejection::invalid(
            "spec: set either aphexOrg (with pipelineName, templateRef and pipelineSpec) or tenantName",
        )),
    }
}

/// The namespace in which a binding's events arrive, and its triggers and webhook secret are.
pub(super) fn listener_namespace(organization: Option<&OrgName>, tenant: &TenantName) -> String {
    organization.map_or_else(|| tenant.namespace(), OrgName::namespace)
}

/// The host name of a standalone tenant's webhooks, where it has one.
pub(super) fn ingress_host(spec: &RepoBindingSpec, settings: &Settings) -> Option<String> {
    let own = spec.tenant_name.as_ref().and(spec.ingress_host.as_ref());
    own.or_else(|| spec.tenant_name.as_ref().and(settings.ingress.host.as_ref())).cloned()
}

/// Where GitHub is to send the webhooks of a standalone tenant.
pub(super) fn standalone_url(spec: &RepoBindingSpec, tenant: &TenantName, settings: &Settings) -> String {
    match ingress_host(spec, settings) {
        Some(host) => format!("https://{host}/{tenant}"),
        None => format!("{}/{tenant}", settings.gateway_url),
    }
}
