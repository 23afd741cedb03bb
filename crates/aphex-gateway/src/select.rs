//! Which triggers a listener offers an event to.
//!
//! Follows `merge` and `selectTriggers` of Tekton's sink: Trigger objects chosen by namespace and label, triggers written
//! in the listener, references to Trigger objects beside it, and groups. A trigger reached twice runs twice, as there.

pub(crate) mod labels;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aphex_api::foreign::triggers::{EventListener, NamespaceSelector, Trigger, TriggerGroup, TriggerSpec};
use aphex_api::labels::DELIVERIES_NAMESPACE;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt as _;
use kube::core::SelectorExt as _;

use crate::interceptors;
use crate::secrets::Candidate;

/// The ServiceAccount that creates a trigger's resources.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A trigger that is offered an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// Name of the trigger; `trigger-<index>` for one that a listener holds without a name. The second of a name that is
    /// reached in the same way is `<name>#2`, so that results and resources of the two are told apart.
    pub name: String,
    /// What the label of its resources says: the name as it is written.
    pub label: String,
    /// Namespace of the trigger.
    pub namespace: String,
    /// What it does.
    pub trigger: Arc<Trigger>,
    /// The group that offers it, whose interceptors come first.
    pub group: Option<Arc<TriggerGroup>>,
    /// Whether names of resources derive from the group too, since an earlier offer has the namespace and the name already.
    pub by_group: bool,
    /// Who creates its resources: the trigger's account, else the listener's, else the listener's namespace's `default`.
    pub account: Account,
}

impl Offer {
    /// The webhook secrets that an event's sender must all know for the trigger to fire; none means never.
    pub fn secrets(&self, listener_namespace: &str) -> BTreeSet<Candidate> {
        let group =
            self.group.as_ref().map(|group| interceptors::secrets(&group.interceptors, listener_namespace));
        group
            .into_iter()
            .flatten()
            .chain(interceptors::secrets(&self.trigger.spec.interceptors, &self.namespace))
            .collect()
    }

    /// The namespace in which Deliveries of the trigger's events are kept, where that is not the listener's.
    ///
    /// Only a Trigger beside the listener may say so, and only namespaces that the listener names one by one count: whoever
    /// writes Triggers elsewhere could else have Deliveries written to the namespaces of others.
    pub fn home(&self, listener: &EventListener) -> Option<&str> {
        if listener.metadata.namespace.as_deref() != Some(&self.namespace) {
            return None;
        }
        let wanted = self.trigger.annotations().get(DELIVERIES_NAMESPACE)?;
        let named = &listener.spec.namespace_selector.match_names;
        (*wanted != self.namespace && named.contains(wanted)).then_some(wanted)
    }
}

/// The one namespace in which all these triggers keep their Deliveries; none where they differ.
pub fn home<'a>(offers: impl IntoIterator<Item = &'a Offer>, listener: &EventListener) -> Option<String> {
    let mut offers = offers.into_iter();
    let home = offers.next()?.home(listener)?;
    offers.all(|offer| offer.home(listener) == Some(home)).then(|| home.to_owned())
}

/// Finds Trigger objects.
pub trait Triggers {
    /// Trigger objects of one namespace, or of all, in order of namespace and name.
    fn triggers(&self, namespace: Option<&str>) -> Vec<Arc<Trigger>>;
    /// One Trigger object.
    fn trigger(&self, namespace: &str, name: &str) -> Option<Arc<Trigger>>;
}

/// All triggers a listener offers events to; as upstream none at all, if its own selector cannot be read.
pub fn offers(listener: &EventListener, known: &dyn Triggers) -> Vec<Offer> {
    let namespace = listener.namespace().unwrap_or_default();
    let spec = &listener.spec;
    let selected = select(&spec.namespace_selector, spec.label_selector.as_ref(), &namespace, known);
    let Some(selected) = selected else { return Vec::new() };
    let mut offers: Vec<Offer> = selected.iter().map(|trigger| offer(trigger, None, listener)).collect();
    for (index, entry) in spec.triggers.iter().enumerate() {
        if let Some(template) = &entry.template {
            let name = if entry.name.is_empty() { format!("trigger-{index}") } else { entry.name.clone() };
            let spec = TriggerSpec {
                bindings: entry.bindings.clone(),
                template: template.clone(),
                interceptors: entry.interceptors.clone(),
                service_account_name: entry.service_account_name.clone(),
                ..TriggerSpec::default()
            };
            let mut trigger = Trigger::new(&name, spec);
            trigger.metadata.namespace = Some(namespace.clone());
            offers.push(Offer { label: entry.name.clone(), ..offer(&Arc::new(trigger), None, listener) });
        } else if let Some(trigger) = known.trigger(&namespace, &entry.trigger_ref) {
            offers.push(offer(&trigger, None, listener));
        }
    }
    for (index, group) in spec.trigger_groups.iter().enumerate() {
        let selector = &group.trigger_selector;
        let mut group = group.clone();
        if group.name.is_empty() {
            group.name = format!("group-{index}");
        }
        let group = Arc::new(group);
        let members =
            select(&selector.namespace_selector, selector.label_selector.as_ref(), &namespace, known);
        offers.extend(members.iter().flatten().map(|trigger| offer(trigger, Some(&group), listener)));
    }
    tell_apart(&mut offers);
    offers
}

/// Marks offers of the same namespace and name, in their order, so that each is itself again whenever the event is looked at.
///
/// The first stays as it is, which is all that most listeners have. No name of a trigger has a `#`: a label holds it.
fn tell_apart(offers: &mut [Offer]) {
    let mut times = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let marks: Vec<(usize, bool)> = offers
        .iter()
        .map(|offer| {
            let group = offer.group.as_ref().map(|group| group.name.as_str());
            let name = (offer.namespace.as_str(), offer.name.as_str());
            let time: &mut usize = times.entry((name, group)).or_default();
            *time += 1;
            (*time, !taken.insert((name, *time)))
        })
        .collect();
    for (offer, (time, by_group)) in offers.iter_mut().zip(marks) {
        offer.by_group = by_group;
        if time > 1 {
            offer.name = format!("{}#{time}", offer.name);
        }
    }
}

fn offer(trigger: &Arc<Trigger>, group: Option<&Arc<TriggerGroup>>, listener: &EventListener) -> Offer {
    let namespace = trigger.namespace().unwrap_or_default();
    let own = &trigger.spec.service_account_name;
    let shared = &listener.spec.service_account_name;
    let account = if own.is_empty() {
        let name = if shared.is_empty() { "default".to_owned() } else { shared.clone() };
        Account { namespace: listener.namespace().unwrap_or_default(), name }
    } else {
        Account { namespace: namespace.clone(), name: own.clone() }
    };
    Offer {
        name: trigger.name_any(),
        label: trigger.name_any(),
        namespace,
        trigger: Arc::clone(trigger),
        group: group.cloned(),
        by_group: false,
        account,
    }
}

/// The Trigger objects that a selector selects; none where it cannot be read.
fn select(
    namespaces: &NamespaceSelector,
    labels: Option<&LabelSelector>,
    own: &str,
    known: &dyn Triggers,
) -> Option<Vec<Arc<Trigger>>> {
    let selector = labels::read(labels).ok()?;
    let found: Vec<Arc<Trigger>> = match namespaces.match_names.as_slice() {
        [all] if all == "*" => known.triggers(None),
        [] if labels.is_some() => known.triggers(Some(own)),
        // Without a name a namespace is every one, as in all of Kubernetes.
        names => {
            let named = |name: &String| known.triggers(Some(name.as_str()).filter(|name| !name.is_empty()));
            names.iter().flat_map(named).collect()
        }
    };
    Some(found.into_iter().filter(|trigger| selector.matches(trigger.labels())).collect())
}

#[cfg(test)]
mod tests;
