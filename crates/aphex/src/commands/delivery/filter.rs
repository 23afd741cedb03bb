//! Which deliveries are meant: what labels can say the server selects by, the rest is looked at here.

use aphex_api::delivery::{Delivery, EVENT_LABEL, LISTENER_LABEL, listener_namespace};
use aphex_api::labels::is_value;
use jiff::Timestamp;
use serde_json::Value;

use crate::cli::{Filters, Outcome};
use crate::exit;

/// Filters, with times in place of how long ago.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    repository: Option<String>,
    event: Option<String>,
    verdict: Option<Outcome>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Namespace, where one was given, and name.
    listener: Option<(Option<String>, String)>,
}

impl Filter {
    /// Refuses times that nothing is between.
    pub(crate) fn of(filters: &Filters, now: Timestamp) -> anyhow::Result<Self> {
        let listener = filters.listener.as_deref().map(|text| match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name.to_owned()),
            None => (None, text.to_owned()),
        });
        let (since, until) =
            (filters.since.map(|moment| moment.at(now)), filters.until.map(|moment| moment.at(now)));
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            let message = format!(
                "--since must be before --until: nothing is received from {since:.0} on and before {until:.0}"
            );
            return Err(exit::Coded { code: exit::USAGE, message }.into());
        }
        Ok(Self {
            repository: filters.repo.clone(),
            event: filters.event.clone(),
            verdict: filters.verdict,
            since,
            until,
            listener,
        })
    }

    /// The label selector, with another that was given. The label of the repository is no help: GitHub's names ignore case.
    pub(crate) fn selector(&self, given: Option<&str>) -> Option<String> {
        let listener = self.listener.as_ref().map(|(_, name)| name);
        let labels = [(EVENT_LABEL, self.event.as_ref()), (LISTENER_LABEL, listener)];
        let labels = labels.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let labels = labels.filter(|(_, value)| !value.is_empty() && is_value(value));
        let parts = labels.map(|(key, value)| format!("{key}={value}"));
        let parts: Vec<String> = given.map(str::to_owned).into_iter().chain(parts).collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }

    /// Whether it is one of them; what cannot be read is none.
    pub(crate) fn wants(&self, object: &Value) -> bool {
        serde_json::from_value(object.clone()).is_ok_and(|delivery| self.wants_delivery(&delivery))
    }

    pub(crate) fn wants_delivery(&self, delivery: &Delivery) -> bool {
        let spec = &delivery.spec;
        let created = delivery.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let received = spec.received_time.as_ref().map(|time| time.0).or(created).unwrap_or_default();
        let verdict = delivery.status.as_ref().and_then(|status| status.verdict);
        self.repository.as_ref().is_none_or(|wanted| spec.repository.eq_ignore_ascii_case(wanted))
            && self.event.as_ref().is_none_or(|wanted| spec.event == *wanted)
            && self.verdict.is_none_or(|wanted| wanted.is(verdict))
            && self.since.is_none_or(|since| received >= since)
            && self.until.is_none_or(|until| received < until)
            && self.listener.as_ref().is_none_or(|(namespace, name)| {
                spec.listener == *name
                    && namespace.as_ref().is_none_or(|namespace| listener_namespace(delivery) == namespace)
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::Moment;

    fn wants(filters: &Filters) -> bool {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        Filter::of(filters, now).unwrap().wants(&json!({
            "apiVersion": "aphex.io/v1alpha1", "kind": "Delivery",
            "metadata": { "name": "one", "namespace": "shop" },
            "spec": {
                "listener": "github-listener", "listenerNamespace": "org-acme", "deliveryID": "one", "event": "push",
                "repository": "Acme/Shop", "payload": "", "verifiedBy": [], "receivedTime": "2026-11-24T11:00:00.5Z",
            },
            "status": { "verdict": "NotWanted" },
        }))
    }

    #[test]
    fn each_filter_looks_at_its_own() {
        let text = |text: &str| Some(text.to_owned());
        let ago = |hours: i64| Some(Moment::Ago(jiff::SignedDuration::from_hours(hours)));
        assert!(wants(&Filters::default()));
        let none = Filters::default;
        let place = "org-acme/github-listener";
        assert!(wants(&Filters { repo: text("acme/shop"), ..none() }));
        assert!(!wants(&Filters { repo: text("acme/shopping"), ..none() }));
        assert!(wants(&Filters { event: text("push"), ..none() }));
        assert!(!wants(&Filters { event: text("pull_request"), ..none() }));
        assert!(wants(&Filters { verdict: Some(Outcome::NotWanted), ..none() }));
        assert!(!wants(&Filters { verdict: Some(Outcome::Pending), ..none() }));
        assert!(wants(&Filters { listener: text(place), ..none() }));
        assert!(!wants(&Filters { listener: text("shop/github-listener"), ..none() }));
        assert!(wants(&Filters { listener: text("github-listener"), ..Filters::default() }));
        assert!(wants(&Filters { since: ago(1), ..Filters::default() }));
        assert!(!wants(&Filters {
            since: Some(Moment::At("2026-11-24T11:00:01Z".parse().unwrap())),
            ..Filters::default()
        }));
        assert!(!wants(&Filters { until: ago(1), ..Filters::default() }));
        let nothing = Filters { since: ago(1), until: ago(2), ..Filters::default() };
        let refused = Filter::of(&nothing, Timestamp::now()).unwrap_err();
        assert_eq!(exit::code_of(&refused), exit::USAGE, "{refused}");
    }

    #[test]
    fn labels_narrow_what_the_server_sends() {
        let filters = Filters {
            event: Some("push".into()),
            listener: Some("org-acme/github-listener".into()),
            ..Filters::default()
        };
        let filter = Filter::of(&filters, Timestamp::UNIX_EPOCH).unwrap();
        let expected = "a=b,platform.aphex/event=push,platform.aphex/event-listener=github-listener";
        assert_eq!(filter.selector(Some("a=b")).as_deref(), Some(expected));
        assert_eq!(Filter::default().selector(None), None);
    }
}
