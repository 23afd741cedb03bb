//! `aphex trigger backtest`: which stored deliveries changed triggers would decide otherwise. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Context as _;
use aphex_api::delivery::{Delivery, TriggerVerdict, listener_namespace};
use aphex_gateway::decision::{Case, Decider};
use aphex_gateway::deliveries::{UnpackError, fetch_payload};
use aphex_gateway::inbox::Inbox;
use aphex_gateway::reach::Reach;
use aphex_gateway::secrets::SecretCache;
use jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use similar::TextDiff;

use super::changes::Changes;
use super::{documents, tell};
use crate::cli::{Backtest, Format, Global};
use crate::commands::apply;
use crate::commands::delivery::Filter;
use crate::commands::look;
use crate::commands::trial::Trial;
use crate::commands::trial::objects::{Book, Problem};
use crate::output::{self, paint_answer, say, say_lines};
use crate::{connect, exit};

/// Deliveries that are asked for at once.
const PAGE: u32 = 200;
/// Lines of context around a change.
const CONTEXT: usize = 3;

/// What came of it.
struct Answer {
    evaluated: usize,
    without_payload: usize,
    /// Payloads that whoever asks may not read.
    refused: usize,
    different: Vec<Different>,
    problems: Vec<Problem>,
}

/// An event, or why there is none.
enum Event {
    Kept(Box<Case>),
    NotKept,
    Refused,
}

/// A delivery that would be decided otherwise.
struct Different {
    delivery: Delivery,
    before: Trial,
    after: Trial,
}

pub(super) async fn run(global: &Global, arguments: Backtest) -> anyhow::Result<u8> {
    let failed = || exit::Coded { code: exit::FAILURE, message: "the triggers were not tested".to_owned() };
    let answer = make(global, &arguments).await.map_err(|error| error.context(failed()))?;
    match &global.output {
        Format::Table | Format::Wide => people(&answer)?,
        Format::Name => {
            tell(&answer.problems);
            for one in &answer.different {
                say(&format!("delivery.aphex.io/{}", one.delivery.name_any()));
            }
        }
        form => output::print(&output::rendered(form, &document(&answer)?)?.unwrap_or_default()),
    }
    Ok(match (&answer.problems[..], &answer.different[..]) {
        ([_, ..], _) => exit::FAILURE,
        ([], []) => exit::DONE,
        _ => exit::CHANGES,
    })
}

async fn make(global: &Global, arguments: &Backtest) -> anyhow::Result<Answer> {
    let objects = apply::read_all(&arguments.files)?;
    let client = connect::client(global).await?;
    let mut changes = Changes::of(&client, objects).await?;
    let deliveries = deliveries(&client, arguments).await?;
    let places: BTreeSet<String> =
        deliveries.iter().map(|delivery| listener_namespace(delivery).to_owned()).collect();
    let now = Book::of_engine(&client, &places).await?;
    let secrets = SecretCache::new(client.clone(), Reach::new(Inbox::ENGINE_TIMEOUT));
    let decider = |book: &Book| arguments.asking.decider(book.view().0, secrets.clone());
    let (before, after) = (decider(&now), decider(&changes.on(&now)));
    let problems = changes.problems;
    let mut answer = Answer { evaluated: 0, without_payload: 0, refused: 0, different: Vec::new(), problems };
    for delivery in deliveries {
        let case = match event(&client, &delivery).await? {
            Event::Kept(case) => case,
            Event::NotKept => {
                answer.without_payload += 1;
                continue;
            }
            Event::Refused => {
                answer.refused += 1;
                continue;
            }
        };
        answer.evaluated += 1;
        let (before, after) = (decide(&before, &case).await, decide(&after, &case).await);
        if essence(&before) != essence(&after) {
            answer.different.push(Different { delivery, before, after });
        }
    }
    Ok(answer)
}

async fn decide(decider: &Decider, case: &Case) -> Trial {
    Trial::of(decider.decide(case).await)
}

/// The deliveries that filters leave, the oldest first.
async fn deliveries(client: &Client, arguments: &Backtest) -> anyhow::Result<Vec<Delivery>> {
    let filter = Filter::of(&arguments.filters, Timestamp::now());
    let within = &arguments.filters.within;
    let place = if within.all_namespaces { None } else { look::place(client, within.namespace.as_deref()) };
    let api: Api<Delivery> = match place {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let selector = filter.selector(arguments.filters.within.selector.as_deref());
    let mut parameters = ListParams { label_selector: selector, ..ListParams::default() }.limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = api.list(&parameters).await.context("cannot list deliveries")?;
        found.extend(page.items.into_iter().filter(|delivery| filter.wants_delivery(delivery)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => break,
        }
    }
    found.sort_by_key(|delivery| delivery.spec.received_time.as_ref().map(|time| time.0));
    Ok(found)
}

/// The event, if its payload was kept; as if it came now, wherever its Delivery is kept.
async fn event(client: &Client, delivery: &Delivery) -> anyhow::Result<Event> {
    if delivery.spec.payload.is_empty() && delivery.spec.payload_parts == 0 {
        return Ok(Event::NotKept);
    }
    let payload = match fetch_payload(client, delivery).await {
        Ok(payload) => payload,
        Err(UnpackError::Refused { .. }) => return Ok(Event::Refused),
        Err(error) if error.may_pass() => {
            let name = format!("{}/{}", delivery.namespace().unwrap_or_default(), delivery.name_any());
            return Err(error).with_context(|| format!("cannot read the payload of Delivery {name}"));
        }
        // A part that is gone, or nothing that the gateway could read either.
        Err(_) => return Ok(Event::NotKept),
    };
    let mut case = Case::of(delivery, payload, None, Timestamp::now());
    case.kept_in.clone_from(&case.listener_namespace);
    Ok(Event::Kept(Box::new(case)))
}

/// What counts as a decision: verdicts, parameters, objects. Which words a refusal has does not.
fn essence(trial: &Trial) -> Value {
    let triggers: BTreeMap<String, Value> = trial
        .triggers
        .iter()
        .map(|tried| {
            let result = &tried.result;
            let group = result.group.as_ref().map(|group| format!("{group}: ")).unwrap_or_default();
            let made = result.verdict == TriggerVerdict::Created;
            let value = json!({
                "verdict": result.verdict,
                "serviceAccount": made.then(|| format!("{}/{}", tried.account.namespace, tried.account.name)),
                "params": result.params,
                "resources": tried.resources,
            });
            (format!("{group}{}/{}", result.namespace, result.name), value)
        })
        .collect();
    json!({ "verdict": trial.word(), "triggers": triggers })
}

fn yaml_diff(before: &Value, after: &Value) -> anyhow::Result<String> {
    let (before, after) = (serde_saphyr::to_string(before)?, serde_saphyr::to_string(after)?);
    let diff = TextDiff::from_lines(before.as_str(), after.as_str());
    Ok(diff.unified_diff().context_radius(CONTEXT).header("now", "changed").to_string())
}

/// What differs, for people: verdicts trigger by trigger, and the diff of what is created either way.
fn differences(one: &Different) -> anyhow::Result<Vec<String>> {
    let (mut before, mut after) = (essence(&one.before), essence(&one.after));
    let names = |essence: &Value| -> BTreeSet<String> {
        essence["triggers"].as_object().into_iter().flat_map(|triggers| triggers.keys().cloned()).collect()
    };
    let mut lines = Vec::new();
    for name in &names(&before) | &names(&after) {
        let word = |essence: &Value| {
            essence["triggers"][&name]["verdict"].as_str().unwrap_or("not asked").to_owned()
        };
        let (was, becomes) = (word(&before), word(&after));
        if was != becomes {
            lines.push(format!("trigger {name}: {was}, changed: {becomes}"));
            for side in [&mut before, &mut after] {
                side["triggers"].as_object_mut().and_then(|triggers| triggers.remove(&name));
            }
        }
    }
    let diff = yaml_diff(&before["triggers"], &after["triggers"])?;
    lines.extend(diff.lines().map(str::to_owned));
    Ok(lines)
}

fn people(answer: &Answer) -> anyhow::Result<()> {
    tell(&answer.problems);
    for one in &answer.different {
        let spec = &one.delivery.spec;
        let name = format!("{}/{}", one.delivery.namespace().unwrap_or_default(), one.delivery.name_any());
        let title = format!("{name}: {} of {} {}", spec.event, spec.repository, spec.git_ref);
        let mut lines = vec![paint_answer(title.trim_end(), "1;33")];
        lines.push(format!("  now      {}: {}", one.before.word(), one.before.message));
        lines.push(format!("  changed  {}: {}", one.after.word(), one.after.message));
        for line in differences(one)? {
            let colour = match line.as_bytes() {
                [b'+', ..] => "32",
                [b'-', ..] => "31",
                _ => "0",
            };
            lines.push(format!("  {}", paint_answer(&line, colour)));
        }
        say_lines(&lines);
    }
    let Answer { evaluated, without_payload, refused, different, .. } = answer;
    let mut summary = format!("{evaluated} evaluated, {} would be decided otherwise.", different.len());
    if *without_payload > 0 {
        // Writing to a String cannot fail.
        let _ = write!(summary, " {without_payload} left out: their payloads were not kept.");
    }
    if *refused > 0 {
        let _ = write!(
            summary,
            " {refused} left out: too large for one object, and you may not read the Secrets beside the listener that hold them."
        );
    }
    say(&summary);
    Ok(())
}

fn document(answer: &Answer) -> anyhow::Result<Value> {
    let one = |one: &Different| -> anyhow::Result<Value> {
        Ok(json!({
            "namespace": one.delivery.namespace(),
            "name": one.delivery.name_any(),
            "event": one.delivery.spec.event,
            "repository": one.delivery.spec.repository,
            "ref": one.delivery.spec.git_ref,
            "receivedTime": one.delivery.spec.received_time,
            "now": one.before.document()?,
            "changed": one.after.document()?,
            "diff": yaml_diff(&essence(&one.before), &essence(&one.after))?,
        }))
    };
    Ok(json!({
        "evaluated": answer.evaluated,
        "withoutPayload": answer.without_payload,
        "payloadRefused": answer.refused,
        "different": answer.different.iter().map(one).collect::<anyhow::Result<Vec<_>>>()?,
        "problems": documents(&answer.problems),
    }))
}
