//! `aphex plan`: what applying files would change, with all that the controllers would make of it.
//!
//! The files are applied to a shadow of the engine, as `aphex apply` would apply them, and the controllers' own steps are
//! run over it. Nothing is written: the engine sees reads and dry runs.

mod hidden;
mod render;
pub(crate) mod rendered;
mod tried;

use aphex_controllers::plan::{Plan as Planned, Shadow, Subject, Verdict};
use kube::Client;
use serde_json::{Value, json};

use super::{apply, settings};
use crate::cli::{Format, Global, Plan};
use crate::output::{self, say};
use crate::{connect, exit};
use tried::{Tried, put};

/// What was asked for and what comes of it.
struct Answer {
    planned: Planned,
    /// What the engine would not take at all, and what it would take and delete all the same.
    tried: Tried,
    /// Why it cannot be told wholly what the controllers would make of it: the user may not see what they see.
    hidden: Option<String>,
}

/// The exit code tells what the plan says, whatever else a code means elsewhere: see docs/exit-codes.md.
pub(crate) async fn run(global: &Global, arguments: Plan) -> anyhow::Result<u8> {
    let failed = || exit::Coded { code: exit::FAILURE, message: "there is no plan".to_owned() };
    let answer = make(global, &arguments).await.map_err(|error| error.context(failed()))?;
    match &global.output {
        Format::Table | Format::Wide => say(&text(&answer)),
        Format::Name => {
            for change in &answer.planned.changes {
                say(&render::name(change));
            }
        }
        form => output::print(&output::rendered(form, &document(&answer)?)?.unwrap_or_default()),
    }
    Ok(code(&answer))
}

fn code(answer: &Answer) -> u8 {
    if !answer.tried.is_fine() || answer.planned.verdicts.values().any(Verdict::is_bad) {
        exit::FAILURE
    } else if answer.planned.changes.is_empty() && answer.planned.outside.is_empty() {
        exit::DONE
    } else {
        exit::CHANGES
    }
}

async fn make(global: &Global, arguments: &Plan) -> anyhow::Result<Answer> {
    let mut objects = Vec::new();
    for path in &arguments.files {
        objects.extend(apply::read(path)?);
    }
    anyhow::ensure!(!objects.is_empty(), "nothing to plan: the files hold no objects");
    of_objects(connect::client(global).await?, &objects, arguments.force_conflicts).await
}

/// What applying objects would change; `force` takes fields that others own.
async fn of_objects(engine: Client, objects: &[Value], force: bool) -> anyhow::Result<Answer> {
    let settings = settings::of_engine(&engine).await?;
    let shadow = Shadow::new(engine.clone());
    let client = shadow.client();
    let mut tried = put(&client, objects, force).await?;
    let planned: anyhow::Result<Planned> = async {
        let planned = aphex_controllers::plan::plan(&shadow, settings.clone()).await?;
        // As `aphex apply` has it: objects come after what makes their namespace.
        let (late, others) = tried.refused.drain(..).partition::<Vec<_>, _>(|refused| refused.is_early);
        tried.refused = others;
        if late.is_empty() {
            return Ok(planned);
        }
        let late: Vec<Value> = late.into_iter().map(|refused| refused.object).collect();
        tried.extend(put(&client, &late, force).await?);
        Ok(aphex_controllers::plan::plan(&shadow, settings.clone()).await?)
    }
    .await;
    match planned {
        Ok(planned) => Ok(Answer { planned, tried, hidden: None }),
        // Developers write Pipelines and see neither organizations nor bindings.
        Err(error) if exit::is_forbidden(&error) => {
            let hidden = Some(aphex_runtime::errors::chain(error.as_ref()));
            let verdicts = Box::pin(hidden::rejections(&engine, settings, objects, force)).await?;
            let planned = Planned { verdicts, ..Planned::of_writes(&shadow) };
            Ok(Answer { planned, tried, hidden })
        }
        Err(error) => Err(error),
    }
}

/// The plan for people: a diff of every object, then what would not come to be, then a summary.
fn text(answer: &Answer) -> String {
    let mut parts: Vec<String> = answer.planned.changes.iter().map(render::diff).collect();
    parts.extend(answer.planned.outside.iter().map(render::outside));
    for refused in &answer.tried.refused {
        let title = render::title(refused.kind(), refused.namespace(), refused.name());
        let said = output::paint_answer(&format!("{title} would be refused:"), "1;31");
        parts.push(format!("{said} {}", output::value(&refused.message)));
    }
    for going in &answer.tried.going {
        let title = render::title(&going.kind, going.namespace.as_deref(), &going.name);
        let said = output::paint_answer(&format!("{title} is being deleted:"), "1;31");
        parts.push(format!("{said} {}", tried::GOING));
    }
    parts.extend(answer.planned.verdicts.iter().filter_map(|(subject, verdict)| told(subject, verdict)));
    if let Some(why) = &answer.hidden {
        let title = "What the platform would make of this can be told only as far as you may see:";
        parts.push(format!("{} {why}", output::paint_answer(title, "33")));
    }
    // Nothing was planned for what is refused or goes, which is another thing than that nothing would change.
    if answer.planned.changes.is_empty() && !answer.planned.outside.is_empty() {
        parts.push("Nothing would change on the engine itself.".to_owned());
    } else if answer.tried.is_fine() || !answer.planned.changes.is_empty() {
        parts.push(render::summary(&answer.planned.changes));
    }
    parts.join("\n")
}

/// A line about an object that would not be in place; nothing about others.
fn told(subject: &Subject, verdict: &Verdict) -> Option<String> {
    let title = render::title(&format!("{:?}", subject.kind), Some(&subject.namespace), &subject.name);
    let message = verdict.message.as_ref()?;
    let (said, colour) = match verdict.outcome {
        "rejected" => ("would be rejected:", "1;31"),
        "failed" => ("would fail:", "1;31"),
        "applied" => ("would say:", "0"),
        _ => ("would wait:", "33"),
    };
    let message = output::value(message);
    Some(format!("{} {message}", output::paint_answer(&format!("{title} {said}"), colour)))
}

/// The plan for programs.
fn document(answer: &Answer) -> anyhow::Result<Value> {
    let mut verdicts = Vec::new();
    for (subject, verdict) in &answer.planned.verdicts {
        let mut told = serde_json::to_value(subject)?;
        json_merge(&mut told, serde_json::to_value(verdict)?);
        verdicts.push(told);
    }
    for refused in &answer.tried.refused {
        verdicts.push(json!({
            "kind": refused.kind(), "namespace": refused.namespace(), "name": refused.name(),
            "outcome": "refused", "reason": "Refused", "message": refused.message,
        }));
    }
    for going in &answer.tried.going {
        verdicts.push(json!({
            "kind": going.kind, "namespace": going.namespace, "name": going.name,
            "outcome": "deleting", "reason": "Deleting", "message": tried::GOING,
        }));
    }
    let mut changes = Vec::new();
    for change in &answer.planned.changes {
        let mut shown = serde_json::to_value(change)?;
        shown["diff"] = json!(render::unified(change));
        changes.push(shown);
    }
    let count = render::Count::of(&answer.planned.changes);
    Ok(json!({
        "changes": changes,
        "outside": answer.planned.outside,
        "verdicts": verdicts,
        "hidden": answer.hidden,
        "summary": { "create": count.create, "change": count.change, "prune": count.prune },
    }))
}

fn json_merge(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}
