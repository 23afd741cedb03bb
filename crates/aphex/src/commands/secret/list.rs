//! `aphex secret list`: keys and when they were set, of one organization or of all, once or whenever they change.

use std::collections::BTreeMap;
use std::pin::pin;

use anyhow::Context as _;
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::{NAME, Place, updated};
use crate::cli::{Format, Global, ListSecrets};
use crate::connect;
use crate::output::{self, Table, note, say};

/// Namespaces of organizations begin so.
const PREFIX: &str = "org-";
/// A version that the server keeps no longer: the watch begins anew.
const GONE: u16 = 410;

/// Keys of an organization, with the times at which they were set.
type Keys = BTreeMap<String, Option<Timestamp>>;

pub(super) async fn run(global: &Global, arguments: ListSecrets) -> anyhow::Result<()> {
    let place = match &arguments.organization {
        Some(organization) => Some(Place::of(global, organization).await?),
        None => None,
    };
    let api: Api<Secret> = match &place {
        Some(place) => place.secrets(),
        None => Api::all(connect::client(global).await?),
    };
    let namespace = place.as_ref().map(|place| place.namespace.clone());
    let view = View { format: &global.output, one: arguments.organization.clone(), namespace };
    if arguments.watch {
        return follow(api, &view).await;
    }
    let secrets = if let Some(place) = &place {
        // Whoever may get this one may perhaps list none.
        place.read().await?.into_iter().collect()
    } else {
        let parameters = ListParams::default().fields(&format!("metadata.name={NAME}"));
        let found = api.list(&parameters).await;
        found.with_context(|| format!("cannot list Secrets {NAME} in all namespaces"))?.items
    };
    let found: BTreeMap<String, Keys> = secrets.iter().filter_map(keys).collect();
    if found.is_empty() && global.output.is_for_people() {
        let organization = arguments.organization.as_deref().unwrap_or("ORGANIZATION");
        note(&format!("No secrets found: `aphex secret set {organization} KEY` sets one."));
        return Ok(());
    }
    output::show_on(view.format, &view.render(&found)?);
    Ok(())
}

/// Shows what is there, and all of it again when a key or its time changes.
async fn follow(api: Api<Secret>, view: &View<'_>) -> anyhow::Result<()> {
    let config = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
    let mut events = pin!(watcher(api, config));
    let (mut found, mut shown) = (BTreeMap::<String, Keys>::new(), None);
    let mut complete = false;
    while let Some(event) = events.next().await {
        match event {
            Err(watcher::Error::WatchError(status)) if status.code == GONE => continue,
            Err(error) => return Err(error).with_context(|| format!("cannot watch Secrets {NAME}")),
            Ok(Event::Init) => {
                found.clear();
                complete = false;
            }
            Ok(Event::InitDone) => complete = true,
            Ok(Event::InitApply(secret) | Event::Apply(secret)) => found.extend(keys(&secret)),
            Ok(Event::Delete(secret)) => {
                found.retain(|organization, _| Some(organization) != organization_of(&secret).as_ref());
            }
        }
        if !complete || shown.as_ref() == Some(&found) {
            continue;
        }
        if shown.is_some() {
            view.separate();
        }
        if !output::show_on(view.format, &view.render(&found)?) {
            return Ok(());
        }
        shown = Some(found.clone());
    }
    Ok(())
}

fn organization_of(secret: &Secret) -> Option<String> {
    secret.namespace()?.strip_prefix(PREFIX).map(str::to_owned)
}

/// The keys of an organization's Secret; none where a namespace that is no organization's has one of the name.
fn keys(secret: &Secret) -> Option<(String, Keys)> {
    let keys = secret.data.iter().flatten().map(|(key, _)| (key.clone(), updated(secret, key)));
    Some((organization_of(secret)?, keys.collect()))
}

/// How keys are shown.
struct View<'a> {
    format: &'a Format,
    /// Only this organization, in its namespace.
    one: Option<String>,
    namespace: Option<String>,
}

impl View<'_> {
    fn separate(&self) {
        match self.format {
            Format::Table | Format::Wide => say(""),
            Format::Yaml => say("---"),
            _ => {}
        }
    }

    fn render(&self, found: &BTreeMap<String, Keys>) -> anyhow::Result<String> {
        if let Some(text) = output::rendered(self.format, &self.document(found))? {
            return Ok(text);
        }
        let all =
            found.iter().flat_map(|(organization, keys)| keys.iter().map(move |key| (organization, key)));
        if !self.format.is_for_people() {
            let names = all.map(|(organization, (key, _))| match self.one {
                Some(_) => key.clone(),
                None => format!("{organization}/{key}"),
            });
            return Ok(names.collect::<Vec<_>>().join("\n"));
        }
        let now = Timestamp::now();
        let mut table =
            Table::new(if self.one.is_some() { &["KEY", "AGE"] } else { &["ORGANIZATION", "KEY", "AGE"] });
        for (organization, (key, time)) in all {
            let mut row = vec![key.clone(), output::age(*time, now)];
            if self.one.is_none() {
                row.insert(0, organization.clone());
            }
            table.row(row);
        }
        Ok(table.render().trim_end().to_owned())
    }

    fn document(&self, found: &BTreeMap<String, Keys>) -> Value {
        if let (Some(organization), Some(namespace)) = (&self.one, &self.namespace) {
            return one(organization, namespace, found.get(organization));
        }
        let all = found
            .iter()
            .map(|(organization, keys)| one(organization, &format!("{PREFIX}{organization}"), Some(keys)));
        json!({ "apiVersion": "v1", "kind": "List", "items": all.collect::<Vec<_>>() })
    }
}

/// An organization's keys for programs.
fn one(organization: &str, namespace: &str, keys: Option<&Keys>) -> Value {
    let keys = keys.into_iter().flatten();
    let keys: Vec<Value> = keys.map(|(key, time)| json!({ "key": key, "updated": time })).collect();
    json!({ "organization": organization, "namespace": namespace, "keys": keys })
}

/// The same from the Secret, whose values stay where they are.
pub(super) fn of_one(organization: &str, namespace: &str, secret: &Secret) -> Value {
    one(organization, namespace, keys(secret).map(|(_, keys)| keys).as_ref())
}
