//! Taking back a Pipeline: its binding goes, and with it everything that the binding owns.

use aphex_api::pipeline::Pipeline;

use super::{binding_name, observe};
use crate::apply::{Inventory, Owner, remove};
use crate::context::Context;
use crate::outcome::{StepError, Waiting};

pub(super) async fn cleanup(
    context: &Context,
    object: &Pipeline,
    owner: &Owner,
) -> Result<Option<Waiting>, StepError> {
    for place in observe::places(context) {
        if let Some(waiting) = remove(&context.client, owner, place).await? {
            return told(context, object, owner, waiting).await.map(Some);
        }
    }
    Ok(None)
}

/// What the binding itself waits for, where it says so: the developer cannot look.
async fn told(
    context: &Context,
    object: &Pipeline,
    owner: &Owner,
    waiting: Waiting,
) -> Result<Waiting, StepError> {
    let inventory = Inventory::read(context, owner, observe::places(context)).await?;
    let observed = observe::Observed { inventory, ..observe::Observed::default() };
    let binding = observed.binding(&binding_name(object));
    let said = binding.filter(|binding| binding.metadata.deletion_timestamp.is_some());
    // What it said before it began to go is no news.
    let said = said.and_then(|binding| binding.status).filter(|status| {
        let ready =
            aphex_api::conditions::find(&status.conditions, aphex_api::repo_binding::condition::READY);
        ready.is_some_and(|ready| ready.reason == aphex_api::conditions::Reason::Deleting.as_str())
    });
    Ok(said.map_or(waiting, |status| Waiting(status.message)))
}
