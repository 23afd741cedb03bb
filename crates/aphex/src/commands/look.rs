//! `list` and `get`, the same for every kind; a kind adds only its columns.

mod watch;

use anyhow::Context as _;
use jiff::Timestamp;
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde_json::Value;

use crate::cli::{Format, Global, List, Look, Named, Within};
use crate::output::{self, Table, Tone};
use crate::{connect, exit, nearest};

/// The column that says where an object is.
const NAMESPACE: &str = "NAMESPACE";
/// Columns whose words say how an object is, and are coloured so.
const STATUS: [&str; 3] = ["PHASE", "STATE", "VERDICT"];

/// What a kind adds to the commands that all kinds have.
pub(crate) struct Shown {
    /// What one object is called in messages.
    pub(crate) noun: &'static str,
    /// The word on the command line.
    pub(crate) command: &'static str,
    /// Heads of the columns; the last `wide` of them only with `-o wide`.
    pub(crate) head: &'static [&'static str],
    pub(crate) wide: usize,
    /// One cell for each head.
    pub(crate) row: fn(&Value, Timestamp) -> Vec<String>,
    /// The namespace to look in when none is given; `None` looks in all.
    pub(crate) namespace: Option<&'static str>,
    /// What goes with an object that is deleted.
    pub(crate) goes_with_it: &'static str,
}

/// Lists or gets objects of the kind `K`.
pub(crate) async fn run<K>(global: &Global, verb: Look, shown: &Shown) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()>,
{
    let client = connect::client(global).await?;
    let resource = ApiResource::erase::<K>(&());
    match verb {
        Look::List(arguments) => list(global, &client, &resource, arguments, shown).await,
        Look::Get(arguments) => get(global, &client, &resource, arguments, shown).await,
    }
}

async fn list(
    global: &Global,
    client: &Client,
    resource: &ApiResource,
    arguments: List,
    shown: &Shown,
) -> anyhow::Result<()> {
    let List { within, watch } = arguments;
    let query = Query { within, watch, wanted: &|_| true, order: by_name };
    list_some(global, client, resource, query, shown).await
}

/// Which objects are listed, and in what order.
pub(crate) struct Query<'a> {
    pub(crate) within: Within,
    /// Go on and show each that changes.
    pub(crate) watch: bool,
    /// What the server cannot select by.
    pub(crate) wanted: &'a dyn Fn(&Value) -> bool,
    pub(crate) order: fn(&Value) -> (String, String),
}

/// Lists the objects that a query asks for.
pub(crate) async fn list_some(
    global: &Global,
    client: &Client,
    resource: &ApiResource,
    query: Query<'_>,
    shown: &Shown,
) -> anyhow::Result<()> {
    let within = &query.within;
    let given = within.namespace.as_deref().or(shown.namespace);
    let namespace = if within.all_namespaces { None } else { place(client, given) };
    let objects = api(client, resource, namespace);
    let view = View { shown, everywhere: within.all_namespaces };
    let selector = within.selector.clone();
    if query.watch {
        let config = watcher::Config { label_selector: selector, ..watcher::Config::default() };
        return watch::run(global, objects, resource, config, view, &query).await;
    }
    let parameters = ListParams { label_selector: selector, ..ListParams::default() };
    let found = objects.list(&parameters).await.with_context(|| format!("cannot list {}", plural(shown)))?;
    let mut found = values(found.items, resource)?;
    found.retain(|object| (query.wanted)(object));
    found.sort_by_key(query.order);
    if found.is_empty() && global.output.is_for_people() {
        // Who did not say where may not know where this was.
        let place = namespace.filter(|_| given.is_none()).map(|namespace| format!(" in {namespace}"));
        output::note(&format!("No {} found{}.", plural(shown), place.unwrap_or_default()));
        return Ok(());
    }
    let now = Timestamp::now();
    output::objects(&global.output, &found, false, || table(&global.output, &found, view, now))
}

async fn get(
    global: &Global,
    client: &Client,
    resource: &ApiResource,
    arguments: Named,
    shown: &Shown,
) -> anyhow::Result<()> {
    let found = must_find(client, resource, &arguments.name, arguments.namespace.as_deref(), shown).await?;
    let view = View { shown, everywhere: false };
    if arguments.watch {
        let objects = api(client, resource, found.metadata.namespace.as_deref());
        let config =
            watcher::Config::default().fields(&format!("metadata.name={}", bare(&arguments.name, resource)));
        let query = Query { within: Within::default(), watch: true, wanted: &|_| true, order: by_name };
        return watch::run(global, objects, resource, config, view, &query).await;
    }
    let (found, now) = (values(vec![found], resource)?, Timestamp::now());
    output::objects(&global.output, &found, true, || table(&global.output, &found, view, now))
}

/// By namespace and name.
pub(crate) fn by_name(object: &Value) -> (String, String) {
    (text(object, "/metadata/namespace"), name(object).to_owned())
}

fn plural(shown: &Shown) -> String {
    match shown.noun.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{}s", shown.noun),
    }
}

/// Objects of a kind in one namespace or in all.
pub(crate) fn api(client: &Client, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

/// The name without the kind that `-o name` prints before it.
pub(crate) fn bare<'a>(name: &'a str, resource: &ApiResource) -> &'a str {
    let kind = resource.kind.to_lowercase();
    match name.split_once('/') {
        Some((before, name)) if before == kind || before == format!("{kind}.{}", resource.group) => name,
        _ => name,
    }
}

/// One object by name; an error that knows names like it where there is none.
pub(crate) async fn must_find(
    client: &Client,
    resource: &ApiResource,
    wanted: &str,
    namespace: Option<&str>,
    shown: &Shown,
) -> anyhow::Result<DynamicObject> {
    let wanted = bare(wanted, resource);
    let namespace = place(client, namespace.or(shown.namespace));
    if let Some(found) = find(client, resource, wanted, namespace).await? {
        return Ok(found);
    }
    // Only a hint: whoever may get may perhaps not list.
    let others = api(client, resource, namespace).list_metadata(&ListParams::default()).await;
    let names = others.map(|list| list.items).unwrap_or_default().into_iter().filter_map(|o| o.metadata.name);
    let within = namespace.map(|namespace| format!(" in {namespace}")).unwrap_or_default();
    let hint = match nearest::among(wanted, names) {
        Some(other) => format!("did you mean {other:?}?"),
        None => format!("`aphex {} list` shows what is there", shown.command),
    };
    let message = format!("no {} {wanted:?}{within}: {hint}", shown.noun);
    Err(exit::Coded { code: exit::NOT_FOUND, message }.into())
}

/// Where to look: in the namespace that was given, else in that of the kubeconfig's context, else in all.
///
/// A context that names none has `default`, where nothing of the platform is.
pub(crate) fn place<'a>(client: &'a Client, given: Option<&'a str>) -> Option<&'a str> {
    given.or_else(|| Some(client.default_namespace()).filter(|namespace| *namespace != "default"))
}

/// One object by name; without a namespace and a context that names one, the one of that name wherever it is.
pub(crate) async fn find(
    client: &Client,
    resource: &ApiResource,
    name: &str,
    namespace: Option<&str>,
) -> anyhow::Result<Option<DynamicObject>> {
    let (name, namespace) = (bare(name, resource), place(client, namespace));
    let what = || format!("cannot get {} {name:?}", resource.plural);
    if namespace.is_some() {
        return api(client, resource, namespace).get_opt(name).await.with_context(what);
    }
    let parameters = ListParams::default().fields(&format!("metadata.name={name}"));
    let found = api(client, resource, None).list(&parameters).await.with_context(what)?;
    if found.items.len() > 1 {
        let places: Vec<&str> =
            found.items.iter().filter_map(|object| object.metadata.namespace.as_deref()).collect();
        let message = format!(
            "{} {name:?} is in several namespaces: give one of {} with -n",
            resource.plural,
            places.join(", ")
        );
        return Err(exit::Coded { code: exit::USAGE, message }.into());
    }
    Ok(found.items.into_iter().next())
}

fn values(objects: Vec<DynamicObject>, resource: &ApiResource) -> anyhow::Result<Vec<Value>> {
    objects.into_iter().map(|object| value(object, resource)).collect()
}

/// An object as people see it: with its type, without the bookkeeping of field managers.
pub(crate) fn value(object: DynamicObject, resource: &ApiResource) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(object)?;
    // Items of a list come without their type; people want it in the output.
    value["apiVersion"] = Value::from(resource.api_version.clone());
    value["kind"] = Value::from(resource.kind.clone());
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    Ok(value)
}

/// The same of an object whose kind is known.
pub(crate) fn typed<K>(object: &K) -> anyhow::Result<Value>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    let object: DynamicObject = serde_json::from_value(serde_json::to_value(object)?)?;
    value(object, &ApiResource::erase::<K>(&()))
}

/// Which columns are shown.
#[derive(Clone, Copy)]
struct View<'a> {
    shown: &'a Shown,
    /// Objects of several namespaces are told apart, where the kind's own columns do not.
    everywhere: bool,
}

fn table(format: &Format, objects: &[Value], view: View<'_>, now: Timestamp) -> Table {
    let shown = view.shown;
    let columns = shown.head.len() - if *format == Format::Wide { 0 } else { shown.wide };
    let mut head = shown.head[..columns].to_vec();
    let place = view.everywhere && !head.contains(&NAMESPACE);
    if place {
        head.insert(0, NAMESPACE);
    }
    let status = head.iter().position(|head| STATUS.contains(head));
    let mut table = Table::new(&head);
    for object in objects {
        let mut cells = (shown.row)(object, now);
        cells.truncate(columns);
        if place {
            cells.insert(0, text(object, "/metadata/namespace"));
        }
        let tone = status.and_then(|column| Some((column, Tone::of(object, cells.get(column)?)?)));
        table.toned_row(cells, tone);
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
