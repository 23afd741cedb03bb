//! `aphex delivery replay`: an event once more, by the triggers as they are now; or what would become of it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use aphex_api::delivery::{Delivery, REPLAY_ANNOTATION, listener_namespace};
use aphex_gateway::decision::Case;
use aphex_gateway::inbox::Inbox;
use aphex_gateway::reach::Reach;
use aphex_gateway::secrets::SecretCache;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::ApiResource;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::fate::Fates;
use super::{explain, find, payload_of};
use crate::cli::{Format, Global, Replay};
use crate::commands::apply::MANAGER;
use crate::commands::look;
use crate::commands::push::{reason_so_far, unless_failed};
use crate::commands::trial::Trial;
use crate::commands::trial::objects::Book;
use crate::commands::trial::rehearsal::{self, Rehearsed};
use crate::output::{self, note, say, say_lines};
use crate::rights::{self, Wish};
use crate::{connect, exit};

pub(super) async fn run(global: &Global, arguments: Replay) -> anyhow::Result<()> {
    let client = connect::client(global).await?;
    let delivery = find(&client, &arguments.name, arguments.namespace.as_deref()).await?;
    // Each replay creates anew, under names of its own.
    let token = Timestamp::now().to_string();
    if arguments.dry_run {
        return dry_run(global, &client, &arguments, &delivery, &token).await;
    }
    let asked = ask(&client, &delivery, &token).await?;
    if arguments.no_wait {
        let object = look::typed(&asked)?;
        let title = output::title(&object);
        return output::answer(&global.output, &object, &title, || say(&format!("{title} will be replayed")));
    }
    let done = verdict(&client, &delivery, &token, Duration::from_secs(arguments.wait)).await?;
    let object = look::typed(&done)?;
    output::answer(&global.output, &object, &output::title(&object), || {
        say_lines(&explain::delivery(&done, &Fates::default()));
    })?;
    unless_failed("replay", &done)
}

async fn ask(client: &Client, delivery: &Delivery, token: &str) -> anyhow::Result<Delivery> {
    let (name, namespace) = (delivery.name_any(), delivery.namespace().unwrap_or_default());
    let resource = ApiResource::erase::<Delivery>(&());
    rights::ensure(client, Wish::new("patch", &resource, &namespace).named(&name)).await?;
    let api: Api<Delivery> = Api::namespaced(client.clone(), &namespace);
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let annotation = json!({ "metadata": { "annotations": { REPLAY_ANNOTATION: token } } });
    api.patch(&name, &params, &Patch::Merge(annotation))
        .await
        .with_context(|| format!("cannot ask for a replay of delivery {name:?}"))
}

/// The delivery once the replay has its verdict.
async fn verdict(
    client: &Client,
    delivery: &Delivery,
    token: &str,
    patience: Duration,
) -> anyhow::Result<Delivery> {
    let (name, namespace) = (delivery.name_any(), delivery.namespace().unwrap_or_default());
    let api: Api<Delivery> = Api::namespaced(client.clone(), &namespace);
    let decided = |found: Option<&Delivery>| {
        let status = found.and_then(|found| found.status.as_ref());
        status.is_some_and(|status| status.observed_replay.as_deref() == Some(token))
    };
    let Ok(found) = tokio::time::timeout(patience, await_condition(api, &name, decided)).await else {
        let reason = reason_so_far(client, &namespace, &name).await;
        let message = format!(
            "no verdict on the replay after {} s{reason}: `aphex delivery get {name} -n {namespace}` shows how it goes on",
            patience.as_secs()
        );
        return Err(exit::Coded { code: exit::TIMED_OUT, message }.into());
    };
    found.context("cannot watch the delivery")?.context("the delivery was deleted while it was replayed")
}

/// What would become of it. The engine is asked to check each object and to store none.
async fn dry_run(
    global: &Global,
    client: &Client,
    arguments: &Replay,
    delivery: &Delivery,
    token: &str,
) -> anyhow::Result<()> {
    let payload = payload_of(client, delivery).await?;
    let case = Case::of(delivery, payload, Some(token), Timestamp::now());
    let places = BTreeSet::from([listener_namespace(delivery).to_owned()]);
    let book = Book::of_engine(client, &places).await?;
    let decider = arguments
        .asking
        .decider(book.view().0, SecretCache::new(client.clone(), Reach::new(Inbox::ENGINE_TIMEOUT)));
    let trial = Trial::of(decider.decide(&case).await);
    let rehearsed = rehearsal::rehearse(client, &trial, &case.event.id).await?;
    let refused = rehearsed.iter().any(Rehearsed::is_refused);
    match &global.output {
        Format::Table | Format::Wide => {
            note("dry run: nothing is written");
            say_lines(&trial.lines());
            let checked: Vec<String> = rehearsed.iter().map(Rehearsed::line).collect();
            if !checked.is_empty() {
                say_lines(&checked);
            }
        }
        Format::Name => trial.resources().for_each(|resource| say(&output::title(resource))),
        form => {
            let mut document = trial.document()?;
            document["dryRun"] = Value::from(true);
            document["checked"] = rehearsed.iter().map(Rehearsed::document).collect();
            output::print(&output::rendered(form, &document)?.unwrap_or_default());
        }
    }
    if refused || trial.failed() {
        let message = "the replay would fail: see above".to_owned();
        return Err(exit::Coded { code: exit::FAILURE, message }.into());
    }
    Ok(())
}
