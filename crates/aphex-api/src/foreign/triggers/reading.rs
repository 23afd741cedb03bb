//! Reads lists as Go does, and entry by entry where one that is wrong must not take the others down.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{EventListenerTrigger, InterceptorParam, InterceptorRef, Rest, TriggerGroup, TriggerInterceptor};

/// An entry of a list that keeps its place although it cannot be read.
pub(super) trait Entry: DeserializeOwned {
    /// The entry as it was written, which does nothing, and why it cannot be read.
    fn unreadable(written: Rest, problem: String) -> Self;
}

impl Entry for EventListenerTrigger {
    fn unreadable(rest: Rest, problem: String) -> Self {
        Self { rest, unreadable: Some(problem), ..Self::default() }
    }
}

impl Entry for TriggerGroup {
    fn unreadable(rest: Rest, problem: String) -> Self {
        Self { rest, unreadable: Some(problem), ..Self::default() }
    }
}

/// A list whose entries are read one by one; null is an empty one.
pub(super) fn each<'de, D: Deserializer<'de>, T: Entry>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let read = |written: Value| {
        T::deserialize(&written).unwrap_or_else(|error| {
            let rest = if let Value::Object(fields) = written { fields } else { Map::new() };
            T::unreadable(rest, error.to_string())
        })
    };
    Ok(or_default::<_, Vec<Value>>(deserializer)?.into_iter().map(read).collect())
}

/// A value; null is what it is where it is not written, as to Go.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// An interceptor as it may be written, which includes the fields that `v1alpha1` has deprecated.
#[derive(Deserialize)]
pub(super) struct Written {
    name: Option<String>,
    #[serde(rename = "ref", default, deserialize_with = "or_default")]
    reference: InterceptorRef,
    #[serde(default, deserialize_with = "or_default")]
    params: Vec<InterceptorParam>,
    webhook: Option<Value>,
    bitbucket: Option<Hook>,
    cel: Option<Cel>,
    github: Option<Hook>,
    gitlab: Option<Hook>,
}

/// The deprecated `github`, `gitlab` and `bitbucket`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hook {
    secret_ref: Option<Value>,
    event_types: Option<Value>,
}

/// The deprecated `cel`.
#[derive(Deserialize)]
struct Cel {
    filter: Option<Value>,
    overlays: Option<Value>,
}

impl Hook {
    fn params(self) -> [(&'static str, Option<Value>); 2] {
        [("secretRef", self.secret_ref), ("eventTypes", self.event_types)]
    }
}

impl From<Written> for TriggerInterceptor {
    /// `updateCoreInterceptors` of `pkg/apis/triggers/v1alpha1/trigger_types.go`, which Tekton's defaulting applies.
    fn from(written: Written) -> Self {
        let Written { name, mut reference, mut params, webhook, bitbucket, cel, github, gitlab } = written;
        let cel = cel.map(|cel| [("filter", cel.filter), ("overlays", cel.overlays)]);
        // In the order in which Tekton looks: the first that is there counts.
        let deprecated = [
            ("bitbucket", bitbucket.map(Hook::params)),
            ("cel", cel),
            ("github", github.map(Hook::params)),
            ("gitlab", gitlab.map(Hook::params)),
        ];
        let meant = deprecated.into_iter().find_map(|(name, told)| Some((name, told?)));
        if reference.name.is_empty()
            && let Some((name, told)) = meant
        {
            name.clone_into(&mut reference.name);
            let told = told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            params = told.map(|(name, value)| InterceptorParam { name, value }).collect();
        }
        Self { name, reference, params, webhook }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{
        Binding, ClusterInterceptorSpec, EventListenerSpec, NamespaceSelector, Param, TemplateParam,
        TriggerBindingSpec, TriggerSpec, TriggerTemplateSpec,
    };
    use super::*;

    fn interceptor(written: Value) -> TriggerInterceptor {
        serde_json::from_value(written).unwrap()
    }

    #[test]
    fn an_entry_that_cannot_be_read_takes_no_other_down_and_is_kept_as_written() {
        let written = json!({
            "triggers": [
                { "name": "good", "template": { "ref": "t" } },
                { "name": "bad", "bindings": "oops", "template": { "ref": "t" } },
                { "name": "also-good", "template": { "ref": "t" } },
            ],
            "triggerGroups": [
                { "name": 7, "triggerSelector": { "namespaceSelector": { "matchNames": ["a"] } } },
                { "interceptors": [], "triggerSelector": {} },
            ],
        });
        let spec: EventListenerSpec = serde_json::from_value(written.clone()).unwrap();
        let read: Vec<bool> = spec.triggers.iter().map(|entry| entry.unreadable.is_none()).collect();
        assert_eq!(read, [true, false, true]);
        assert_eq!(spec.triggers[1].template, None, "it does nothing");
        assert!(spec.triggers[1].unreadable.as_deref().unwrap().contains("oops"));
        assert!(spec.trigger_groups[0].unreadable.is_some() && spec.trigger_groups[1].unreadable.is_none());
        assert!(spec.trigger_groups[0].trigger_selector.namespace_selector.is_empty(), "it selects nothing");
        let again = serde_json::to_value(spec).unwrap();
        assert_eq!(again["triggers"], written["triggers"]);
        assert_eq!(again["triggerGroups"][0]["name"], 7);
        let empty: EventListenerSpec = serde_json::from_value(json!({ "triggers": [null, "x"] })).unwrap();
        assert!(empty.triggers.iter().all(|entry| entry.unreadable.is_some()));
        let none: EventListenerSpec = serde_json::from_value(json!({ "triggers": null })).unwrap();
        assert!(none.triggers.is_empty());
    }

    #[test]
    fn deprecated_interceptors_are_those_of_today() {
        let secret = json!({ "secretName": "s", "secretKey": "k" });
        for host in ["github", "gitlab", "bitbucket"] {
            assert_eq!(
                interceptor(json!({ host: { "secretRef": secret, "eventTypes": ["push"] } })),
                interceptor(json!({
                    "ref": { "name": host },
                    "params": [
                        { "name": "secretRef", "value": secret }, { "name": "eventTypes", "value": ["push"] },
                    ],
                }))
            );
        }
        let overlays = json!([{ "key": "a", "expression": "b" }]);
        assert_eq!(
            interceptor(json!({ "cel": { "filter": "f", "overlays": overlays } })),
            interceptor(json!({
                "ref": { "name": "cel" },
                "params": [{ "name": "filter", "value": "f" }, { "name": "overlays", "value": overlays }],
            }))
        );
        // What is named counts, and what is there although it is empty.
        let named = json!({ "ref": { "name": "slack" }, "github": { "secretRef": secret } });
        assert_eq!(interceptor(named), interceptor(json!({ "ref": { "name": "slack" } })));
        assert_eq!(interceptor(json!({ "github": {} })), interceptor(json!({ "ref": { "name": "github" } })));
        let both = json!({ "github": {}, "cel": { "filter": "f" } });
        assert_eq!(interceptor(both).reference.name, "cel");
        assert_eq!(interceptor(json!({ "github": null })).reference.name, "");
        serde_json::from_value::<TriggerInterceptor>(json!({ "github": "oops" })).unwrap_err();
    }

    #[test]
    fn a_parameter_without_a_value_has_the_value_null_as_in_go() {
        let written = json!({ "ref": { "name": "cel" }, "params": [{ "name": "filter" }] });
        assert_eq!(interceptor(written).params[0].value, Value::Null);
        assert_eq!(interceptor(json!({ "ref": { "name": "cel" }, "params": null })).params, []);
    }

    #[test]
    fn null_is_what_is_not_written() {
        let listener: EventListenerSpec = serde_json::from_value(json!({
            "serviceAccountName": null, "namespaceSelector": null, "labelSelector": null, "triggerGroups": null,
            "triggers": [{
                "name": null, "triggerRef": null, "template": null, "serviceAccountName": null,
                "bindings": [{ "name": null, "value": null, "ref": null, "kind": null }],
                "interceptors": [{ "name": null, "ref": null, "params": null, "webhook": null, "cel": null }],
            }],
        }))
        .unwrap();
        assert_eq!(listener.triggers[0].unreadable, None);
        assert_eq!(listener.triggers[0].bindings, [Binding::default()]);
        let within: NamespaceSelector = serde_json::from_value(json!({ "matchNames": null })).unwrap();
        assert!(within.is_empty());
        let template: TriggerTemplateSpec =
            serde_json::from_value(json!({ "params": null, "resourcetemplates": null })).unwrap();
        assert_eq!(template, TriggerTemplateSpec::default());
        let declared: TemplateParam =
            serde_json::from_value(json!({ "name": "p", "description": null, "default": null })).unwrap();
        assert_eq!(declared.default, None);
        let binding: TriggerBindingSpec = serde_json::from_value(json!({ "params": null })).unwrap();
        assert_eq!(binding, TriggerBindingSpec::default());
        let param: Param = serde_json::from_value(json!({ "name": "p", "value": null })).unwrap();
        assert_eq!(param.value, "");
        let trigger: TriggerSpec = serde_json::from_value(json!({ "name": null, "template": null })).unwrap();
        assert_eq!(trigger, TriggerSpec::default());
        let service: ClusterInterceptorSpec =
            serde_json::from_value(json!({ "clientConfig": null })).unwrap();
        assert_eq!(service, ClusterInterceptorSpec::default());
    }
}
