//! `aphex plan`: what applying files would change, with all that the controllers would make of it.
//!
//! The files are applied to a shadow of the engine, as `aphex apply` would apply them, and the controllers' own steps are
//! run over it. Nothing is written: the engine sees reads and dry runs.

mod render;

use aphex_controllers::plan::{Plan as Planned, Shadow, Subject, Verdict};
use kube::Client;
use serde_json::{Value, json};

use super::apply::{self, makers};
use super::settings;
use crate::cli::{Format, Global, Plan};
use crate::output::{self, say};
use crate::{connect, exit};

/// What was asked for and what comes of it.
struct Answer {
    planned: Planned,
    /// What the engine would not take at all.
    refused: Vec<Refused>,
    /// Why it cannot be told what the controllers would make of it: the user may not see what they see.
    hidden: Option<String>,
}

/// An object that the engine would not take.
struct Refused {
    object: Value,
    /// Whether another object of the files makes the namespace that it lacks.
    is_early: bool,
    message: String,
}

impl Refused {
    fn text(&self, pointer: &str) -> Option<&str> {
        self.object.pointer(pointer).and_then(Value::as_str)
    }

    fn kind(&self) -> &str {
        self.text("/kind").unwrap_or_default()
    }

    fn namespace(&self) -> Option<&str> {
        self.text("/metadata/namespace")
    }

    fn name(&self) -> &str {
        self.text("/metadata/name").unwrap_or_default()
    }
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
        form => say(&output::rendered(form, &document(&answer)?)?.unwrap_or_default()),
    }
    Ok(code(&answer))
}

fn code(answer: &Answer) -> u8 {
    if !answer.refused.is_empty() || answer.planned.verdicts.values().any(Verdict::is_bad) {
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
    let client = connect::client(global).await?;
    let settings = settings::of_engine(&client).await;
    let shadow = Shadow::new(client);
    let client = shadow.client();
    let mut refused = put(&client, &objects, arguments.force_conflicts).await?;
    let planned: anyhow::Result<Planned> = async {
        let settings = settings?;
        let planned = aphex_controllers::plan::plan(&shadow, settings.clone()).await?;
        // As `aphex apply` has it: objects come after what makes their namespace.
        let (late, others): (Vec<_>, Vec<_>) = refused.drain(..).partition(|refused| refused.is_early);
        refused = others;
        if late.is_empty() {
            return Ok(planned);
        }
        let late: Vec<Value> = late.into_iter().map(|refused| refused.object).collect();
        refused.extend(put(&client, &late, arguments.force_conflicts).await?);
        Ok(aphex_controllers::plan::plan(&shadow, settings).await?)
    }
    .await;
    match planned {
        Ok(planned) => Ok(Answer { planned, refused, hidden: None }),
        // Developers write Pipelines and see neither the platform's configuration nor its bindings.
        Err(error) if exit::is_forbidden(&error) => {
            let hidden = Some(aphex_runtime::errors::chain(error.as_ref()));
            Ok(Answer { planned: Planned::of_writes(&shadow), refused, hidden })
        }
        Err(error) => Err(error),
    }
}

/// Applies the objects to the shadow; tells which ones the engine refuses.
async fn put(client: &Client, objects: &[Value], force: bool) -> anyhow::Result<Vec<Refused>> {
    let mut refused = Vec::new();
    for object in objects {
        let Err(error) = apply::apply(client, object, force).await else { continue };
        let code = exit::code_of(&error);
        if !matches!(code, exit::REFUSED | exit::NOT_FOUND) {
            return Err(error);
        }
        let made_by = makers::missing_namespace(&error).and_then(|name| makers::maker(objects, name));
        refused.push(Refused {
            object: object.clone(),
            is_early: made_by.is_some(),
            message: aphex_runtime::errors::chain(error.as_ref()),
        });
    }
    Ok(refused)
}

/// The plan for people: a diff of every object, then what would not come to be, then a summary.
fn text(answer: &Answer) -> String {
    let mut parts: Vec<String> = answer.planned.changes.iter().map(render::diff).collect();
    parts.extend(answer.planned.outside.iter().map(render::outside));
    for refused in &answer.refused {
        let title = render::title(refused.kind(), refused.namespace(), refused.name());
        let said = output::paint_answer(&format!("{title} would be refused:"), "1;31");
        parts.push(format!("{said} {}", refused.message));
    }
    parts.extend(answer.planned.verdicts.iter().filter_map(|(subject, verdict)| told(subject, verdict)));
    if let Some(why) = &answer.hidden {
        let title = "What the platform would make of this cannot be told:";
        parts.push(format!("{} {why}", output::paint_answer(title, "33")));
    }
    // Nothing was planned for what is refused, which is another thing than that nothing would change.
    if answer.planned.changes.is_empty() && !answer.planned.outside.is_empty() {
        parts.push("Nothing would change on the engine itself.".to_owned());
    } else if answer.refused.is_empty() || !answer.planned.changes.is_empty() {
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
    for refused in &answer.refused {
        verdicts.push(json!({
            "kind": refused.kind(), "namespace": refused.namespace(), "name": refused.name(),
            "outcome": "refused", "reason": "Refused", "message": refused.message,
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
