//! What the controllers would make of objects, for those who try triggers before they are applied.

use aphex_api::organization::Organization;
use aphex_api::pipeline::Pipeline;
use aphex_api::repo_binding::RepoBinding;
use aphex_controllers::plan::{Change, Verdict};
use kube::{Client, Resource};
use serde_json::Value;

use super::{of_objects, render, tried};
use crate::commands::look::text;
use crate::commands::trial::objects::Problem;

/// What comes of objects of the platform.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rendered {
    pub(crate) changes: Vec<Change>,
    /// What of it would not come to be.
    pub(crate) problems: Vec<Problem>,
}

/// Whether controllers make triggers of such an object.
pub(crate) fn becomes_triggers(object: &Value) -> bool {
    fn is<K: Resource<DynamicType = ()>>(object: &Value) -> bool {
        text(object, "/kind") == K::kind(&())
            && text(object, "/apiVersion").split_once('/').is_some_and(|(group, _)| group == K::group(&()))
    }
    is::<Organization>(object) || is::<RepoBinding>(object) || is::<Pipeline>(object)
}

/// Whether nothing comes of the object: one that waits makes no triggers either.
fn stops(verdict: &Verdict) -> bool {
    verdict.is_bad() || verdict.outcome == "waiting"
}

/// Runs the plan's steps over the objects. Whose fields they are does not matter to what is only tried.
pub(crate) async fn rendered(client: &Client, objects: &[Value]) -> anyhow::Result<Rendered> {
    if objects.is_empty() {
        return Ok(Rendered::default());
    }
    let answer = Box::pin(of_objects(client.clone(), objects, true)).await?;
    if let Some(why) = answer.hidden {
        anyhow::bail!(
            "which triggers the controllers would make of the files cannot be told, and a platform administrator can tell: {why}"
        );
    }
    let mut problems = Vec::new();
    let mut tell =
        |object: String, message: &str| problems.push(Problem { object, message: message.to_owned() });
    for refused in &answer.tried.refused {
        tell(render::title(refused.kind(), refused.namespace(), refused.name()), &refused.message);
    }
    for going in &answer.tried.going {
        tell(render::title(&going.kind, going.namespace.as_deref(), &going.name), tried::GOING);
    }
    for (subject, verdict) in answer.planned.verdicts.iter().filter(|(_, verdict)| stops(verdict)) {
        let title = render::title(&format!("{:?}", subject.kind), Some(&subject.namespace), &subject.name);
        tell(title, verdict.message.as_deref().unwrap_or(verdict.reason));
    }
    Ok(Rendered { changes: answer.planned.changes, problems })
}
