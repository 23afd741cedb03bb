//! `list` and `get`, the same for every kind; a kind adds only its columns.

use anyhow::Context as _;
use jiff::Timestamp;
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::{Api, Client, Resource};
use serde_json::Value;

use crate::cli::{Format, Global, Look};
use crate::output::{self, Table};
use crate::{connect, exit};

/// What a kind adds to `list` and `get`.
pub(crate) struct Shown {
    /// What one object is called in messages.
    pub(crate) noun: &'static str,
    /// Heads of the columns; the last `wide` of them only with `-o wide`.
    pub(crate) head: &'static [&'static str],
    pub(crate) wide: usize,
    /// One cell for each head.
    pub(crate) row: fn(&Value, Timestamp) -> Vec<String>,
    /// The namespace to look in when none is given; `None` looks in all.
    pub(crate) namespace: Option<&'static str>,
}

/// Lists or gets objects of the kind `K`.
pub(crate) async fn run<K>(global: &Global, verb: Look, shown: &Shown) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()>,
{
    let client = connect::client(global).await?;
    let resource = ApiResource::erase::<K>(&());
    let now = Timestamp::now();
    match verb {
        Look::List { namespace, selector } => {
            let objects = api(&client, &resource, namespace.as_deref().or(shown.namespace));
            let parameters = ListParams { label_selector: selector, ..ListParams::default() };
            let found =
                objects.list(&parameters).await.with_context(|| format!("cannot list {}s", shown.noun))?;
            let mut found = values(found.items, &resource)?;
            found.sort_by_key(|object| name(object).to_owned());
            if found.is_empty() && matches!(global.output, Format::Table | Format::Wide) {
                output::note(&format!("No {}s found.", shown.noun));
                return Ok(());
            }
            output::objects(global.output, &found, false, || table(global.output, &found, shown, now))
        }
        Look::Get { name: wanted, namespace } => {
            let found = find(&client, &resource, &wanted, namespace.as_deref().or(shown.namespace)).await?;
            let Some(found) = found else {
                let message = format!(
                    "no {} {wanted:?}: `aphex {} list` shows what is there",
                    shown.noun,
                    verb_of(shown)
                );
                return Err(exit::Coded { code: exit::NOT_FOUND, message }.into());
            };
            let found = values(vec![found], &resource)?;
            output::objects(global.output, &found, true, || table(global.output, &found, shown, now))
        }
    }
}

fn verb_of(shown: &Shown) -> &'static str {
    match shown.noun {
        "organization" => "org",
        "binding" => "repo",
        "knowledge base" => "kb",
        other => other,
    }
}

/// Objects of a kind in one namespace or in all.
pub(crate) fn api(client: &Client, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

/// One object by name; without a namespace, the one of that name wherever it is.
pub(crate) async fn find(
    client: &Client,
    resource: &ApiResource,
    name: &str,
    namespace: Option<&str>,
) -> anyhow::Result<Option<DynamicObject>> {
    let what = || format!("cannot get {} {name:?}", resource.plural);
    if namespace.is_some() {
        return api(client, resource, namespace).get_opt(name).await.with_context(what);
    }
    let parameters = ListParams::default().fields(&format!("metadata.name={name}"));
    let found = api(client, resource, None).list(&parameters).await.with_context(what)?;
    if found.items.len() > 1 {
        anyhow::bail!("{} {name:?} is in several namespaces: give one with -n", resource.plural);
    }
    Ok(found.items.into_iter().next())
}

fn values(objects: Vec<DynamicObject>, resource: &ApiResource) -> anyhow::Result<Vec<Value>> {
    let mut values = Vec::with_capacity(objects.len());
    for object in objects {
        let mut value = serde_json::to_value(object)?;
        // Items of a list come without their type; people want it in the output.
        value["apiVersion"] = Value::from(resource.api_version.clone());
        value["kind"] = Value::from(resource.kind.clone());
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        values.push(value);
    }
    Ok(values)
}

fn table(format: Format, objects: &[Value], shown: &Shown, now: Timestamp) -> Table {
    let columns = shown.head.len() - if format == Format::Wide { 0 } else { shown.wide };
    let mut table = Table::new(&shown.head[..columns]);
    for object in objects {
        let mut cells = (shown.row)(object, now);
        cells.truncate(columns);
        table.row(cells);
    }
    table
}

/// The name of an object.
pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The text at a JSON pointer, or nothing.
pub(crate) fn text(object: &Value, pointer: &str) -> String {
    match object.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// How long ago the object was created.
pub(crate) fn age(object: &Value, now: Timestamp) -> String {
    output::age(text(object, "/metadata/creationTimestamp").parse().ok(), now)
}
