//! What the watches have told: the runs of each tenant, their volumes, and what its binding says about them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use aphex_api::delivery::RunConcurrency;
use aphex_api::foreign::tekton::{PENDING, PipelineRun};
use aphex_api::labels;
use aphex_api::names::OrgName;
use aphex_api::repo_binding::RepoBinding;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt as _;
use kube::api::PartialObjectMeta;

use super::later::Decided;
use super::plan::{self, Action, Age, Policy, Run, State, Volume};
use crate::metrics::ControllerMetrics;
use crate::repo_binding::STANDALONE_PIPELINE;

/// How a run became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Among all there were.
    Listed,
    /// By itself, in the order of the engine.
    Watched,
}

/// The runs of each tenant, and what its binding says about them.
#[derive(Debug, Default)]
pub(super) struct Index {
    tenants: HashMap<String, Tenant>,
    /// The tenant namespace that each binding has.
    bindings: HashMap<String, String>,
    changed: BTreeSet<String>,
    seen: u64,
    /// What a list that is under way has told so far.
    listed_runs: HashSet<(String, String)>,
    listed_bindings: HashSet<String>,
    listed_volumes: HashSet<(String, String)>,
    /// The runs were listed, and what was decided about them before is to be looked at.
    relisted: bool,
    /// Runs that somebody took out of the queue.
    withdrawn: Vec<Decided>,
    runs_known: bool,
    bindings_known: bool,
}

#[derive(Debug, Default)]
struct Tenant {
    binding: Option<(String, Policy)>,
    /// The namespace of its listener, where that is another.
    listener: Option<String>,
    runs: BTreeMap<String, Run>,
    volumes: BTreeMap<String, Volume>,
    /// Runs of which something was asked, until the watch tells that they did it.
    asked: HashMap<String, Asked>,
    queued: i64,
}

/// What was asked of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Begin,
    Stop,
    Go,
}

/// What is to be done for a binding.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) binding: String,
    pub(super) actions: Vec<Action>,
    pub(super) more: bool,
}

impl Index {
    pub(super) fn begin_runs(&mut self) {
        self.listed_runs.clear();
    }

    pub(super) fn put_run(&mut self, object: &PipelineRun, arrival: Arrival) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        if arrival == Arrival::Listed {
            self.listed_runs.insert((namespace.clone(), name.clone()));
        }
        // The label tells whose run it is; in any other namespace it is nobody's. A tenant that stands alone has one Pipeline.
        let pipeline = object.labels().get(labels::PIPELINE).map(String::as_str);
        let is_tenants = pipeline == Some(namespace.as_str()) || pipeline == Some(STANDALONE_PIPELINE);
        if !is_tenants || object.metadata.deletion_timestamp.is_some() {
            self.remove_run(&namespace, &name);
            return;
        }
        let known = self.tenants.get(&namespace).and_then(|tenant| tenant.runs.get(&name));
        let seen = match known.filter(|known| Some(&known.uid) == object.metadata.uid.as_ref()) {
            Some(known) => known.age.seen,
            None if arrival == Arrival::Listed => 0,
            None => {
                self.seen += 1;
                self.seen
            }
        };
        let run = read(object, seen);
        let tenant = self.tenants.entry(namespace.clone()).or_default();
        if let Some(before) = tenant.runs.insert(name, run.clone())
            && run.concurrency.is_none()
            && before.uid == run.uid
        {
            self.withdrawn.extend(tenant.withdrawn(&namespace, before));
        }
        self.changed.insert(namespace);
    }

    pub(super) fn end_runs(&mut self) {
        let listed = std::mem::take(&mut self.listed_runs);
        for (namespace, tenant) in &mut self.tenants {
            let is_gone = |name: &String, _: &mut Run| !listed.contains(&(namespace.clone(), name.clone()));
            let gone: Vec<Run> = tenant.runs.extract_if(.., is_gone).map(|(_, run)| run).collect();
            if !gone.is_empty() {
                self.changed.insert(namespace.clone());
            }
            for run in gone {
                self.withdrawn.extend(tenant.withdrawn(namespace, run));
            }
        }
        self.runs_known = true;
        self.relisted = true;
    }

    pub(super) fn remove_run(&mut self, namespace: &str, name: &str) {
        let Some(tenant) = self.tenants.get_mut(namespace) else { return };
        if let Some(run) = tenant.runs.remove(name) {
            let asked = tenant.asked.remove(&run.uid);
            if asked.is_none() {
                self.withdrawn.extend(tenant.withdrawn(namespace, run));
            }
            self.changed.insert(namespace.to_owned());
        }
    }

    pub(super) fn begin_bindings(&mut self) {
        self.listed_bindings.clear();
    }

    pub(super) fn put_binding(&mut self, object: &RepoBinding) {
        let name = object.name_any();
        self.listed_bindings.insert(name.clone());
        // Of two that claim a name one has the namespace, and says so.
        let has = object.status.as_ref().is_some_and(|status| status.namespace_created);
        let tenant = crate::repo_binding::tenant(&object.spec).filter(|_| has);
        let Some(namespace) = tenant.map(str::to_owned) else {
            self.remove_binding(&name);
            return;
        };
        let policy = Policy {
            concurrency: object.spec.options.concurrency.unwrap_or_default(),
            retention: object.spec.options.retention.unwrap_or_default(),
        };
        let binding = Some((name.clone(), policy));
        let organization = object.spec.aphex_org.as_deref().and_then(|name| name.parse::<OrgName>().ok());
        let tenant = self.tenants.entry(namespace.clone()).or_default();
        tenant.listener = organization.map(|organization| organization.namespace());
        if tenant.binding != binding {
            tenant.binding = binding;
            self.changed.insert(namespace.clone());
        }
        self.bindings.insert(name, namespace);
    }

    pub(super) fn end_bindings(&mut self) {
        let listed = std::mem::take(&mut self.listed_bindings);
        let gone: Vec<String> =
            self.bindings.keys().filter(|name| !listed.contains(*name)).cloned().collect();
        for name in gone {
            self.remove_binding(&name);
        }
        self.bindings_known = true;
    }

    pub(super) fn remove_binding(&mut self, name: &str) {
        let Some(namespace) = self.bindings.remove(name) else { return };
        let Some(tenant) = self.tenants.get_mut(&namespace) else { return };
        tenant.binding = None;
        self.changed.insert(namespace);
    }

    pub(super) fn begin_volumes(&mut self) {
        self.listed_volumes.clear();
    }

    /// Takes note of a volume if it was made for a run.
    pub(super) fn put_volume(&mut self, object: &PartialObjectMeta<PersistentVolumeClaim>, arrival: Arrival) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        if arrival == Arrival::Listed {
            self.listed_volumes.insert((namespace.clone(), name.clone()));
        }
        let run = object.owner_references().iter().find(|owner| owner.kind == "PipelineRun");
        let Some(run) = run.filter(|_| object.metadata.deletion_timestamp.is_none()) else {
            self.remove_volume(&namespace, &name);
            return;
        };
        let volume =
            Volume { name: name.clone(), uid: object.uid().unwrap_or_default(), run: run.uid.clone() };
        self.tenants.entry(namespace.clone()).or_default().volumes.insert(name, volume);
        self.changed.insert(namespace);
    }

    pub(super) fn end_volumes(&mut self) {
        let listed = std::mem::take(&mut self.listed_volumes);
        for (namespace, tenant) in &mut self.tenants {
            tenant.volumes.retain(|name, _| listed.contains(&(namespace.clone(), name.clone())));
        }
    }

    pub(super) fn remove_volume(&mut self, namespace: &str, name: &str) {
        if let Some(tenant) = self.tenants.get_mut(namespace) {
            tenant.volumes.remove(name);
            self.changed.insert(namespace.to_owned());
        }
    }

    /// The tenants of which something changed, once everything is known.
    pub(super) fn take_changed(&mut self) -> BTreeSet<String> {
        if self.runs_known && self.bindings_known {
            std::mem::take(&mut self.changed)
        } else {
            BTreeSet::new()
        }
    }

    /// Has a tenant looked at again.
    pub(super) fn touch(&mut self, namespace: &str) {
        self.changed.insert(namespace.to_owned());
    }

    /// The namespace of a tenant's listener, where that is not the tenant's own.
    pub(super) fn listener(&self, namespace: &str) -> Option<String> {
        self.tenants.get(namespace)?.listener.clone()
    }

    /// What is to be told besides the plans: of runs that were withdrawn, and, once for each list, of runs made since then
    /// about which a process before this one may have decided without saying so.
    pub(super) fn take_decided(&mut self, since: Timestamp) -> Vec<Decided> {
        if !(self.runs_known && self.bindings_known) {
            return Vec::new();
        }
        let mut all = std::mem::take(&mut self.withdrawn);
        if !std::mem::take(&mut self.relisted) {
            return all;
        }
        for (namespace, tenant) in self.tenants.iter().filter(|(_, tenant)| tenant.binding.is_some()) {
            for run in tenant.runs.values().filter(|run| run.age.created >= since && !run.event.is_empty()) {
                let decided = run.concurrency.clone().filter(|one| *one != RunConcurrency::WAITING);
                all.extend(decided.map(|concurrency| Decided {
                    namespace: namespace.clone(),
                    run: run.clone(),
                    concurrency,
                }));
            }
        }
        all
    }

    /// What is to be done for a tenant; nothing where no binding has it.
    pub(super) fn plan(&mut self, namespace: &str, metrics: &ControllerMetrics) -> Option<Planned> {
        let tenant = self.tenants.get_mut(namespace)?;
        let runs = tenant.current();
        let queued = if tenant.binding.is_some() {
            runs.iter().filter(|run| run.state == State::Queued).count()
        } else {
            0
        };
        let queued = i64::try_from(queued).unwrap_or(i64::MAX);
        metrics.change_queued(queued - tenant.queued);
        tenant.queued = queued;
        let planned = tenant.binding.as_ref().map(|(binding, policy)| {
            let mut todo = plan::plan(policy, &runs);
            let volumes: Vec<Volume> = tenant.volumes.values().cloned().collect();
            todo.actions.extend(plan::free(&volumes, &runs));
            Planned { binding: binding.clone(), actions: todo.actions, more: todo.more }
        });
        if tenant.binding.is_none() && tenant.runs.is_empty() && tenant.volumes.is_empty() {
            self.tenants.remove(namespace);
        }
        planned
    }

    /// Remembers that the engine took an action, which the watch has yet to tell.
    pub(super) fn asked(&mut self, namespace: &str, action: &Action) {
        let Some(tenant) = self.tenants.get_mut(namespace) else { return };
        let asked = match action {
            Action::Free { volume, .. } => {
                tenant.volumes.remove(&volume.name);
                return;
            }
            Action::Release(_) => Asked::Begin,
            Action::Cancel { .. } => Asked::Stop,
            Action::Delete(_) => Asked::Go,
        };
        let run = action.run();
        if tenant.runs.get(&run.name).is_some_and(|known| known.uid == run.uid) {
            tenant.asked.insert(run.uid.clone(), asked);
        }
    }
}

impl Tenant {
    /// What is to be said of a run that was seen for the last time as it was before, or is no longer held back.
    fn withdrawn(&self, namespace: &str, before: Run) -> Option<Decided> {
        let waited = before.concurrency == Some(RunConcurrency::WAITING) && !before.event.is_empty();
        let is_ours = self.binding.is_some() && !self.asked.contains_key(&before.uid);
        let concurrency = RunConcurrency::WITHDRAWN;
        (waited && is_ours).then(|| Decided { namespace: namespace.to_owned(), run: before, concurrency })
    }

    /// The runs as they are after what was asked of them; a request is forgotten once the watch shows it done.
    fn current(&mut self) -> Vec<Run> {
        let mut runs = Vec::with_capacity(self.runs.len());
        for run in self.runs.values() {
            let state = match (self.asked.get(&run.uid), run.state) {
                (Some(Asked::Go), _) => continue,
                (Some(Asked::Begin), State::Queued) => State::Active,
                (Some(Asked::Stop), State::Queued | State::Active) => State::Stopping,
                (None, state) => state,
                (Some(_), state) => {
                    self.asked.remove(&run.uid);
                    state
                }
            };
            runs.push(Run { state, ..run.clone() });
        }
        runs
    }
}

/// A run, as far as it matters here.
fn read(object: &PipelineRun, seen: u64) -> Run {
    let note = |key: &str| object.annotations().get(key).map(String::as_str).unwrap_or_default();
    let created = object.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0);
    let event = object.labels().get(labels::EVENT_ID).map(String::as_str).unwrap_or_default();
    let triggered = note(labels::TRIGGERED_AT).parse().unwrap_or(created);
    Run {
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        version: object.resource_version().unwrap_or_default(),
        git_ref: note(labels::REF).to_owned(),
        event: if object.annotations().contains_key(labels::RERUN_OF) { "" } else { event }.to_owned(),
        concurrency: RunConcurrency::of(object.annotations(), object.spec.status.as_deref()),
        age: Age { triggered, created, seen },
        state: state(object, created, note(labels::QUEUED) == "true"),
    }
}

fn state(object: &PipelineRun, created: Timestamp, queued: bool) -> State {
    let status = object.status.as_ref();
    let ended = status.and_then(|status| status.completion_time.as_ref()).map_or(created, |time| time.0);
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    match conditions.iter().find(|condition| condition.kind == "Succeeded").map(|c| c.status.as_str()) {
        Some("True") => return State::Succeeded(ended),
        Some("False") => return State::Failed(ended),
        _ => {}
    }
    match object.spec.status.as_deref() {
        Some(PENDING) if queued => State::Queued,
        Some(PENDING) => State::Held,
        None | Some("") => State::Active,
        Some(_) => State::Stopping,
    }
}

#[cfg(test)]
mod tests;
