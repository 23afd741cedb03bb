//! From a definition to descriptors of its served versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_schema::rules::Rules;
use aphex_schema::{Definitions, Schema, structural};
use aphex_store::Revision;
use serde_json::Value;

use crate::object;
use crate::registry::version_order;
use crate::resource::{
    Custom, Origin, PrinterColumn, Resource, Scale, Selectable, Storage, Subresource, api_version,
    storage_prefix,
};
use crate::strategy::Strategy;

/// One served version, compiled.
#[derive(Clone, Debug)]
pub struct Version {
    name: String,
    selectable: Vec<Selectable>,
    status: bool,
    scale: Option<Scale>,
    custom: Arc<Custom>,
}

/// Compiles the served versions of a definition.
pub(super) fn versions(definition: &Value, since: Revision) -> Vec<Version> {
    let all = object::at(definition, "spec.versions").and_then(Value::as_array);
    let served = all.into_iter().flatten().filter(|version| version["served"] == true);
    served.map(|version| compile(definition, version, since)).collect()
}

fn compile(definition: &Value, version: &Value, since: Revision) -> Version {
    let written = object::at(version, "schema.openAPIV3Schema").cloned().unwrap_or_default();
    // The definition was validated when it was written; what cannot be read now checks nothing.
    let schema = structural::read(&written).unwrap_or_else(|error| {
        tracing::error!(definition = object::name(definition), error, "a stored schema cannot be read");
        Schema::default()
    });
    let rules = Rules::compile(&schema).unwrap_or_else(|errors| {
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            definition = object::name(definition),
            error = first,
            "stored rules cannot be compiled"
        );
        Rules::default()
    });
    let name = version["name"].as_str().unwrap_or_default().to_owned();
    let fields = version["selectableFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    Version {
        selectable: fields.iter().filter_map(|field| field["jsonPath"].as_str()).map(selectable).collect(),
        status: version["subresources"].get("status").is_some(),
        scale: version["subresources"].get("scale").map(scale),
        custom: Arc::new(Custom {
            definition: object::name(definition).to_owned(),
            schema,
            definitions: Definitions::none(),
            rules,
            columns: columns(version),
            since,
            terminating: object::is_deleting(definition),
            deprecation: deprecation(definition, version, &name),
            storage: version["storage"] == true,
            published: written,
        }),
        name,
    }
}

fn selectable(path: &str) -> Selectable {
    Selectable::new(path.trim_start_matches('.'))
}

fn scale(written: &Value) -> Scale {
    let path = |field: &str| written[field].as_str().map(|path| path.trim_start_matches('.').to_owned());
    Scale {
        spec_replicas: path("specReplicasPath").unwrap_or_default(),
        status_replicas: path("statusReplicasPath").unwrap_or_default(),
        selector: path("labelSelectorPath"),
    }
}

fn columns(version: &Value) -> Vec<PrinterColumn> {
    let columns = version["additionalPrinterColumns"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |column: &Value, field: &str| column[field].as_str().unwrap_or_default().to_owned();
    columns
        .iter()
        .map(|column| PrinterColumn {
            name: text(column, "name"),
            kind: text(column, "type"),
            format: text(column, "format"),
            description: text(column, "description"),
            priority: column["priority"].as_i64().unwrap_or_default(),
            json_path: text(column, "jsonPath"),
        })
        .collect()
}

fn deprecation(definition: &Value, version: &Value, name: &str) -> Option<String> {
    if version["deprecated"] != true {
        return None;
    }
    let group = object::at(definition, "spec.group").and_then(Value::as_str).unwrap_or_default();
    let kind = object::at(definition, "spec.names.kind").and_then(Value::as_str).unwrap_or_default();
    let own = version["deprecationWarning"].as_str().map(str::to_owned);
    Some(own.unwrap_or_else(|| {
        let instead = successor(definition, name);
        let instead = instead.map(|newer| format!("; use {group}/{newer} {kind}")).unwrap_or_default();
        format!("{group}/{name} {kind} is deprecated{instead}")
    }))
}

/// The newest served version that is not deprecated and no less stable.
fn successor(definition: &Value, name: &str) -> Option<String> {
    let versions = object::at(definition, "spec.versions").and_then(Value::as_array);
    let usable = versions
        .into_iter()
        .flatten()
        .filter(|version| version["served"] == true && version["deprecated"] != true);
    let names = usable.filter_map(|version| version["name"].as_str());
    let newest = names.max_by_key(|name| version_order(name))?;
    (version_order(newest) > version_order(name)).then(|| newest.to_owned())
}

/// The descriptor of a version under the names that were accepted.
pub(super) fn resource(definition: &Value, version: &Version) -> Resource {
    let names = object::at(definition, "status.acceptedNames").cloned().unwrap_or_default();
    let text = |field: &str| names[field].as_str().unwrap_or_default().to_owned();
    let group = object::at(definition, "spec.group").and_then(Value::as_str).unwrap_or_default();
    let verbs = |verbs: &[&str]| verbs.iter().map(|verb| (*verb).to_owned()).collect::<Vec<_>>();
    let all = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
    let (plural, kind) = (text("plural"), text("kind"));
    let mut subresources = BTreeMap::new();
    if version.status {
        let status = Subresource {
            kind: kind.clone(),
            verbs: verbs(&["get", "patch", "update"]),
            ..Subresource::default()
        };
        subresources.insert("status".to_owned(), status);
    }
    if let Some(scale) = &version.scale {
        let scale = Subresource {
            kind: "Scale".to_owned(),
            group: "autoscaling".to_owned(),
            version: "v1".to_owned(),
            verbs: verbs(&["get", "patch", "update"]),
            scale: Some(scale.clone()),
        };
        subresources.insert("scale".to_owned(), scale);
    }
    Resource {
        group: group.to_owned(),
        version: version.name.clone(),
        singular: text("singular"),
        list_kind: text("listKind"),
        short_names: object::strings(names.get("shortNames")),
        categories: object::strings(names.get("categories")),
        namespaced: object::at(definition, "spec.scope").and_then(Value::as_str) != Some("Cluster"),
        verbs: verbs(&all),
        subresources,
        storage_version_hash: super::storage_version_hash(definition),
        storage: Storage {
            prefix: storage_prefix(group, &plural),
            api_version: api_version(group, super::storage_version(definition)),
        },
        strategy: Strategy::custom(version.status),
        selectable: version.selectable.clone(),
        origin: Origin::Custom(Arc::clone(&version.custom)),
        plural,
        kind,
    }
}
