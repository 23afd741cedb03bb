//! The one loop. It owns watches, finalizer, timing, status and events; a controller owns only its five steps.
//!
//! A pass starts from the beginning, whatever it was woken by: read the object, run the steps to an [`Outcome`], publish
//! the status that follows from it, choose when to look again.

mod known;
mod pause;
mod publish;
mod wake;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aphex_api::conditions::Reason;
use aphex_runtime::watches::Pauses;
use aphex_runtime::{Shutdown, errors};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::core::object::HasStatus;
use kube::runtime::controller::{Action, Config};
use kube::runtime::{Controller, WatchStreamExt as _, reflector, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

pub use known::Known;
pub use wake::Watches;

use crate::apply::{self, DesiredSet, Inventory, Owner};
use crate::context::{Context, Settings};
use crate::outcome::{Outcome, StepError, Stop, Waiting};
use crate::tunnels::TunnelError;
use crate::webhook_secret::Kept;

/// Passes over different objects that run at once.
const CONCURRENCY: u16 = 8;
/// A controller: what its kind is, and its five steps.
pub trait Reconciler: Send + Sync + 'static {
    /// The kind it keeps.
    type Object: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + HasStatus<Status = Self::Status>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static;
    /// The status of the kind.
    type Status: Clone + Debug + Default + PartialEq + Serialize + Send + Sync;
    /// What `observe` reads.
    type Observed: Send + Sync;
    /// A spec that can be carried out, with what is needed to do so.
    type Valid: Send + Sync;
    /// The objects wanted.
    type Desired: DesiredSet + Send;

    /// The controller's name in logs and metrics.
    const NAME: &'static str;
    /// The finalizer on its objects, when there is something to take back.
    const FINALIZER: Option<&'static str>;

    /// Which other objects wake which of ours.
    fn watches(watches: Watches<Self::Object>) -> Watches<Self::Object>;

    /// By what an object is found besides its name.
    fn tags(_: &Self::Object) -> Vec<String> {
        Vec::new()
    }

    /// Keeps its objects where steps can look; an object is known there before a pass over it begins.
    fn keep(_: &Context, _: Known<Self::Object>) {}

    /// Reads everything the object refers to and owns.
    fn observe(
        context: &Context,
        object: &Self::Object,
        owner: &Owner,
    ) -> impl Future<Output = Result<Self::Observed, StepError>> + Send;

    /// Decides whether the spec can be carried out now.
    fn validate(
        object: &Self::Object,
        observed: &Self::Observed,
        settings: &Settings,
    ) -> Result<Self::Valid, Stop>;

    /// Obtains what the desired set needs from outside: ids of external things, secrets not made yet.
    fn provision(
        context: &Context,
        valid: Self::Valid,
    ) -> impl Future<Output = Result<Self::Valid, StepError>> + Send;

    /// The objects wanted.
    fn desired(valid: &Self::Valid, settings: &Settings) -> Self::Desired;

    /// The objects found, which `apply` compares with and brings up to date.
    fn inventory(observed: &mut Self::Observed) -> &mut Inventory;

    /// Looks once more at what must answer, after everything was applied: often it has by then.
    fn look_again(
        _: &Context,
        _: &Self::Valid,
        _: &mut Self::Observed,
    ) -> impl Future<Output = Result<(), StepError>> + Send {
        std::future::ready(Ok(()))
    }

    /// What must still answer before everything is in place.
    fn unsettled(valid: &Self::Valid, observed: &Self::Observed) -> Option<Waiting>;

    /// What is told once everything was applied, besides what the status tells.
    fn news(_: &Self::Valid) -> Option<News> {
        None
    }

    /// When to look again although nothing changed; the usual time when there is none.
    fn again(_: Option<&Self::Observed>, _: Option<&Self::Valid>) -> Option<Duration> {
        None
    }

    /// The new status.
    fn status(pass: &Pass<'_, Self>) -> Self::Status;

    /// Takes back everything, one step further each time; nothing is left when it returns none.
    fn cleanup(
        context: &Context,
        object: &Self::Object,
        owner: &Owner,
    ) -> impl Future<Output = Result<Option<Waiting>, StepError>> + Send;

    /// The parts of a status that events are made of: phase, message, conditions.
    fn summary(status: &Self::Status) -> Summary<'_>;
}

/// The parts of a status that events are made of.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// The phase's wire value.
    pub phase: &'static str,
    /// The sentence for people.
    pub message: &'a str,
    /// The conditions.
    pub conditions: &'a [Condition],
}

/// Something that happened once, for an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    reason: &'static str,
    note: String,
}

impl News {
    /// A webhook secret was rotated; `place` says where the new one is.
    pub(crate) fn rotated(kept: &Kept, place: &str) -> Self {
        let before = match &kept.previous {
            Some((_, until)) => format!("the one before verifies until {until}"),
            None => "the one before verifies no longer".to_owned(),
        };
        let note = format!("There is a new webhook secret: {place}, GitHub needs it; {before}");
        Self { reason: "WebhookSecretRotated", note }
    }
}

/// Everything a status is made from.
pub struct Pass<'a, R: Reconciler + ?Sized> {
    /// The object as it was when the pass began.
    pub object: &'a R::Object,
    /// What was read, unless reading failed; after `apply` its inventory holds what the server answered.
    pub observed: Option<&'a R::Observed>,
    /// What external provisioning gave, if the pass came so far.
    pub valid: Option<&'a R::Valid>,
    /// How the pass ended.
    pub outcome: &'a Outcome,
    /// Plain values.
    pub settings: &'a Settings,
    /// The time now.
    pub now: jiff::Timestamp,
}

/// Runs one controller until shutdown; passes that are under way are finished.
pub async fn run<R: Reconciler>(_: R, context: Arc<Context>, shutdown: &Shutdown) {
    let api: Api<R::Object> = Api::all(context.client.clone());
    let (store, writer) = reflector::store();
    let known = Known::new(store.clone());
    let seen = known.clone();
    let told = watcher(api, watcher::Config::default()).modify(lighten);
    let objects = reflector::reflector(writer, told)
        .inspect_ok(move |event| seen.see(event, R::tags))
        .applied_objects();
    let listed = store.clone();
    let controller = Controller::for_stream(objects, store)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .trigger_backoff(Pauses::default());
    R::keep(&context, known.clone());
    let counted = known.clone();
    context.metrics.count_objects(R::NAME, move || phases::<R>(&counted));
    let metrics = context.metrics.clone();
    let watches = Watches::new(controller, Arc::clone(&context), known, publish::kind::<R>());
    let token = shutdown.token();
    let controller =
        R::watches(watches).into_controller().graceful_shutdown_on(async move { token.cancelled().await });
    tracing::info!(controller = R::NAME, "controller started");
    let running =
        controller.run(pass::<R>, |_, never, _| match *never {}, context).for_each(|result| async move {
            if let Err(error) = result {
                // A watch that broke is begun again; an object that is gone needs no pass.
                tracing::debug!(controller = R::NAME, error = errors::chain(&error), "watch interrupted");
            }
        });
    // Passes wait for the first list. Told to stop before it came, the controller would wait for it for ever.
    let never_began = async {
        shutdown.triggered().await;
        if listed.wait_until_ready().now_or_never().is_some() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = running => {}
        () = never_began => {}
    }
    metrics.forget_objects(R::NAME);
    tracing::info!(controller = R::NAME, "controller stopped");
}

/// Takes off what is as large as the rest of an object, and nobody looks up: a pass reads its object anew.
fn lighten<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

/// How many objects there are, by phase; one that no pass has looked at yet is pending.
fn phases<R: Reconciler>(known: &Known<R::Object>) -> BTreeMap<&'static str, usize> {
    let mut phases = BTreeMap::new();
    for object in known.all() {
        let phase = object.status().map_or("Pending", |status| R::summary(status).phase);
        *phases.entry(phase).or_default() += 1;
    }
    phases
}

/// One pass over one object.
async fn pass<R: Reconciler>(object: Arc<R::Object>, context: Arc<Context>) -> Result<Action, Never> {
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    let id = format!("{}/{namespace}/{name}", R::NAME);
    let api: Api<R::Object> = Api::namespaced(context.client.clone(), &namespace);
    let (began, pace) = (Instant::now(), context.pace);
    let Some((outcome, again)) = once::<R>(&context, &api, &name).await else {
        context.clear_failures(&id);
        return Ok(Action::await_change());
    };
    context.metrics.observe_pass(R::NAME, &outcome, began.elapsed());
    if let Outcome::Failed(error) = &outcome {
        if error.is_race() {
            tracing::debug!(
                controller = R::NAME,
                object.name = name,
                error = errors::chain(error),
                "pass overtaken"
            );
        } else {
            tracing::warn!(
                controller = R::NAME,
                object.name = name,
                error = errors::chain(error),
                "pass failed"
            );
        }
        let after = pause::after(&pace, context.count_failure(&id));
        return Ok(Action::requeue(after.max(error.retry_after().unwrap_or_default())));
    }
    tracing::debug!(controller = R::NAME, object.name = name, outcome = outcome.as_str(), "pass done");
    context.clear_failures(&id);
    Ok(match outcome {
        Outcome::Applied => Action::requeue(pause::spread(again.unwrap_or(pace.resync))),
        // The other holder of a name may give it up without anything of ours changing.
        Outcome::Rejected(r) if r.reason == Reason::NameTaken => {
            Action::requeue(pause::spread(pace.backoff_max))
        }
        Outcome::Rejected(_) => Action::await_change(),
        _ => Action::requeue(pause::spread(pace.wait)),
    })
}

/// Runs the steps over the object of a name as it is now; tells how it ended and when to look again, if not at the usual
/// time, and nothing when the object is no more.
pub(crate) async fn once<R: Reconciler>(
    context: &Context,
    api: &Api<R::Object>,
    name: &str,
) -> Option<(Outcome, Option<Duration>)> {
    match api.get_opt(name).await {
        Ok(None) => None,
        Ok(Some(object)) => carry_out::<R>(context, api, &object).await,
        Err(source) => Some((Outcome::Failed(StepError::read(R::Object::kind(&()), source)), None)),
    }
}

/// Runs the steps, then publishes the status.
async fn carry_out<R: Reconciler>(
    context: &Context,
    api: &Api<R::Object>,
    object: &R::Object,
) -> Option<(Outcome, Option<Duration>)> {
    let owner = owner::<R>(context, object);
    let mut trace = Trace { observed: None, valid: None, version: object.resource_version() };
    let outcome = if object.meta().deletion_timestamp.is_some() {
        match take_back::<R>(context, api, object, &owner).await {
            Ok(None) => return None,
            Ok(Some(waiting)) => Outcome::Deleting(waiting),
            Err(error) => Outcome::Failed(error),
        }
    } else {
        match Box::pin(steps::<R>(context, api, object, &owner, &mut trace)).await {
            Ok(outcome) => outcome,
            Err(error) => settle(error),
        }
    };
    if matches!(&outcome, Outcome::Failed(error) if error.is_race()) {
        // Nothing that the user should read: it is tried again at once, with what is true by then.
        return Some((outcome, None));
    }
    let pass = Pass {
        object,
        observed: trace.observed.as_ref(),
        valid: trace.valid.as_ref(),
        outcome: &outcome,
        settings: &context.settings,
        now: context.clock.now(),
    };
    let again = R::again(trace.observed.as_ref(), trace.valid.as_ref());
    let version = trace.version.as_deref();
    let published = publish::publish::<R>(context, api, object, version, R::status(&pass)).await;
    let outcome = match (outcome, published) {
        // What went wrong first is what is told.
        (Outcome::Failed(error), _) | (_, Err(error)) => Outcome::Failed(error),
        (outcome, Ok(())) => outcome,
    };
    Some((outcome, again))
}

/// The object as the owner of what it wants.
pub(crate) fn owner<R: Reconciler>(context: &Context, object: &R::Object) -> Owner {
    Owner {
        kind: publish::kind::<R>(),
        namespace: object.namespace().filter(|namespace| *namespace != context.settings.platform_namespace),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
    }
}

/// How far a pass came, for the status.
struct Trace<R: Reconciler> {
    observed: Option<R::Observed>,
    valid: Option<R::Valid>,
    /// The version of the object: the one that was read, or what the pass itself made of it.
    version: Option<String>,
}

async fn steps<R: Reconciler>(
    context: &Context,
    api: &Api<R::Object>,
    object: &R::Object,
    owner: &Owner,
    trace: &mut Trace<R>,
) -> Result<Outcome, StepError> {
    let observed = trace.observed.insert(R::observe(context, object, owner).await?);
    let valid = match R::validate(object, observed, &context.settings) {
        Ok(valid) => valid,
        Err(Stop::Waiting(waiting)) => return Ok(Outcome::Waiting(waiting)),
        Err(Stop::Rejected(rejection)) => return Ok(Outcome::Rejected(rejection)),
    };
    if let Some(held) = hold::<R>(api, object).await? {
        trace.version = held.resource_version();
    }
    let valid = trace.valid.insert(R::provision(context, valid).await?);
    let desired = R::desired(valid, &context.settings);
    let applied = apply::apply(context, owner, desired, R::inventory(observed)).await;
    let applied = applied.map_err(StepError::Apply)?;
    context.metrics.count_writes(R::NAME, "applied", applied.written);
    context.metrics.count_writes(R::NAME, "pruned", applied.pruned);
    if let Some(news) = R::news(valid) {
        publish::tell::<R>(context, object, news).await;
    }
    R::look_again(context, valid, observed).await?;
    Ok(R::unsettled(valid, observed).map_or(Outcome::Applied, Outcome::Unsettled))
}

/// What a failed step means: some failures are only something that is not there yet, or a name of somebody else's.
fn settle(error: StepError) -> Outcome {
    use crate::apply::ApplyError::{KindMissing, NamespaceMissing, Taken, Terminating};
    match error {
        StepError::Apply(error @ (KindMissing(_) | NamespaceMissing(_) | Terminating(_))) => {
            Outcome::Waiting(Waiting(format!("Waiting: {error}")))
        }
        StepError::Apply(error @ Taken(_)) => {
            Outcome::Rejected(crate::outcome::Rejection::taken(error.to_string()))
        }
        StepError::Tunnel(error @ TunnelError::Taken(_)) => {
            Outcome::Rejected(crate::outcome::Rejection::taken(error.to_string()))
        }
        other => Outcome::Failed(other),
    }
}

/// Adds the finalizer, before the first thing that deletion would have to take back; gives the object, if that changed it.
async fn hold<R: Reconciler>(
    api: &Api<R::Object>,
    object: &R::Object,
) -> Result<Option<R::Object>, StepError> {
    let Some(ours) = R::FINALIZER.filter(|ours| !object.finalizers().iter().any(|f| f == ours)) else {
        return Ok(None);
    };
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(ours.to_owned());
    set_finalizers::<R>(api, object, &finalizers).await
}

/// Takes back everything; removes the finalizer once nothing is left.
async fn take_back<R: Reconciler>(
    context: &Context,
    api: &Api<R::Object>,
    object: &R::Object,
    owner: &Owner,
) -> Result<Option<Waiting>, StepError> {
    let Some(ours) = R::FINALIZER.filter(|ours| object.finalizers().iter().any(|f| f == ours)) else {
        return Ok(None);
    };
    if let Some(waiting) = R::cleanup(context, object, owner).await? {
        return Ok(Some(waiting));
    }
    let finalizers: Vec<String> = object.finalizers().iter().filter(|f| *f != ours).cloned().collect();
    set_finalizers::<R>(api, object, &finalizers).await?;
    publish::deleted::<R>(context, object).await;
    tracing::info!(controller = R::NAME, object.name = object.name_any(), "everything taken back");
    Ok(None)
}

async fn set_finalizers<R: Reconciler>(
    api: &Api<R::Object>,
    object: &R::Object,
    finalizers: &[String],
) -> Result<Option<R::Object>, StepError> {
    // The version guards against a finalizer that somebody else set meanwhile.
    let metadata = json!({ "finalizers": finalizers, "resourceVersion": object.resource_version() });
    let parameters = PatchParams {
        field_manager: Some(aphex_api::labels::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch(&object.name_any(), &parameters, &Patch::Merge(json!({ "metadata": metadata }))).await {
        Ok(changed) => Ok(Some(changed)),
        Err(kube::Error::Api(status)) if object.meta().deletion_timestamp.is_some() && status.code == 404 => {
            Ok(None)
        }
        Err(source) => Err(StepError::Finalizer(Box::new(source))),
    }
}

/// A pass cannot fail: its outcome is a value.
#[derive(Debug, thiserror::Error)]
enum Never {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::ApplyError;

    #[test]
    fn a_missing_kind_or_namespace_is_waited_for() {
        let missing = StepError::Apply(ApplyError::KindMissing("AppProject.argoproj.io".into()));
        assert!(matches!(settle(missing), Outcome::Waiting(_)));
        let missing = StepError::Apply(ApplyError::NamespaceMissing("argocd".into()));
        assert!(matches!(settle(missing), Outcome::Waiting(w) if w.0.contains("argocd")));
    }
}
