//! Publishing what a pass found: the status, when it differs, and an Event for every transition.

use aphex_api::conditions;
use aphex_api::labels::FIELD_MANAGER;
use aphex_runtime::errors;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::core::object::HasStatus as _;
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource as _, ResourceExt as _};
use serde_json::json;

use super::{News, Reconciler, Summary};
use crate::context::Context;
use crate::outcome::StepError;

/// Longest note of an Event (MaxEventNoteLength, kubernetes/pkg/apis/core/validation/events.go).
const NOTE_MAX: usize = 1024;

/// The kind of a controller's objects.
pub(super) fn kind<R: Reconciler>() -> &'static str {
    match R::Object::kind(&()) {
        std::borrow::Cow::Borrowed(kind) => kind,
        // Kinds of derived types are constants.
        std::borrow::Cow::Owned(_) => R::NAME,
    }
}

/// Writes the status if it says anything new, and an Event if it tells of a transition.
///
/// It is about one version of the object. Where that is not the newest any more, nothing is written and the error is a race:
/// another process may have told what is true by now, and what this pass found would take it back.
pub(super) async fn publish<R: Reconciler>(
    context: &Context,
    api: &Api<R::Object>,
    object: &R::Object,
    version: Option<&str>,
    status: R::Status,
) -> Result<(), StepError> {
    let old = object.status();
    if old == Some(&status) {
        return Ok(());
    }
    let name = object.name_any();
    let patch = json!({
        "apiVersion": R::Object::api_version(&()),
        "kind": R::Object::kind(&()),
        "metadata": { "name": name, "uid": object.uid(), "resourceVersion": version },
        "status": status,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    match api.patch_status(&name, &parameters, &Patch::Apply(&patch)).await {
        Ok(_) => {}
        // The object went away.
        Err(kube::Error::Api(error)) if error.code == 404 => return Ok(()),
        Err(source) => return Err(StepError::Status(Box::new(source))),
    }
    for event in transitions(old.map(R::summary), R::summary(&status)) {
        tracing::info!(
            controller = R::NAME,
            object.name = name,
            phase = R::summary(&status).phase,
            reason = event.reason,
            "{}",
            event.note.as_deref().unwrap_or_default()
        );
        record::<R>(context, object, &event).await;
    }
    Ok(())
}

/// Tells that everything was taken back.
pub(super) async fn deleted<R: Reconciler>(context: &Context, object: &R::Object) {
    let note = Some("Everything it owned is gone".to_owned());
    let event = Event {
        type_: EventType::Normal,
        reason: "Deleted".to_owned(),
        note,
        action: "Delete".to_owned(),
        secondary: None,
    };
    record::<R>(context, object, &event).await;
}

/// Tells something that happened once.
pub(super) async fn tell<R: Reconciler>(context: &Context, object: &R::Object, news: News) {
    tracing::info!(
        controller = R::NAME,
        object.name = object.name_any(),
        reason = news.reason,
        "{}",
        news.note
    );
    let event = Event {
        type_: EventType::Normal,
        reason: news.reason.to_owned(),
        note: Some(news.note),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    record::<R>(context, object, &event).await;
}

async fn record<R: Reconciler>(context: &Context, object: &R::Object, event: &Event) {
    let reference: ObjectReference = object.object_ref(&());
    let Some(recorder) = context.recorder(reference.uid.as_deref().unwrap_or_default()) else { return };
    if let Err(error) = recorder.publish(event, &reference).await {
        tracing::warn!(controller = R::NAME, error = errors::chain(&error), "event not written");
    }
}

/// The Events of what is otherwise than before.
fn transitions(old: Option<Summary<'_>>, new: Summary<'_>) -> Vec<Event> {
    transition(old, new).into_iter().chain(foreign(old, new)).collect()
}

/// The Event of objects that carry this object's name and are another's: they were not there before, or others were.
fn foreign(old: Option<Summary<'_>>, new: Summary<'_>) -> Option<Event> {
    let told = |summary: Summary<'_>| {
        conditions::find(summary.conditions, conditions::FOREIGN_OBJECTS).map(|found| found.message.clone())
    };
    let now = told(new)?;
    if old.and_then(told).as_ref() == Some(&now) {
        return None;
    }
    let note: String = now.chars().take(NOTE_MAX / 4).collect();
    let reason = conditions::FOREIGN_OBJECTS.to_owned();
    Some(Event {
        type_: EventType::Warning,
        reason,
        note: Some(note),
        action: "Reconcile".to_owned(),
        secondary: None,
    })
}

/// The Event of a transition: the phase, or status or reason of the condition Ready, is another than before.
fn transition(old: Option<Summary<'_>>, new: Summary<'_>) -> Option<Event> {
    let ready = |summary: Summary<'_>| {
        let condition = conditions::find(summary.conditions, "Ready")?;
        Some((summary.phase, condition.status.clone(), condition.reason.clone()))
    };
    let now = ready(new)?;
    if old.and_then(ready).as_ref() == Some(&now) {
        return None;
    }
    let (phase, _, reason) = now;
    let type_ = if phase == "Failed" { EventType::Warning } else { EventType::Normal };
    let note: String = new.message.chars().take(NOTE_MAX / 4).collect();
    Some(Event { type_, reason, note: Some(note), action: "Reconcile".to_owned(), secondary: None })
}

#[cfg(test)]
mod tests {
    use aphex_api::conditions::{Finding, Reason, State, merge};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

    use super::*;

    fn ready(state: State, reason: Reason) -> Vec<Condition> {
        let finding = Finding { condition: "Ready", state, reason, message: String::new() };
        merge(&[], vec![finding], None, jiff::Timestamp::UNIX_EPOCH)
    }

    fn summary<'a>(phase: &'static str, message: &'a str, conditions: &'a [Condition]) -> Summary<'a> {
        Summary { phase, message, conditions }
    }

    #[test]
    fn only_transitions_make_events() {
        let waiting = ready(State::Unknown, Reason::WaitingFor);
        let done = ready(State::True, Reason::Provisioned);
        let first = transition(None, summary("Pending", "waiting for x", &waiting)).unwrap();
        assert_eq!((first.reason.as_str(), first.note.as_deref()), ("WaitingFor", Some("waiting for x")));
        let same = transition(Some(summary("Pending", "x", &waiting)), summary("Pending", "y", &waiting));
        assert!(same.is_none());
        let next = transition(Some(summary("Pending", "x", &waiting)), summary("Ready", "y", &done)).unwrap();
        assert_eq!((next.reason.as_str(), next.type_), ("Provisioned", EventType::Normal));
        let failed = ready(State::False, Reason::InvalidSpec);
        let next = transition(Some(summary("Ready", "y", &done)), summary("Failed", "no", &failed)).unwrap();
        assert_eq!(next.type_, EventType::Warning);
    }

    #[test]
    fn foreign_objects_make_one_event_until_they_are_others() {
        let with = |message: &str| {
            let mut conditions = ready(State::True, Reason::Provisioned);
            let finding = Finding {
                condition: conditions::FOREIGN_OBJECTS,
                state: State::True,
                reason: Reason::ForeignObjects,
                message: message.to_owned(),
            };
            conditions.extend(merge(&[], vec![finding], None, jiff::Timestamp::UNIX_EPOCH));
            conditions
        };
        let (none, one, other) =
            (ready(State::True, Reason::Provisioned), with("Role a/b"), with("Role a/c"));
        let events = |old: &[Condition], new: &[Condition]| {
            transitions(Some(summary("Ready", "y", old)), summary("Ready", "y", new)).len()
        };
        assert_eq!(
            (events(&none, &one), events(&one, &one), events(&one, &other), events(&one, &none)),
            (1, 0, 1, 0)
        );
    }
}
