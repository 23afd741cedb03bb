use aphex_api::pipeline::{Pipeline, PipelineSpec};
use aphex_api::repo_binding::{RepoBindingSpec, WebhookConfiguration};
use kube::Resource as _;
use serde_json::json;

use super::super::Observed;
use super::*;
use crate::apply::{Key, Kind};
use crate::context::Settings;
use crate::driver::Reconciler as _;
use crate::outcome::{Rejection, Waiting};

fn object() -> Pipeline {
    let mut object = Pipeline::new("shop", PipelineSpec::default());
    object.metadata.namespace = Some("team-red".to_owned());
    object.metadata.generation = Some(9);
    object
}

/// A binding of generation 4 whose status speaks of another or of that.
fn observed(speaks_of: i64) -> Observed {
    let mut binding = RepoBinding::new("team-red.shop", RepoBindingSpec::default());
    binding.meta_mut().namespace = Some("platform-system".to_owned());
    binding.meta_mut().generation = Some(4);
    let findings = [condition::NAMESPACE, condition::READY].map(|condition| Finding {
        condition,
        state: State::True,
        reason: Reason::Provisioned,
        message: String::new(),
    });
    let mut said = RepoBindingStatus {
        phase: RepoBindingPhase::Ready,
        message: "All resources provisioned successfully".to_owned(),
        observed_generation: Some(speaks_of),
        conditions: conditions::merge(
            &[],
            findings.to_vec(),
            Some(speaks_of),
            jiff::Timestamp::from_second(500).unwrap(),
        ),
        ..RepoBindingStatus::default()
    };
    said.set_webhook(Some(WebhookConfiguration {
        url: "http://gateway/acme".to_owned(),
        secret: "whsec_never".to_owned(),
        events: vec!["push".to_owned()],
    }));
    binding.status = Some(said);
    let key = Key {
        kind: Kind::of::<RepoBinding>(),
        namespace: Some("platform-system".to_owned()),
        name: "team-red.shop".to_owned(),
    };
    let mut observed = Observed::default();
    observed.inventory.insert(key, serde_json::from_value(serde_json::to_value(binding).unwrap()).unwrap());
    observed
}

fn status_of(object: &Pipeline, observed: Option<&Observed>, outcome: &Outcome) -> PipelineStatus {
    let settings = Settings::new("http://gateway").unwrap();
    let now = jiff::Timestamp::from_second(1_000).unwrap();
    Pipelines::status(&Pass { object, observed, valid: None, outcome, settings: &settings, now })
}

fn ready(status: &PipelineStatus) -> (String, String) {
    let ready = conditions::find(&status.conditions, "Ready").unwrap();
    (ready.status.clone(), ready.reason.clone())
}

#[test]
fn the_bindings_words_are_repeated_but_for_the_secret() {
    let status = status_of(&object(), Some(&observed(4)), &Outcome::Applied);
    assert_eq!(status.phase, RepoBindingPhase::Ready);
    assert_eq!(status.message, "All resources provisioned successfully");
    assert_eq!(status.webhook_url.as_deref(), Some("http://gateway/acme"));
    assert_eq!(status.observed_generation, Some(9));
    assert_eq!(ready(&status), ("True".to_owned(), "Provisioned".to_owned()));
    assert!(status.conditions.iter().all(|c| c.observed_generation == Some(9)));
    let since = jiff::Timestamp::from_second(500).unwrap();
    assert!(status.conditions.iter().all(|c| c.last_transition_time.0 == since));
    assert!(!json!(status).to_string().contains("whsec_"));
}

#[test]
fn a_binding_that_speaks_of_an_older_spec_is_not_ready() {
    let outcome = Outcome::Unsettled(Waiting("Waiting for RepoBinding team-red.shop".to_owned()));
    let status = status_of(&object(), Some(&observed(3)), &outcome);
    assert_eq!(
        (status.phase, status.message.as_str()),
        (RepoBindingPhase::Provisioning, "Waiting for RepoBinding team-red.shop")
    );
    assert_eq!(ready(&status), ("Unknown".to_owned(), "Provisioning".to_owned()));
    assert_eq!(status.conditions[0].status, "True", "the namespace is still there");
    assert_eq!(status.webhook_url.as_deref(), Some("http://gateway/acme"));
}

#[test]
fn a_rejection_tells_of_what_exists_and_fails() {
    let outcome = Outcome::Rejected(Rejection::not_allowed("no label"));
    let status = status_of(&object(), Some(&observed(4)), &outcome);
    assert_eq!((status.phase, status.message.as_str()), (RepoBindingPhase::Failed, "no label"));
    assert_eq!(ready(&status), ("False".to_owned(), "NotAllowed".to_owned()));
    assert_eq!(status.conditions.len(), 2);
    let nothing = status_of(&object(), Some(&Observed::default()), &outcome);
    assert_eq!((nothing.conditions.len(), nothing.webhook_url), (1, None));
}

#[test]
fn deletion_keeps_what_was_known() {
    let mut object = object();
    object.status = Some(status_of(&object, Some(&observed(4)), &Outcome::Applied));
    let status = status_of(&object, None, &Outcome::Deleting(Waiting("Waiting for x".to_owned())));
    assert_eq!((status.phase, status.message.as_str()), (RepoBindingPhase::Pending, "Waiting for x"));
    assert_eq!(ready(&status), ("Unknown".to_owned(), "Deleting".to_owned()));
    assert_eq!((status.conditions.len(), status.webhook_url.is_some()), (2, true));
}
