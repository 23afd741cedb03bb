use aphex_api::repo_binding::{RepoBinding, RepoBindingSpec};

use super::*;
use crate::context::Settings;
use crate::outcome::{Rejection, StepError, Waiting};

fn object() -> RepoBinding {
    let spec = RepoBindingSpec {
        aphex_org: Some("acme".to_owned()),
        pipeline_name: Some("app".to_owned()),
        ..RepoBindingSpec::default()
    };
    let mut object = RepoBinding::new("app", spec);
    object.metadata.generation = Some(3);
    object
}

fn status_of(object: &RepoBinding, observed: Option<&Observed>, outcome: &Outcome) -> RepoBindingStatus {
    let settings = Settings::new("http://gateway").unwrap();
    let now = jiff::Timestamp::from_second(1_000).unwrap();
    status(&Pass { object, observed, valid: None, outcome, settings: &settings, now })
}

fn ready(status: &RepoBindingStatus) -> (String, String) {
    let ready = conditions::find(&status.conditions, "Ready").unwrap();
    (ready.status.clone(), ready.reason.clone())
}

#[test]
fn waiting_is_pending_and_unknown() {
    let outcome = Outcome::Waiting(Waiting("Waiting for Organization acme to be created".to_owned()));
    let status = status_of(&object(), Some(&Observed::default()), &outcome);
    assert_eq!(status.phase, RepoBindingPhase::Pending);
    assert_eq!(ready(&status), ("Unknown".to_owned(), "WaitingFor".to_owned()));
    assert_eq!(status.conditions.len(), 6);
    assert!(status.conditions.iter().all(|c| c.status == "Unknown" && c.observed_generation == Some(3)));
}

#[test]
fn a_rejection_fails_with_every_flag_false() {
    let outcome = Outcome::Rejected(Rejection::invalid("Cannot create namespace with privileged name"));
    let status = status_of(&object(), Some(&Observed::default()), &outcome);
    assert_eq!(status.phase, RepoBindingPhase::Failed);
    assert_eq!(status.message, "Cannot create namespace with privileged name");
    assert_eq!(ready(&status), ("False".to_owned(), "InvalidSpec".to_owned()));
    let json = serde_json::to_value(&status).unwrap();
    for flag in ["namespaceCreated", "rbacCreated", "eventListenerCreated", "ingressCreated"] {
        assert_eq!(json[flag], false, "{flag}");
    }
}

#[test]
fn flags_tell_what_was_seen_and_not_what_was_done() {
    let mut observed = Observed { listens: true, ..Observed::default() };
    let status = status_of(&object(), Some(&observed), &Outcome::Applied);
    assert!(!status.namespace_created && status.event_listener_created);
    let event_listener = conditions::find(&status.conditions, condition::EVENT_LISTENER).unwrap();
    assert_eq!(event_listener.status, "Unknown", "a trigger is missing");
    observed.listens = false;
    assert!(!status_of(&object(), Some(&observed), &Outcome::Applied).event_listener_created);
}

#[test]
fn without_a_look_at_the_engine_the_last_facts_stand() {
    let mut object = object();
    let mut last = RepoBindingStatus::default();
    last.set_provisioned(Seen {
        resources: ProvisionedResources { namespace: true, ..ProvisionedResources::default() },
        ..Seen::default()
    });
    object.status = Some(last);
    let error = StepError::read("RepoBindings", kube::Error::TlsRequired);
    let status = status_of(&object, None, &Outcome::Failed(error));
    assert_eq!(status.phase, RepoBindingPhase::Failed);
    assert!(status.message.starts_with("cannot read RepoBindings: "), "{}", status.message);
    assert!(status.namespace_created);
}
