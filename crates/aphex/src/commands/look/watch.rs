//! `--watch`: what is there, then each object that changes, as `kubectl get --watch` shows it.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use aphex_runtime::errors::chain;
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::Api;
use kube::api::DynamicObject;
use kube::core::{ApiResource, Status};
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::Value;

use super::{Query, View, plural, table, value};
use crate::cli::{Format, Global};
use crate::output::{self, Feed, note};

/// A version that the server keeps no longer: the watch begins anew.
const GONE: u16 = 410;

/// How long after a fault the server is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Shows changes until the server refuses, or nobody reads any more. Once it has shown what is there, it outlasts a server
/// that goes away for a while.
pub(super) async fn run(
    global: &Global,
    objects: Api<DynamicObject>,
    resource: &ApiResource,
    config: watcher::Config,
    view: View<'_>,
    query: &Query<'_>,
) -> anyhow::Result<()> {
    let mut events = pin!(watcher(objects, config));
    let mut feed = Feed::new(&global.output);
    let mut print = |objects: &[Value]| {
        feed.print(objects, output::title, || table(&global.output, objects, view, Timestamp::now()))
    };
    let mut known = HashMap::new();
    let mut fresh = Vec::new();
    let (mut begun, mut away) = (false, false);
    while let Some(event) = events.next().await {
        let event = match event {
            Err(watcher::Error::WatchError(status)) if status.code == GONE => continue,
            Err(error) if begun && may_pass(&error) => {
                if !std::mem::replace(&mut away, true) {
                    let said = chain(&bare(error)).replace('\n', " ");
                    note(&format!("cannot watch {} for now, and goes on trying: {said}", plural(view.shown)));
                }
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(error) => {
                return Err(bare(error)).with_context(|| format!("cannot watch {}", plural(view.shown)));
            }
            Ok(event) => event,
        };
        away &= matches!(event, Event::Init | Event::InitApply(_));
        let read = match event {
            Event::Init => true,
            Event::InitApply(object) => {
                if is_news(&mut known, &object) {
                    fresh.push(value(object, resource)?);
                }
                true
            }
            Event::InitDone => {
                fresh.retain(|object| (query.wanted)(object));
                fresh.sort_by_key(query.order);
                begun = true;
                print(&std::mem::take(&mut fresh))?
            }
            Event::Apply(object) => {
                let news = is_news(&mut known, &object);
                let object = value(object, resource)?;
                !news || !(query.wanted)(&object) || print(&[object])?
            }
            Event::Delete(object) => {
                known.remove(&object.metadata.uid);
                let object = value(object, resource)?;
                !(query.wanted)(&object) || leaves(&global.output, &object, &mut print)?
            }
        };
        if !read {
            return Ok(());
        }
    }
    Ok(())
}

/// What the server or the way to it said. The watcher's own words have it in them already.
fn bare(error: watcher::Error) -> kube::Error {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error,
        watcher::Error::WatchError(status) => kube::Error::Api(status),
        watcher::Error::NoResourceVersion => kube::Error::Service(error.into()),
    }
}

/// Whether the server may answer again without anybody changing rights, login or kind.
fn may_pass(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => match error {
            kube::Error::Api(status) => is_of_the_moment(status),
            kube::Error::Auth(_) => false,
            _ => true,
        },
        watcher::Error::WatchError(status) => is_of_the_moment(status),
        watcher::Error::NoResourceVersion => false,
    }
}

fn is_of_the_moment(status: &Status) -> bool {
    matches!(status.code, GONE | 429 | 500..)
}

/// Says that an object is gone: programs get it as it was last, people a line that is no row.
fn leaves(
    format: &Format,
    object: &Value,
    print: &mut impl FnMut(&[Value]) -> anyhow::Result<bool>,
) -> anyhow::Result<bool> {
    if format.is_for_people() {
        return Ok(output::say_on(&format!("{} deleted", output::title(object))));
    }
    print(std::slice::from_ref(object))
}

/// Whether this version of the object was not shown yet.
fn is_news(known: &mut HashMap<Option<String>, Option<String>>, object: &DynamicObject) -> bool {
    let version = object.metadata.resource_version.clone();
    known.insert(object.metadata.uid.clone(), version.clone()) != Some(version)
}
