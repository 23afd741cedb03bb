//! What is wrong with a trigger, listener, binding or template as it is written; pure.
//!
//! Only what no other object can heal: that a template or binding is missing shows when an event comes, since it may
//! still be on its way. The rules are those of Tekton's admission webhook (`pkg/apis/triggers/v1beta1/*_validation.go`),
//! which a cluster need not have, and what else can be known before an event comes: expressions that do not compile.

use std::collections::BTreeSet;

use aphex_api::foreign::triggers::{
    Binding, ClientConfig, ClusterInterceptor, ClusterTriggerBinding, EventListener, EventListenerTrigger,
    Interceptor, InterceptorStatus, Param, TemplateRef, Trigger, TriggerBinding, TriggerInterceptor,
    TriggerTemplate, TriggerTemplateSpec,
};
use reqwest::{Certificate, Url};
use serde_json::Value;

use crate::evaluate::accepts_unsigned;
use crate::interceptors::{self, Builtin, cel, github, gitlab, slack};
use crate::select::{Offer, Triggers};
use crate::{bindings, jsonpath, select, snapshot, templates};

/// What makes a trigger fire that no secret guards.
const HEALS: &str = "give it one, or let unsigned events in with the listener's annotation platform.aphex/unsigned-events: accept";

/// What is said of an entry of a listener that is left out, while the others go on.
const UNREADABLE: &str = "cannot be read, and counts as not there";

/// A kind whose objects may be written wrongly.
pub trait Checked {
    /// A sentence for each thing that is wrong.
    fn problems(&self) -> Vec<String>;
}

impl Checked for Trigger {
    fn problems(&self) -> Vec<String> {
        let spec = &self.spec;
        let mut found = chain("spec", &spec.interceptors);
        found.extend(bound("spec", &spec.bindings));
        found.extend(template("spec.template", &spec.template));
        found
    }
}

impl Checked for EventListener {
    fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (index, entry) in self.spec.triggers.iter().enumerate() {
            let at = format!("spec.triggers[{index}]");
            if let Some(problem) = &entry.unreadable {
                found.push(format!("{at} {UNREADABLE}: {problem}"));
                continue;
            }
            found.extend(entry_problems(&at, entry));
            let reached = entry.template.is_some() && !accepts_unsigned(self);
            if reached && interceptors::secrets(&entry.interceptors, "").next().is_none() {
                found.push(format!("{at} has no interceptor with a secretRef, so it never fires: {HEALS}"));
            }
        }
        for (index, group) in self.spec.trigger_groups.iter().enumerate() {
            let at = format!("spec.triggerGroups[{index}]");
            if let Some(problem) = &group.unreadable {
                found.push(format!("{at} {UNREADABLE}: {problem}"));
                continue;
            }
            found.extend(chain(&at, &group.interceptors));
            let selector = &group.trigger_selector;
            if selector.label_selector.is_none() && selector.namespace_selector.is_empty() {
                found.push(format!(
                    "{at}.triggerSelector selects nothing: it has neither namespaces nor labels"
                ));
            }
            if let Err(error) = select::labels::read(selector.label_selector.as_ref()) {
                found.push(format!(
                    "{at}.triggerSelector.labelSelector selects nothing, since it cannot be read: {error}"
                ));
            }
        }
        if let Err(error) = select::labels::read(self.spec.label_selector.as_ref()) {
            found.push(format!(
                "spec.labelSelector cannot be read, so no trigger is offered an event: {error}"
            ));
        }
        found.extend(told_at(self.spec.rest.get("cloudEventURI")));
        found
    }
}

/// A sentence for each Trigger beside a listener that it offers events to and that no secret guards.
///
/// Those written in the listener are among its own problems; whether these ever fire is up to two or three objects.
pub fn unguarded(listener: &EventListener, known: &dyn Triggers) -> Vec<String> {
    if accepts_unsigned(listener) {
        return Vec::new();
    }
    let namespace = listener.metadata.namespace.as_deref().unwrap_or_default();
    let mut beside = listener.clone();
    beside.spec.triggers.retain(|entry| entry.template.is_none());
    let mut offers = select::offers(&beside, known);
    // Of one that is reached in several ways it is told once.
    let mut told = BTreeSet::new();
    offers.retain(|offer| {
        offer.secrets(namespace).is_empty() && told.insert((offer.namespace.clone(), offer.label.clone()))
    });
    let sentence = |offer: Offer| {
        format!(
            "it offers events to Trigger {}/{}, which has no interceptor with a secretRef, so it never fires: {HEALS}",
            offer.namespace, offer.label
        )
    };
    offers.into_iter().map(sentence).collect()
}

impl Checked for TriggerTemplate {
    fn problems(&self) -> Vec<String> {
        resources("spec", &self.spec)
    }
}

impl Checked for TriggerBinding {
    fn problems(&self) -> Vec<String> {
        given(&self.spec.params)
    }
}

impl Checked for ClusterTriggerBinding {
    fn problems(&self) -> Vec<String> {
        given(&self.spec.params)
    }
}

impl Checked for Interceptor {
    fn problems(&self) -> Vec<String> {
        reached(&self.spec.client_config, self.status.as_ref())
    }
}

impl Checked for ClusterInterceptor {
    fn problems(&self) -> Vec<String> {
        // What is built in needs no address.
        if self.metadata.name.as_deref().and_then(Builtin::named).is_some() {
            return Vec::new();
        }
        reached(&self.spec.client_config, self.status.as_ref())
    }
}

/// What is wrong with where an interceptor is reached.
fn reached(config: &ClientConfig, status: Option<&InterceptorStatus>) -> Vec<String> {
    let endpoint = match snapshot::endpoint(config, status) {
        Ok(endpoint) => endpoint,
        Err(message) => return vec![format!("it {message}")],
    };
    let mut found = Vec::new();
    let readable = |url: &str| Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !readable(&endpoint.url) {
        found.push(format!("spec.clientConfig leads to {}, which is no http or https address", endpoint.url));
    }
    let bundle = endpoint.ca_bundle.unwrap_or_default();
    let none = Certificate::from_pem_bundle(bundle.as_bytes()).map_or(true, |found| found.is_empty());
    if !bundle.is_empty() && none {
        found.push("spec.clientConfig.caBundle has no certificate that can be read".to_owned());
    }
    found
}

/// What is wrong with where CloudEvents are sent; nothing where none are.
fn told_at(uri: Option<&Value>) -> Option<String> {
    let uri = uri.filter(|uri| !uri.is_null() && *uri != "")?;
    let readable = uri.as_str().and_then(|uri| Url::parse(uri).ok());
    let called = readable.is_some_and(|uri| matches!(uri.scheme(), "http" | "https"));
    (!called).then(|| format!("spec.cloudEventURI is {uri}, which is no http or https address"))
}

fn entry_problems(at: &str, entry: &EventListenerTrigger) -> Vec<String> {
    let Some(made) = &entry.template else {
        let nothing = entry.trigger_ref.is_empty();
        return nothing.then(|| format!("{at} has neither template nor triggerRef")).into_iter().collect();
    };
    let mut found = chain(at, &entry.interceptors);
    found.extend(bound(at, &entry.bindings));
    found.extend(template(&format!("{at}.template"), made));
    found
}

fn chain(at: &str, chain: &[TriggerInterceptor]) -> Vec<String> {
    let one = |(index, interceptor): (usize, &TriggerInterceptor)| {
        let problems = interceptor_problems(interceptor);
        problems.into_iter().map(move |problem| format!("{at}.interceptors[{index}] {problem}"))
    };
    chain.iter().enumerate().flat_map(one).collect()
}

fn interceptor_problems(interceptor: &TriggerInterceptor) -> Vec<String> {
    let empty_key = |empty: bool| empty.then(|| "has a secretRef without secretKey".to_owned());
    let read = |read: Result<bool, String>| match read {
        Ok(empty) => empty_key(empty).into_iter().collect(),
        Err(message) => vec![format!("cannot be read: {message}")],
    };
    let params = interceptors::params::<github::Params>;
    match Builtin::of(interceptor) {
        Some(Builtin::Github) => read(params(interceptor).map(|params| params.has_empty_key())),
        Some(Builtin::Gitlab | Builtin::Bitbucket) => {
            read(interceptors::params::<gitlab::Params>(interceptor).map(|params| params.has_empty_key()))
        }
        Some(Builtin::Slack) => read(interceptors::params::<slack::Params>(interceptor).map(|_| false)),
        Some(Builtin::Cel) if interceptors::is_hollow(interceptor, "filter") => {
            vec!["has a filter without a value, so it lets every event pass".to_owned()]
        }
        Some(Builtin::Cel) => match interceptors::params::<cel::Params>(interceptor) {
            Ok(params) => params.problems(),
            Err(message) => vec![format!("cannot be read: {message}")],
        },
        None if interceptor.webhook.is_none() && interceptor.reference.name.is_empty() => {
            vec!["names no interceptor: ref.name is empty".to_owned()]
        }
        None => Vec::new(),
    }
}

fn bound(at: &str, bound: &[Binding]) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, binding) in bound.iter().enumerate() {
        let at = format!("{at}.bindings[{index}]");
        match (&binding.value, binding.name.as_str(), binding.reference.as_str()) {
            (Some(value), name, _) if !name.is_empty() => {
                if !seen.insert(name) {
                    found.push(format!("{at} gives the parameter {name} a second time"));
                }
                found.extend(expressions(&at, value));
            }
            (_, _, "") => found.push(format!("{at} has neither name and value nor ref")),
            _ if !matches!(binding.kind.as_str(), "" | "TriggerBinding" | "ClusterTriggerBinding") => {
                let kind = &binding.kind;
                found.push(format!(
                    "{at} has the kind {kind}: TriggerBinding or ClusterTriggerBinding is meant"
                ));
            }
            _ => {}
        }
    }
    found
}

fn given(params: &[Param]) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, param) in params.iter().enumerate() {
        let at = format!("spec.params[{index}]");
        if !seen.insert(param.name.as_str()) {
            found.push(format!("{at} gives the parameter {} a second time", param.name));
        }
        found.extend(expressions(&at, &param.value));
    }
    found
}

fn expressions(at: &str, value: &str) -> Vec<String> {
    let wrong = |(expression, original): (String, String)| {
        let error = jsonpath::check(&expression).err().filter(|_| !expression.is_empty())?;
        Some(format!("{at} has the value {original}, which cannot be read: {error}"))
    };
    bindings::expressions(value).into_iter().filter_map(wrong).collect()
}

fn template(at: &str, template: &TemplateRef) -> Vec<String> {
    let reference = template.reference.as_deref().unwrap_or_default();
    match &template.spec {
        Some(_) if !reference.is_empty() => vec![format!("{at} has both ref and spec")],
        Some(spec) => resources(&format!("{at}.spec"), spec),
        None if reference.is_empty() => vec![format!("{at} has neither ref nor spec")],
        None => Vec::new(),
    }
}

fn resources(at: &str, template: &TriggerTemplateSpec) -> Vec<String> {
    if template.resource_templates.is_empty() {
        return vec![format!("{at} has no resourcetemplates")];
    }
    let declared: BTreeSet<&str> = template.params.iter().map(|param| param.name.as_str()).collect();
    let mut found = Vec::new();
    for (index, resource) in template.resource_templates.iter().enumerate() {
        let at = format!("{at}.resourcetemplates[{index}]");
        for field in ["apiVersion", "kind"] {
            if resource[field].as_str().is_none_or(str::is_empty) {
                found.push(format!("{at} has no {field}"));
            }
        }
        for field in ["labels", "annotations"] {
            let texts = resource["metadata"][field].as_object().into_iter().flatten();
            let others = texts.filter(|(_, value)| !value.is_string()).map(|(key, _)| key);
            found.extend(
                others.map(|key| format!("{at}.metadata.{field} has for {key} no string: put it in quotes")),
            );
        }
        for name in templates::used(&resource.to_string()) {
            if !declared.contains(name.as_str()) {
                found
                    .push(format!("{at} uses $(tt.params.{name}), which is not among the template's params"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
