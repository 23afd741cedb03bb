//! `aphex trigger backtest`: which stored deliveries changed triggers would decide otherwise. Writes nothing.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Context as _;
use aphex_api::delivery::{Delivery, listener_namespace};
use aphex_gateway::decision::{Case, Decider};
use aphex_gateway::deliveries::{UnpackError, fetch_payload};
use aphex_gateway::inbox::Inbox;
use aphex_gateway::reach::Reach;
use aphex_gateway::secrets::SecretCache;
use jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::changes::Changes;
use super::fresh::Fresh;
use super::outcome::{differ, differences, sides, yaml_diff};
use super::{documents, tell};
use crate::cli::{Backtest, Format, Global};
use crate::commands::apply;
use crate::commands::delivery::Filter;
use crate::commands::look;
use crate::commands::trial::Trial;
use crate::commands::trial::objects::{Book, Problem};
use crate::output::{self, note, paint_answer, say, say_lines, value};
use crate::{connect, exit};

/// Deliveries that are asked for at once.
const PAGE: u32 = 200;

/// What came of it.
struct Answer {
    evaluated: usize,
    without_payload: usize,
    /// Payloads that whoever asks may not read.
    refused: usize,
    different: Vec<Twice>,
    /// Deliveries about which one side has no verdict.
    undecided: Vec<Twice>,
    problems: Vec<Problem>,
    /// What is no fault, and explains why nothing differs.
    remarks: Vec<Problem>,
}

/// An event, or why there is none.
enum Event {
    Kept(Box<Case>),
    NotKept,
    Refused,
}

/// A delivery, decided by the triggers as they are and by the changed ones.
struct Twice {
    delivery: Delivery,
    before: Trial,
    after: Trial,
}

impl Twice {
    fn name(&self) -> String {
        format!("{}/{}", self.delivery.namespace().unwrap_or_default(), self.delivery.name_any())
    }
}

pub(super) async fn run(global: &Global, arguments: Backtest) -> anyhow::Result<u8> {
    let failed = || exit::Coded { code: exit::FAILURE, message: "the triggers were not tested".to_owned() };
    let answer = make(global, &arguments).await.map_err(|error| error.context(failed()))?;
    match &global.output {
        Format::Table | Format::Wide => people(&answer)?,
        Format::Name => {
            tell(&answer.problems);
            if let Some(sentence) = undecided(&answer.undecided) {
                note(&sentence);
            }
            for one in &answer.different {
                say(&format!("delivery.aphex.io/{}", one.delivery.name_any()));
            }
        }
        form => output::print(&output::rendered(form, &document(&answer)?)?.unwrap_or_default()),
    }
    Ok(match (&answer.problems[..], &answer.undecided[..], &answer.different[..]) {
        ([], [], []) => exit::DONE,
        ([], [], _) => exit::CHANGES,
        _ => exit::FAILURE,
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
    let changed = changes.on(&now);
    let mut fresh = Fresh::of(&now, &changed);
    let (before, after) = (decider(&now), decider(&changed));
    let mut answer = Answer {
        evaluated: 0,
        without_payload: 0,
        refused: 0,
        different: Vec::new(),
        undecided: Vec::new(),
        problems: changes.problems,
        remarks: Vec::new(),
    };
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
        fresh.see(&case, &after);
        let one = Twice { delivery, before, after };
        if one.before.verdict.is_none() || one.after.verdict.is_none() {
            answer.undecided.push(one);
        } else if differ(&one.before, &one.after) {
            answer.different.push(one);
        }
    }
    answer.remarks = fresh.remarks(answer.evaluated);
    Ok(answer)
}

async fn decide(decider: &Decider, case: &Case) -> Trial {
    Trial::of(decider.decide(case).await)
}

/// The deliveries that filters leave, the oldest first.
async fn deliveries(client: &Client, arguments: &Backtest) -> anyhow::Result<Vec<Delivery>> {
    let filter = Filter::of(&arguments.filters, Timestamp::now())?;
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

/// How many could not be decided, the first of them, and what to do.
fn undecided(undecided: &[Twice]) -> Option<String> {
    let first = undecided.first()?;
    let side = if first.before.verdict.is_none() { &first.before } else { &first.after };
    let step = if undecided.iter().any(|one| one.before.was_not_asked() || one.after.was_not_asked()) {
        "--allow-calls has the services asked"
    } else {
        "mend what the message names"
    };
    Some(format!(
        "{} could not be decided, such as {} ({}): {step}.",
        undecided.len(),
        first.name(),
        value(&side.message)
    ))
}

fn people(answer: &Answer) -> anyhow::Result<()> {
    tell(&answer.problems);
    for one in &answer.different {
        let spec = &one.delivery.spec;
        let title = format!("{}: {} of {} {}", one.name(), spec.event, spec.repository, spec.git_ref);
        let mut lines = vec![paint_answer(title.trim_end(), "1;33")];
        lines.push(format!("  now      {}: {}", one.before.word(), one.before.message));
        lines.push(format!("  changed  {}: {}", one.after.word(), one.after.message));
        for line in differences(&one.before, &one.after)? {
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
    if let Some(sentence) = undecided(&answer.undecided) {
        let _ = write!(summary, " {sentence}");
    }
    say(&summary);
    let remarks = answer.remarks.iter().map(|Problem { object, message }| format!("{object}: {message}"));
    let remarks: Vec<String> = remarks.collect();
    if !remarks.is_empty() {
        say_lines(&remarks);
    }
    Ok(())
}

fn document(answer: &Answer) -> anyhow::Result<Value> {
    let one = |one: &Twice| -> anyhow::Result<Value> {
        let (before, after) = sides(&one.before, &one.after);
        Ok(json!({
            "namespace": one.delivery.namespace(),
            "name": one.delivery.name_any(),
            "event": one.delivery.spec.event,
            "repository": one.delivery.spec.repository,
            "ref": one.delivery.spec.git_ref,
            "receivedTime": one.delivery.spec.received_time,
            "now": one.before.document()?,
            "changed": one.after.document()?,
            "diff": yaml_diff(&before, &after)?,
        }))
    };
    let all = |list: &[Twice]| list.iter().map(one).collect::<anyhow::Result<Vec<_>>>();
    Ok(json!({
        "evaluated": answer.evaluated,
        "withoutPayload": answer.without_payload,
        "payloadRefused": answer.refused,
        "different": all(&answer.different)?,
        "undecided": all(&answer.undecided)?,
        "problems": documents(&answer.problems),
        "remarks": documents(&answer.remarks),
    }))
}
