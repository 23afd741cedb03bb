//! `describe`, `apply` and `delete`, the same for every kind that people keep.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context as _;
use kube::api::{DeleteParams, Preconditions};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::wait::await_condition;
use kube::{Client, Resource};
use serde_json::Value;

use super::look::{self, Shown};
use super::{apply, describe};
use crate::cli::{Apply, Delete, Describe, DescribeOne, Described, Global, Tend};
use crate::output::{note, say, value};
use crate::rights::{self, Wish};
use crate::{ask, connect, exit, output};

/// Does what was asked with objects of the kind `K`.
pub(crate) async fn run<K>(
    global: &Global,
    verb: Tend,
    shown: &Shown,
    described: Described,
) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()>,
{
    match verb {
        Tend::Look(look) => look::run::<K>(global, look, shown).await,
        Tend::Describe(one) => describe_one(global, one, described).await,
        Tend::Apply(arguments) => apply_kind::<K>(global, arguments).await,
        Tend::Delete(arguments) => delete::<K>(global, &arguments, shown).await,
    }
}

pub(super) async fn describe_one(global: &Global, one: DescribeOne, kind: Described) -> anyhow::Result<()> {
    describe::run(global, Describe { kind, one }).await
}

/// Applies files that hold this kind and no other.
async fn apply_kind<K: Resource<DynamicType = ()>>(global: &Global, arguments: Apply) -> anyhow::Result<()> {
    let resource = ApiResource::erase::<K>(&());
    let objects = apply::read_all(&arguments.files)?;
    for object in &objects {
        let (api_version, kind) = (look::text(object, "/apiVersion"), look::text(object, "/kind"));
        if kind != resource.kind || api_version.split('/').next() != Some(resource.group.as_str()) {
            let message = format!(
                "{} is not of kind {}: `aphex apply` takes every kind",
                output::title(object),
                resource.kind
            );
            return Err(exit::Coded { code: exit::USAGE, message }.into());
        }
    }
    let client = connect::client(global).await?;
    for object in &objects {
        let namespace = match look::text(object, "/metadata/namespace") {
            none if none.is_empty() => client.default_namespace().to_owned(),
            namespace => namespace,
        };
        rights::ensure(&client, Wish::new("patch", &resource, &namespace).named(look::name(object))).await?;
    }
    apply::apply_all(global, &client, &objects, &arguments).await
}

/// Deletes by name, after asking.
pub(super) async fn delete<K: Resource<DynamicType = ()>>(
    global: &Global,
    arguments: &Delete,
    shown: &Shown,
) -> anyhow::Result<()> {
    let client = connect::client(global).await?;
    let resource = ApiResource::erase::<K>(&());
    let mut found = Vec::new();
    for name in &arguments.names {
        let object = look::must_find(&client, &resource, name, arguments.namespace.as_deref(), shown).await?;
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        let name = look::bare(name, &resource);
        rights::ensure(&client, Wish::new("delete", &resource, namespace).named(name)).await?;
        found.push(object);
    }
    let names = arguments.names.join(", ");
    ask::consent(&format!("Delete {} {names}{}?", shown.noun, shown.goes_with_it), arguments.yes)?;
    for object in &found {
        let (objects, name) = place(&client, &resource, object);
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: object.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        objects
            .delete(name, &parameters)
            .await
            .with_context(|| format!("cannot delete {} {name:?}", shown.noun))?;
        let value = look::value(object.clone(), &resource)?;
        let title = output::title(&value);
        output::answer(&global.output, &value, &title, || say(&format!("{title} deleted")))?;
    }
    if let Some(seconds) = arguments.wait {
        for object in &found {
            wait_until_gone(&client, &resource, object, Duration::from_secs(seconds), shown).await?;
        }
    }
    Ok(())
}

fn place<'a>(
    client: &Client,
    resource: &ApiResource,
    object: &'a DynamicObject,
) -> (kube::Api<DynamicObject>, &'a str) {
    let objects = look::api(client, resource, object.metadata.namespace.as_deref());
    (objects, object.metadata.name.as_deref().unwrap_or_default())
}

/// Waits for the object's end; its controller may say meanwhile what it waits for.
async fn wait_until_gone(
    client: &Client,
    resource: &ApiResource,
    object: &DynamicObject,
    limit: Duration,
    shown: &Shown,
) -> anyhow::Result<()> {
    let (objects, name) = place(client, resource, object);
    let uid = object.metadata.uid.clone();
    let last = Mutex::new(String::new());
    let gone = |current: Option<&DynamicObject>| {
        let Some(current) = current.filter(|current| current.metadata.uid == uid) else { return true };
        let message = current.data.pointer("/status/message").and_then(Value::as_str).unwrap_or_default();
        if let Ok(mut last) = last.lock()
            && !message.is_empty()
            && *last != message
        {
            note(&value(&format!("  {} {name}: {message}", shown.noun)));
            message.clone_into(&mut last);
        }
        false
    };
    if let Ok(ended) = tokio::time::timeout(limit, await_condition(objects, name, gone)).await {
        return ended.map(drop).with_context(|| format!("cannot watch {} {name:?}", shown.noun));
    }
    let said = last.lock().map(|last| last.clone()).unwrap_or_default();
    let message = format!(
        "{} {name:?} is still there after {} s; its status says: {said:?}. The deletion goes on; `aphex {} get {name}` \
         shows whether it has ended",
        shown.noun,
        limit.as_secs(),
        shown.command
    );
    Err(exit::Coded { code: exit::TIMED_OUT, message }.into())
}
