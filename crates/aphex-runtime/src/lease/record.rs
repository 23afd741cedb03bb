//! The record in a Lease, and since when it has been as it is.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::core::ObjectMeta;
use tokio::time::Instant;

use super::Settings;

/// A record as it was last seen.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) lease: Lease,
    /// Whether it is the newest version, as far as is known.
    pub(super) current: bool,
    /// Since when the record has not changed, by this process's clock.
    since: Instant,
}

impl Observed {
    pub(super) fn new(lease: Lease, now: Instant) -> Self {
        Self { lease, current: true, since: now }
    }

    /// A record read again: one that says the same counts since it was first seen.
    pub(super) fn again(before: Option<Self>, found: Lease, now: Instant) -> Self {
        let since =
            before.filter(|before| before.lease.spec == found.spec).map_or(now, |before| before.since);
        Self { lease: found, current: true, since }
    }

    /// Who else holds the Lease, if anybody does.
    pub(super) fn held_by_another(&self, identity: &str, now: Instant) -> Option<String> {
        let holder = holder(&self.lease).filter(|holder| *holder != identity)?;
        let seconds =
            self.lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
        let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        (now < self.since + duration).then(|| holder.to_owned())
    }
}

/// Who holds a Lease.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    (!holder.is_empty()).then_some(holder)
}

/// The Lease that its first holder creates.
pub(super) fn first(settings: &Settings, now: Timestamp) -> Lease {
    let metadata = ObjectMeta {
        name: Some(settings.name.clone()),
        namespace: Some(settings.namespace.clone()),
        ..ObjectMeta::default()
    };
    let held = LeaseSpec { lease_transitions: Some(0), ..held(settings, now) };
    Lease { metadata, spec: Some(held) }
}

/// The record that replaces another: renewed, or taken over.
pub(super) fn next(before: &Lease, settings: &Settings, now: Timestamp) -> Lease {
    let old = before.spec.clone().unwrap_or_default();
    let transitions = old.lease_transitions.unwrap_or_default();
    let held = held(settings, now);
    let spec = if holder(before) == Some(settings.identity.as_str()) {
        LeaseSpec { acquire_time: old.acquire_time, lease_transitions: Some(transitions), ..held }
    } else {
        LeaseSpec { lease_transitions: Some(transitions.saturating_add(1)), ..held }
    };
    Lease { metadata: before.metadata.clone(), spec: Some(spec) }
}

/// The record that says that nobody holds the Lease.
pub(super) fn released(before: &Lease, now: Timestamp) -> Lease {
    let spec = LeaseSpec {
        lease_transitions: before.spec.as_ref().and_then(|spec| spec.lease_transitions),
        lease_duration_seconds: Some(1),
        renew_time: Some(MicroTime(now)),
        acquire_time: Some(MicroTime(now)),
        ..LeaseSpec::default()
    };
    Lease { metadata: before.metadata.clone(), spec: Some(spec) }
}

fn held(settings: &Settings, now: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(settings.identity.clone()),
        lease_duration_seconds: Some(i32::try_from(settings.duration.as_secs()).unwrap_or(i32::MAX)),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        ..LeaseSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(identity: &str) -> Settings {
        Settings::new("platform-system", "role", identity)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn spec(lease: &Lease) -> &LeaseSpec {
        lease.spec.as_ref().unwrap()
    }

    #[test]
    fn a_record_keeps_others_out_until_it_has_not_changed_for_its_duration() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let one = first(&settings("one"), at(0));
        let seen = Observed::new(one.clone(), start);
        assert_eq!(seen.held_by_another("one", start), None);
        assert_eq!(seen.held_by_another("two", later(14)).as_deref(), Some("one"));
        assert_eq!(seen.held_by_another("two", later(15)), None);
        let same = Observed::again(Some(seen), one.clone(), later(14));
        assert_eq!(same.held_by_another("two", later(15)), None, "the same record is no sign of life");
        let renewed = Observed::again(Some(same), next(&one, &settings("one"), at(9999)), later(14));
        assert_eq!(renewed.held_by_another("two", later(28)).as_deref(), Some("one"));
    }

    #[test]
    fn renewing_keeps_the_time_of_acquiring_and_taking_over_counts() {
        let one = first(&settings("one"), at(0));
        let renewed = next(&one, &settings("one"), at(2));
        assert_eq!(spec(&renewed).acquire_time, spec(&one).acquire_time);
        assert_eq!(spec(&renewed).renew_time, Some(MicroTime(at(2))));
        assert_eq!(spec(&renewed).lease_transitions, Some(0));
        let taken = next(&renewed, &settings("two"), at(20));
        assert_eq!(holder(&taken), Some("two"));
        assert_eq!(
            (spec(&taken).acquire_time.clone(), spec(&taken).lease_transitions),
            (Some(MicroTime(at(20))), Some(1))
        );
    }

    #[test]
    fn a_released_lease_is_free_at_once() {
        let start = Instant::now();
        let free = released(&first(&settings("one"), at(0)), at(5));
        assert_eq!(holder(&free), None);
        assert_eq!(Observed::new(free, start).held_by_another("two", start), None);
    }
}
