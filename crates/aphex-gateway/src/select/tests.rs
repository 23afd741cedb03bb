use aphex_api::foreign::triggers::{
    EventListenerSpec, EventListenerTrigger, InterceptorParam, InterceptorRef, TemplateRef,
    TriggerInterceptor, TriggerSelector,
};
use serde_json::json;

use super::*;
use crate::snapshot::{Objects, Snapshot};

fn trigger(namespace: &str, name: &str, organization: &str) -> Trigger {
    let mut trigger = Trigger::new(name, TriggerSpec::default());
    trigger.metadata.namespace = Some(namespace.into());
    trigger.metadata.labels = Some([("organization".to_owned(), organization.to_owned())].into());
    trigger
}

fn snapshot() -> Snapshot {
    let mut own = trigger("acme", "b", "acme");
    own.spec.service_account_name = "own".into();
    let triggers =
        vec![own, trigger("acme", "a", "other"), trigger("web", "c", "acme"), trigger("api", "d", "other")];
    Snapshot::of(Objects { triggers, ..Objects::default() })
}

fn names(spec: EventListenerSpec) -> String {
    let all = offers(&listener(spec), &snapshot());
    all.iter().map(|offer| format!("{}/{}", offer.namespace, offer.name)).collect::<Vec<_>>().join(" ")
}

fn listener(spec: EventListenerSpec) -> EventListener {
    let mut listener = EventListener::new("el", spec);
    listener.metadata.namespace = Some("acme".into());
    listener
}

fn within(names: &[&str]) -> NamespaceSelector {
    NamespaceSelector { match_names: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn labelled(organization: &str) -> LabelSelector {
    let labels = [("organization".to_owned(), organization.to_owned())].into();
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

#[test]
fn selectors_choose_as_tektons_sink_does() {
    let spec = |namespaces: &[&str], labels: Option<LabelSelector>| EventListenerSpec {
        namespace_selector: within(namespaces),
        label_selector: labels,
        ..EventListenerSpec::default()
    };
    assert_eq!(names(spec(&[], None)), "");
    assert_eq!(names(spec(&[], Some(labelled("acme")))), "acme/b");
    assert_eq!(names(spec(&["*"], None)), "acme/a acme/b api/d web/c");
    assert_eq!(names(spec(&["web", "api"], None)), "web/c api/d");
    assert_eq!(names(spec(&["web", "api"], Some(labelled("other")))), "api/d");
    assert_eq!(names(spec(&["nowhere"], None)), "");
    assert_eq!(names(spec(&[""], Some(labelled("other")))), "acme/a api/d");
}

#[test]
fn triggers_in_place_and_by_name_follow_the_selected() {
    let by_name =
        |name: &str| EventListenerTrigger { trigger_ref: name.into(), ..EventListenerTrigger::default() };
    let in_place = EventListenerTrigger {
        name: "inline".into(),
        template: Some(TemplateRef::default()),
        ..EventListenerTrigger::default()
    };
    let unnamed = EventListenerTrigger { name: String::new(), ..in_place.clone() };
    let spec = EventListenerSpec {
        namespace_selector: within(&["acme"]),
        triggers: vec![by_name("b"), in_place, unnamed, by_name("missing")],
        ..EventListenerSpec::default()
    };
    assert_eq!(names(spec), "acme/a acme/b acme/b#2 acme/inline acme/trigger-2");
}

#[test]
fn a_group_offers_its_members_apart() {
    let group = TriggerGroup {
        name: "g".into(),
        trigger_selector: TriggerSelector {
            label_selector: Some(labelled("acme")),
            ..TriggerSelector::default()
        },
        ..TriggerGroup::default()
    };
    let spec = EventListenerSpec {
        label_selector: Some(labelled("acme")),
        trigger_groups: vec![group],
        ..EventListenerSpec::default()
    };
    let all = offers(&listener(spec), &snapshot());
    let groups: Vec<_> =
        all.iter().map(|offer| offer.group.as_ref().map(|group| group.name.as_str())).collect();
    assert_eq!(groups, [None, Some("g")]);
}

#[test]
fn groups_without_a_name_are_told_apart() {
    let selector = TriggerSelector { label_selector: Some(labelled("acme")), ..TriggerSelector::default() };
    let group = TriggerGroup { trigger_selector: selector, ..TriggerGroup::default() };
    let spec =
        EventListenerSpec { trigger_groups: vec![group.clone(), group], ..EventListenerSpec::default() };
    let all = offers(&listener(spec), &snapshot());
    let groups: Vec<_> =
        all.iter().filter_map(|offer| offer.group.as_ref()).map(|group| group.name.as_str()).collect();
    assert_eq!(groups, ["group-0", "group-1"]);
}

#[test]
fn triggers_of_the_same_name_are_all_offered_and_told_apart() {
    let in_place = EventListenerTrigger {
        name: "b".into(),
        template: Some(TemplateRef::default()),
        ..EventListenerTrigger::default()
    };
    let by_name = EventListenerTrigger { trigger_ref: "b".into(), ..EventListenerTrigger::default() };
    let selector = TriggerSelector { label_selector: Some(labelled("acme")), ..TriggerSelector::default() };
    let group = |name: &str| TriggerGroup {
        name: name.into(),
        trigger_selector: selector.clone(),
        ..TriggerGroup::default()
    };
    let spec = EventListenerSpec {
        label_selector: Some(labelled("acme")),
        triggers: vec![by_name, in_place],
        trigger_groups: vec![group("g"), group("g"), group("h")],
        ..EventListenerSpec::default()
    };
    let all = offers(&listener(spec), &snapshot());
    let told: Vec<(&str, &str, Option<&str>, bool)> = all
        .iter()
        .map(|o| (o.name.as_str(), o.label.as_str(), o.group.as_ref().map(|g| g.name.as_str()), o.by_group))
        .collect();
    let expected = [
        ("b", "b", None, false),
        ("b#2", "b", None, false),
        ("b#3", "b", None, false),
        ("b", "b", Some("g"), true),
        ("b#2", "b", Some("g"), true),
        ("b", "b", Some("h"), true),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_trigger_that_only_groups_reach_is_itself_in_the_first() {
    let selector = TriggerSelector { label_selector: Some(labelled("acme")), ..TriggerSelector::default() };
    let group = |name: &str| TriggerGroup {
        name: name.into(),
        trigger_selector: selector.clone(),
        ..TriggerGroup::default()
    };
    let spec =
        EventListenerSpec { trigger_groups: vec![group("g"), group("h")], ..EventListenerSpec::default() };
    let all = offers(&listener(spec), &snapshot());
    assert_eq!(all.iter().map(|offer| offer.by_group).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn the_triggers_own_account_comes_first() {
    let accounts = |shared: &str| {
        let spec = EventListenerSpec {
            namespace_selector: within(&["acme", "web"]),
            service_account_name: shared.into(),
            ..EventListenerSpec::default()
        };
        let all = offers(&listener(spec), &snapshot());
        all.iter()
            .map(|o| format!("{}/{}", o.account.namespace, o.account.name))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(accounts("shared"), "acme/shared acme/own acme/shared");
    assert_eq!(accounts(""), "acme/default acme/own acme/default");
}

#[test]
fn a_trigger_needs_the_secrets_of_its_group_and_its_own() {
    let github = |secret: &str| TriggerInterceptor {
        reference: InterceptorRef { name: "github".into(), ..InterceptorRef::default() },
        params: vec![InterceptorParam {
            name: "secretRef".into(),
            value: json!({ "secretName": secret, "secretKey": "secret" }),
        }],
        ..TriggerInterceptor::default()
    };
    let mut member = trigger("web", "c", "acme");
    member.spec.interceptors = vec![github("own")];
    let group =
        TriggerGroup { name: "g".into(), interceptors: vec![github("shared")], ..TriggerGroup::default() };
    let made = offer(&Arc::new(member), Some(&Arc::new(group)), &listener(EventListenerSpec::default()));
    let secrets: Vec<_> =
        made.secrets("acme").into_iter().map(|(_, s)| format!("{}/{}", s.namespace, s.name)).collect();
    assert_eq!(secrets, ["acme/shared", "web/own"]);
    assert!(
        offer(&Arc::new(trigger("web", "c", "acme")), None, &listener(EventListenerSpec::default()))
            .secrets("acme")
            .is_empty()
    );
}

#[test]
fn a_listener_whose_selector_cannot_be_read_offers_nothing() {
    let selector = |labels: serde_json::Value| serde_json::from_value::<LabelSelector>(labels).unwrap();
    let broken = || {
        selector(
            json!({ "matchExpressions": [{ "key": "organization", "operator": "NotIn", "values": [] }] }),
        )
    };
    let group = |labels: LabelSelector| TriggerGroup {
        name: "group".into(),
        trigger_selector: TriggerSelector { label_selector: Some(labels), ..TriggerSelector::default() },
        ..TriggerGroup::default()
    };
    let spec = |own: Option<LabelSelector>, of_group: LabelSelector| EventListenerSpec {
        label_selector: own,
        triggers: vec![EventListenerTrigger { trigger_ref: "a".into(), ..EventListenerTrigger::default() }],
        trigger_groups: vec![group(of_group)],
        ..EventListenerSpec::default()
    };
    assert_eq!(names(spec(None, labelled("acme"))), "acme/a acme/b");
    assert_eq!(names(spec(None, broken())), "acme/a");
    assert_eq!(names(spec(Some(broken()), labelled("acme"))), "");
}
