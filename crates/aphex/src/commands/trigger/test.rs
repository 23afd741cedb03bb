//! `aphex trigger test`: what triggers in files make of an event. Talks to no server.

mod request;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use aphex_api::delivery::{DeliveryVerdict, SecretKeyRef};
use aphex_api::foreign::triggers::EventListener;
use aphex_gateway::decision::Case;
use aphex_gateway::secrets::SecretCache;
use aphex_gateway::select;
use aphex_gateway::signature::proofs::Proofs;
use aphex_gateway::snapshot::Snapshot;
use aphex_gateway::verification::{candidates, verify};
use jiff::Timestamp;

use request::Request;

use super::{documents, left_out, tell, unguarded};
use crate::cli::{Format, Global, TestTriggers};
use crate::commands::apply;
use crate::commands::plan::rendered::becomes_triggers;
use crate::commands::trial::Trial;
use crate::commands::trial::objects::{ASSUMED, Book, Problem};
use crate::exit;
use crate::output::{self, note, say, say_lines};

pub(super) async fn run(global: &Global, arguments: TestTriggers) -> anyhow::Result<u8> {
    let standard_input = Path::new("-");
    if arguments.payload == standard_input && arguments.files.iter().any(|file| file == standard_input) {
        let message = "-f - and --payload - both read standard input: give one of them as a file".to_owned();
        return Err(exit::Coded { code: exit::USAGE, message }.into());
    }
    let (trial, problems) = make(&arguments).await.map_err(|error| {
        // Codes of other commands mean something else here.
        error.context(exit::Coded { code: exit::FAILURE, message: "the triggers were not tested".to_owned() })
    })?;
    match &global.output {
        Format::Table | Format::Wide => {
            tell(&problems);
            people(&trial)?;
        }
        Format::Name => {
            tell(&problems);
            trial.resources().for_each(|resource| say(&output::title(resource)));
        }
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

/// Why there is nothing to ask.
fn no_trigger(platform: bool) -> &'static str {
    if platform {
        "the files have no trigger: controllers make one of a binding where they run, and \
         `aphex trigger backtest` tries what they would make"
    } else {
        "the files have no trigger"
    }
}

async fn make(arguments: &TestTriggers) -> anyhow::Result<(Trial, Vec<Problem>)> {
    let objects = apply::read_all(&arguments.files)?;
    let platform = objects.iter().any(becomes_triggers);
    let (mut book, left) = Book::of(objects, &arguments.namespace)?;
    left_out(&left.others);
    if !book.has_triggers() {
        tell(&left.unknown);
        anyhow::bail!(no_trigger(platform));
    }
    let (namespace, name) = listener(&mut book, arguments)?;
    let (snapshot, mut problems) = book.view();
    problems.extend(left.unknown);
    let secrets = book.secrets()?;
    let found = snapshot.listener(&namespace, &name);
    // One that cannot be read is a problem, and leaves nothing to ask.
    let Some(found) = found else {
        tell(&problems);
        anyhow::bail!("EventListener {namespace}/{name} cannot be read");
    };
    problems.extend(unguarded(&found, &snapshot));
    let wanted = candidates(&select::offers(&found, &snapshot), &found);
    let request = Request::of(arguments, &wanted.into_iter().map(|(scheme, _)| scheme).collect())?;
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
        ([], Some((_, name))) if all.is_empty() => {
            anyhow::bail!(
                "no EventListener {name:?} in the files, which have none: leave out --listener, and one is assumed"
            )
        }
        ([], Some((_, name))) => {
            anyhow::bail!("no EventListener {name:?} in the files, which have: {}", names())
        }
        _ => anyhow::bail!("several EventListeners in the files: give one of {} with --listener", names()),
    }
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
