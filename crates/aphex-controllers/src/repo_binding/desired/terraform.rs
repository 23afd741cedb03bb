//! Where Terraform keeps its state: in Secrets of the tenant namespace.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::{TERRAFORM, metadata};
use crate::repo_binding::validate::Valid;

pub(super) fn backend(valid: &Valid) -> Secret {
    let tenant = &valid.tenant;
    let text = format!(
        "terraform {{\n  backend \"kubernetes\" {{\n    secret_suffix     = \"{tenant}\"\n    namespace         = \"{}\"\n    in_cluster_config = true\n  }}\n}}\n",
        tenant.namespace()
    );
    Secret {
        metadata: metadata(valid, TERRAFORM),
        type_: Some("Opaque".to_owned()),
        data: Some([("backend.tf".to_owned(), ByteString(text.into_bytes()))].into()),
        ..Secret::default()
    }
}
