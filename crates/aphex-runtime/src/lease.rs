//! Leader election by a Lease: of all replicas of a role one works, and another takes over when it is gone.
//!
//! The protocol is that of client-go's `leaderelection`, so `kubectl get lease` shows what it shows for other
//! controllers, and clocks of different machines are never compared: a candidate waits until the record has not changed
//! for a whole lease duration by its own clock. Beyond client-go, [`Leadership::guard`] stops a leader's writes: a
//! process that was paused past its lease may not write before it notices.

mod guard;
mod record;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

pub use guard::NotLeading;
use guard::Term;
use record::Observed;

use crate::{Clock, Metrics, Shutdown, errors};

/// Candidates wait up to this many times the retry period longer, so that they do not ask in step.
const JITTER: f64 = 1.2;

/// What is being competed for, and how patiently.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// This process; no other's, not even that of the same container before a restart.
    pub identity: String,
    /// How long an unchanged record keeps others out.
    pub duration: Duration,
    /// How long a leader may fail to renew before it steps down; shorter than `duration`.
    pub renew_deadline: Duration,
    /// The pause between two tries.
    pub retry: Duration,
}

impl Settings {
    /// With the durations that Kubernetes' own controllers use: 15, 10 and 2 seconds.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Why a leader leads no more.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Lost {
    /// Another process holds the Lease.
    #[error("{holder} has taken Lease {lease} over")]
    Taken {
        /// Namespace and name.
        lease: String,
        /// Who leads now.
        holder: String,
    },
    /// The Lease could not be renewed in time; another may hold it by now.
    #[error("Lease {lease} could not be renewed within {seconds} s")]
    Deadline {
        /// Namespace and name.
        lease: String,
        /// The renew deadline.
        seconds: u64,
    },
}

/// One try's result.
enum Try {
    Held,
    HeldBy(String),
    Failed,
}

/// Competes for a Lease.
pub struct Elector {
    api: Api<Lease>,
    settings: Settings,
    clock: Clock,
    observed: Option<Observed>,
    leads: Gauge,
}

impl std::fmt::Debug for Elector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elector").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Elector {
    /// A candidate; the gauge `aphex_leader` tells whether it leads.
    pub fn new(client: Client, settings: Settings, clock: Clock, metrics: &Metrics) -> Self {
        let leads = Gauge::default();
        metrics.register(|registry| {
            registry.register("aphex_leader", "1 while this process holds its role's Lease", leads.clone());
        });
        let api = Api::namespaced(client, &settings.namespace);
        Self { api, settings, clock, observed: None, leads }
    }

    /// Waits until this process leads; nothing when shutdown comes first.
    pub async fn acquire(mut self, shutdown: &Shutdown) -> Option<Leadership> {
        let stop = shutdown.token();
        tracing::info!(lease = self.lease(), identity = self.settings.identity, "waiting to lead");
        let mut leader = String::new();
        loop {
            let began = Instant::now();
            match stop.run_until_cancelled(self.attempt()).await? {
                Try::Held => {
                    tracing::info!(lease = self.lease(), identity = self.settings.identity, "leads");
                    self.leads.set(1);
                    let term = Term::until(began + self.settings.renew_deadline);
                    return Some(Leadership { elector: self, term });
                }
                Try::HeldBy(holder) if holder != leader => {
                    tracing::info!(lease = self.lease(), leader = holder, "another process leads");
                    leader = holder;
                }
                Try::HeldBy(_) | Try::Failed => {}
            }
            let pause = self.settings.retry.mul_f64(1.0 + JITTER * rand::random::<f64>());
            stop.run_until_cancelled(tokio::time::sleep(pause)).await?;
        }
    }

    /// Takes or renews the Lease if that is allowed now.
    async fn attempt(&mut self) -> Try {
        match self.take().await {
            Ok(tried) => tried,
            Err(error) => {
                // What is known may be out of date: the next try reads it first.
                if let Some(observed) = &mut self.observed {
                    observed.current = false;
                }
                // Losing a race is nothing to report.
                if !matches!(&error, kube::Error::Api(status) if status.code == 409) {
                    tracing::warn!(
                        lease = self.lease(),
                        error = errors::chain(&error),
                        "cannot take the Lease"
                    );
                }
                Try::Failed
            }
        }
    }

    async fn take(&mut self) -> kube::Result<Try> {
        let (name, identity) = (self.settings.name.as_str(), self.settings.identity.as_str());
        let known = self.observed.take();
        let observed = match known {
            // A leader writes over what it wrote last, without reading it first.
            Some(known) if known.current && record::holder(&known.lease) == Some(identity) => known,
            known => match self.api.get_opt(name).await {
                Ok(Some(found)) => Observed::again(known, found, Instant::now()),
                Ok(None) => {
                    let lease = record::first(&self.settings, self.clock.now());
                    let made = self.api.create(&PostParams::default(), &lease).await?;
                    self.observed = Some(Observed::new(made, Instant::now()));
                    return Ok(Try::Held);
                }
                Err(error) => {
                    self.observed = known;
                    return Err(error);
                }
            },
        };
        let observed = self.observed.insert(observed);
        if let Some(holder) = observed.held_by_another(identity, Instant::now()) {
            return Ok(Try::HeldBy(holder));
        }
        let lease = record::next(&observed.lease, &self.settings, self.clock.now());
        let written = self.api.replace(name, &PostParams::default(), &lease).await?;
        *observed = Observed::new(written, Instant::now());
        Ok(Try::Held)
    }

    fn lease(&self) -> String {
        format!("{}/{}", self.settings.namespace, self.settings.name)
    }
}

/// A Lease that this process holds, for as long as [`Leadership::renew`] runs.
#[derive(Debug)]
pub struct Leadership {
    elector: Elector,
    term: Term,
}

impl Leadership {
    /// The client with its writes bound to the lead: they are refused here from the moment at which another process
    /// might hold the Lease. Only what is on its way by then can still arrive.
    #[must_use]
    pub fn guard(&self, client: Client) -> Client {
        guard::client(client, self.term.clone())
    }

    /// Renews until the lead is lost.
    pub async fn renew(&mut self) -> Lost {
        let lost = self.keep().await;
        self.term.end();
        self.elector.leads.set(0);
        lost
    }

    async fn keep(&mut self) -> Lost {
        loop {
            tokio::time::sleep(self.elector.settings.retry).await;
            let began = Instant::now();
            // A process that was stopped for so long may not even ask: the time in which it may write is over.
            if !self.term.holds(began) {
                return self.too_late();
            }
            match tokio::time::timeout_at(self.term.end_time(), self.elector.attempt()).await {
                Ok(Try::Held) => self.term.extend(began + self.elector.settings.renew_deadline),
                Ok(Try::HeldBy(holder)) => return Lost::Taken { lease: self.elector.lease(), holder },
                Ok(Try::Failed) => {}
                Err(_) => return self.too_late(),
            }
        }
    }

    fn too_late(&self) -> Lost {
        Lost::Deadline {
            lease: self.elector.lease(),
            seconds: self.elector.settings.renew_deadline.as_secs(),
        }
    }

    /// Gives the lead up, so that another process need not wait for the Lease to run out.
    ///
    /// To be called when nothing of this process writes any more; writes through a guarded client are refused.
    pub async fn release(mut self) {
        self.term.end();
        self.elector.leads.set(0);
        let Some(observed) = self.elector.observed.take() else { return };
        if record::holder(&observed.lease) != Some(self.elector.settings.identity.as_str()) {
            return;
        }
        let lease = record::released(&observed.lease, self.elector.clock.now());
        let (name, parameters) = (&self.elector.settings.name, PostParams::default());
        let write = self.elector.api.replace(name, &parameters, &lease);
        match tokio::time::timeout(self.elector.settings.renew_deadline, write).await {
            Ok(Ok(_)) => tracing::info!(lease = self.elector.lease(), "lead given up"),
            Ok(Err(error)) => {
                let error = errors::chain(&error);
                tracing::warn!(
                    lease = self.elector.lease(),
                    error,
                    "Lease not released; it runs out by itself"
                );
            }
            Err(_) => {
                tracing::warn!(
                    lease = self.elector.lease(),
                    "Lease not released in time; it runs out by itself"
                );
            }
        }
    }
}
