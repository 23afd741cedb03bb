//! `aphex trigger test`: what triggers in files make of an event. Talks to no server.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use aphex_api::delivery::{DeliveryVerdict, SecretKeyRef};
use aphex_api::foreign::triggers::EventListener;
use aphex_gateway::decision::Case;
use aphex_gateway::deliveries::object_name;
use aphex_gateway::event::Event;
use aphex_gateway::problems::unguarded;
use aphex_gateway::secrets::SecretCache;
use aphex_gateway::select;
use aphex_gateway::signature::proofs::Proofs;
use aphex_gateway::sink::{kept_headers, unicode};
use aphex_gateway::snapshot::Snapshot;
use aphex_gateway::verification::{candidates, verify};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::{documents, tell};
use crate::cli::{Format, Global, TestTriggers};
use crate::commands::apply;
use crate::commands::trial::Trial;
use crate::commands::trial::objects::{ASSUMED, Book, Problem};
use crate::exit;
use crate::output::{self, note, say, say_lines};

/// The id of an event that was given none; always the same, so that names of objects are.
const ID: &str = "00000000-0000-0000-0000-000000000000";

pub(super) async fn run(global: &Global, arguments: TestTriggers) -> anyhow::Result<u8> {
    let (trial, problems) = make(&arguments).await.map_err(|error| {
        // Codes of other commands mean something else here.
        error.context(exit::Coded { code: exit::FAILURE, message: "the triggers were not tested".to_owned() })
    })?;
    match &global.output {
        Format::Table | Format::Wide => {
            tell(&problems);
            people(&trial)?;
        }
        Format::Name => trial.resources().for_each(|resource| say(&output::title(resource))),
        form => {
            let mut document = trial.document()?;
            document["problems"] = documents(&problems).into();
            output::print(&output::rendered(form, &document)?.unwrap_or_default());
        }
    }
    Ok(code(&trial, &problems))
}

fn code(trial: &Trial, problems: &[Problem]) -> u8 {
    match trial.verdict {
        _ if !problems.is_empty() || trial.failed() => exit::FAILURE,
        Some(DeliveryVerdict::Created) => exit::DONE,
        _ => exit::NOT_WANTED,
    }
}

fn people(trial: &Trial) -> anyhow::Result<()> {
    say_lines(&trial.lines());
    for resource in trial.resources() {
        say("---");
        say(serde_saphyr::to_string(resource)?.trim_end());
    }
    Ok(())
}

async fn make(arguments: &TestTriggers) -> anyhow::Result<(Trial, Vec<Problem>)> {
    let objects = apply::read_all(&arguments.files)?;
    let (mut book, others) = Book::of(objects, &arguments.namespace)?;
    if !others.is_empty() {
        let kinds: Vec<String> = others.into_iter().collect();
        note(&format!("of no part in triggers, and left out: {}", kinds.join(", ")));
    }
    let (namespace, name) = listener(&mut book, arguments)?;
    let (snapshot, mut problems) = book.view();
    let secrets = book.secrets()?;
    let found = snapshot.listener(&namespace, &name);
    // One that cannot be read is a problem, and leaves nothing to ask.
    let found =
        found.with_context(|| format!("EventListener {namespace}/{name} cannot be read: {problems:?}"))?;
    let object = format!("EventListener {namespace}/{name}");
    let beside = unguarded(&found, &snapshot).into_iter();
    problems.extend(beside.map(|message| Problem { object: object.clone(), message }));
    let request = Request::of(arguments)?;
    let verified = signers(&found, &snapshot, &secrets, &request, arguments.secret_file.is_some()).await?;
    let case = Case {
        kept_in: namespace.clone(),
        listener_namespace: namespace,
        listener: name,
        seed: "test".to_owned(),
        event: Arc::new(request.event),
        verified,
    };
    let decider = arguments.asking.decider(snapshot, secrets);
    Ok((Trial::of(decider.decide(&case).await), problems))
}

/// The listener that receives the event.
fn listener(book: &mut Book, arguments: &TestTriggers) -> anyhow::Result<(String, String)> {
    let all = book.listeners();
    let wanted = arguments.listener.as_deref().map(|text| match text.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, text),
    });
    let is_wanted = |(namespace, name): &&(String, String)| {
        wanted.is_none_or(|(in_namespace, called)| {
            *name == called && in_namespace.is_none_or(|wanted| *namespace == wanted)
        })
    };
    let found: Vec<&(String, String)> = all.iter().filter(is_wanted).collect();
    let names =
        || all.iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect::<Vec<_>>().join(", ");
    match (found.as_slice(), wanted) {
        ([one], _) => Ok((*one).clone()),
        ([], None) => {
            note("the files have no EventListener: one that takes the events for all triggers is assumed");
            book.assume_listener(&arguments.namespace)?;
            Ok((arguments.namespace.clone(), ASSUMED.to_owned()))
        }
        ([], Some((_, name))) => {
            anyhow::bail!("no EventListener {name:?} in the files, which have: {}", names())
        }
        _ => anyhow::bail!("several EventListeners in the files: give one of {} with --listener", names()),
    }
}

/// The event as it would arrive.
struct Request {
    headers: HeaderMap,
    body: Bytes,
    event: Event,
}

impl Request {
    fn of(arguments: &TestTriggers) -> anyhow::Result<Self> {
        let path = &arguments.payload;
        let body =
            Bytes::from(bytes(path).with_context(|| format!("cannot read payload {}", path.display()))?);
        let (payload, raw) = unicode::read(body.clone())
            .with_context(|| format!("the payload {} is not JSON", path.display()))?;
        anyhow::ensure!(payload.is_object(), "the payload {} is JSON, but no object", path.display());
        let mut headers = HeaderMap::new();
        let usual = [
            ("content-type", "application/json"),
            ("x-github-event", arguments.event.as_str()),
            ("x-github-delivery", ID),
        ];
        let given = arguments.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in usual.into_iter().chain(given) {
            let key = HeaderName::from_bytes(name.as_bytes())
                .with_context(|| format!("{name:?} is no name of a header"))?;
            let value = HeaderValue::from_str(value)
                .with_context(|| format!("header {name} cannot have this value"))?;
            headers.insert(key, value);
        }
        if let Some(path) = &arguments.secret_file {
            let secret =
                std::fs::read(path).with_context(|| format!("cannot read secret {}", path.display()))?;
            let signature = aphex_gateway::sign(secret.trim_ascii(), &body);
            headers.insert("x-hub-signature-256", HeaderValue::from_str(&signature)?);
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let event = Event {
            id: object_name(text("x-github-delivery")),
            kind: text("x-github-event").to_owned(),
            headers: kept_headers(&headers),
            raw: String::from_utf8_lossy(&raw).into(),
            body: payload,
            url: "/".to_owned(),
            received: Timestamp::now(),
        };
        Ok(Self { headers, body, event })
    }
}

fn bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    if path != Path::new("-") {
        return std::fs::read(path);
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The secrets that the sender knows: those that the request was signed with, else every one that a trigger asks for.
async fn signers(
    listener: &EventListener,
    snapshot: &Snapshot,
    secrets: &SecretCache,
    request: &Request,
    signed: bool,
) -> anyhow::Result<Vec<SecretKeyRef>> {
    if !signed {
        let all = candidates(&select::offers(listener, snapshot), listener);
        return Ok(all.into_iter().map(|(_, secret)| secret).collect());
    }
    let now = Timestamp::now();
    let proofs = Proofs::of(&request.headers, now);
    let verified = verify(listener, snapshot, secrets, &proofs, &request.body, now).await?;
    let verified = verified.context(
        "Invalid webhook signature: no trigger of the listener has a Secret in the files with this secret",
    )?;
    Ok(verified.signers)
}
