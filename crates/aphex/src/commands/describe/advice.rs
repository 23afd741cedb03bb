//! What to do next, from what was found.

use aphex_api::conditions::Reason;
use aphex_api::organization::condition;
use aphex_controllers::plan::{Health, Owned};
use serde_json::Value;

use super::Found;
use crate::commands::look::{name, text};

/// One line for each thing that somebody can do; nothing when all is well.
pub(super) fn next(found: &Found) -> Vec<String> {
    let mut next = Vec::new();
    next.extend(unseen(found));
    next.extend(conditions(&found.object));
    if let Some(examination) = &found.examination {
        next.extend(objects(&examination.owned));
        next.extend(examination.foreign.iter().map(|foreign| {
            let place = foreign.namespace.as_ref().map_or(String::new(), |namespace| format!("{namespace}/"));
            format!(
                "{} {place}{} carries this object's name in its labels and the uid of another; it is left alone: \
                 delete it, or take the labels platform.aphex/owner-* off",
                foreign.kind, foreign.name
            )
        }));
    }
    if let Some(glimpse) = &found.glimpse {
        next.extend(objects(&glimpse.owned));
    }
    next.extend(activity(found));
    next
}

/// The controllers have not looked, or not at this spec.
fn unseen(found: &Found) -> Option<String> {
    let object = &found.object;
    let running =
        "is one running? `kubectl get deployment -n platform-system aphex-controller`, or start `aphex up`";
    if object.get("status").is_none_or(|status| status["conditions"].is_null()) {
        return Some(format!("no controller has looked at it yet: {running}"));
    }
    let (seen, is) =
        (object["status"]["observedGeneration"].as_i64(), object["metadata"]["generation"].as_i64());
    (seen < is).then(|| format!("the status speaks of an older spec: if that stays so, {running}"))
}

fn conditions(object: &Value) -> Vec<String> {
    let all = object.pointer("/status/conditions").and_then(Value::as_array);
    let ready = all.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    let bad = ready.filter(|condition| condition["status"] != "True");
    let advised = |condition: &Value| {
        let reason = text(condition, "/reason");
        let advice = Reason::from_wire(&reason)?.advice()?;
        Some(format!("{reason}: {advice}"))
    };
    let advice = bad.and_then(advised);
    let all = object.pointer("/status/conditions").and_then(Value::as_array);
    // An object can be Ready while a part of it is not: a knowledge base with a repository that does not answer.
    let part = |c: &&Value| bad.is_none() && c["status"] == "False";
    let parts = all.into_iter().flatten().filter(part).filter_map(advised);
    let former = all.into_iter().flatten().filter(|c| c["type"] == condition::FORMER_EXPOSURE);
    let mut lines: Vec<String> =
        advice.into_iter().chain(parts).chain(former.map(|c| text(c, "/message"))).collect();
    lines.dedup();
    lines
}

fn objects(owned: &[Owned]) -> Vec<String> {
    let mut next = Vec::new();
    let amiss =
        owned.iter().filter(|one| matches!(one.health, Health::Missing | Health::Drifted | Health::Unwanted));
    let amiss = amiss.count();
    if amiss > 0 {
        next.push(format!(
            "{amiss} of its objects are not as they should be; a controller repairs that within seconds. If it stays: \
             is one running? `kubectl get deployment -n platform-system aphex-controller`, or start `aphex up`"
        ));
    }
    for one in owned {
        if let Some(ready) = one.ready.as_ref().filter(|ready| !ready.ready) {
            next.push(format!(
                "{} {} is not ready: {} {}",
                one.named.kind, one.named.name, ready.reason, ready.message
            ));
        }
    }
    next
}

fn activity(found: &Found) -> Vec<String> {
    let mut next = Vec::new();
    if let Some(failed) = found.deliveries.first().filter(|delivery| delivery["verdict"] == "Failed") {
        let (namespace, name) = (text(failed, "/namespace"), text(failed, "/name"));
        next.push(format!("the last delivery failed: `aphex delivery get {name} -n {namespace}` says why"));
    }
    if let Some(failed) = found.runs.first().filter(|run| run["state"] == "Failed") {
        let (namespace, name) = (text(failed, "/namespace"), text(failed, "/name"));
        next.push(format!(
            "the last run failed: `kubectl describe pipelinerun -n {namespace} {name}` says where"
        ));
    }
    let ready = found.object["status"]["phase"] == "Ready";
    let none = found.deliveries.is_empty() && found.unseen.is_empty();
    if ready && found.scene.repository.is_some() && none {
        if found.glimpse.is_some() {
            next.push(no_webhook(&found.object));
            return next;
        }
        let binding = found.binding.as_ref().map_or_else(|| name(&found.object).to_owned(), Clone::clone);
        next.push(format!(
            "no webhook has come yet: enter address and secret at GitHub, or send an event with `aphex push {binding}`; \
             `aphex repo check {binding}` tests the way"
        ));
    }
    next
}

/// What a developer does, who has no webhook secret.
fn no_webhook(object: &Value) -> String {
    let url = match text(object, "/status/webhookURL") {
        none if none.is_empty() => "the address of the status".to_owned(),
        url => url,
    };
    format!(
        "no webhook has come yet: at GitHub it goes to {url}; the secret is with the platform's administrators, who also \
         test the way with `aphex repo check`"
    )
}

#[cfg(test)]
mod tests {
    use aphex_controllers::plan::{Examination, Glimpse, Named};
    use serde_json::json;

    use super::*;

    fn found(status: &Value) -> Found {
        Found {
            object: json!({ "metadata": { "name": "a", "generation": 2 }, "status": status }),
            ..Found::default()
        }
    }

    fn ready(state: &str, reason: &str) -> Value {
        json!({ "observedGeneration": 2, "conditions": [{ "type": "Ready", "status": state, "reason": reason }] })
    }

    #[test]
    fn all_that_is_well_needs_nothing() {
        assert_eq!(next(&found(&ready("True", "Provisioned"))), Vec::<String>::new());
    }

    #[test]
    fn each_fault_has_its_line() {
        let of = |found: &Found| next(found).join("\n");
        assert!(of(&found(&json!({}))).contains("no controller has looked"));
        assert!(of(&found(&ready("False", "NameTaken"))).starts_with("NameTaken: choose another name"));
        let mut old = found(&ready("True", "Provisioned"));
        old.object["metadata"]["generation"] = json!(3);
        assert!(of(&old).contains("an older spec"));

        let mut part = ready("True", "Tracking");
        let unreachable =
            json!({ "type": "RepositoriesReachable", "status": "False", "reason": "Unreachable" });
        part["conditions"].as_array_mut().unwrap().push(unreachable);
        assert!(of(&found(&part)).starts_with("Unreachable: mend or remove"), "{}", of(&found(&part)));

        let mut run = found(&ready("True", "Provisioned"));
        run.runs = vec![json!({ "namespace": "n", "name": "r", "state": "Failed" })];
        assert!(of(&run).contains("kubectl describe pipelinerun -n n r"));

        let mut new = found(&ready("True", "Provisioned"));
        new.object["status"]["phase"] = json!("Ready");
        new.object["status"]["webhookURL"] = json!("https://acme.example.com");
        new.scene.repository = Some("acme/web".to_owned());
        assert!(of(&new).contains("`aphex push a`"), "{}", of(&new));
        // Whoever may not read the binding has no secret to send anything with.
        new.glimpse = Some(Glimpse::default());
        let said = of(&new);
        assert!(said.contains("https://acme.example.com") && !said.contains("aphex push"), "{said}");

        let named = Named {
            api_version: "v1".into(),
            kind: "Secret".into(),
            namespace: Some("n".into()),
            name: "s".into(),
        };
        let missing = Owned { named: named.clone(), health: Health::Missing, ready: None };
        let mut astray = found(&ready("True", "Provisioned"));
        astray.examination =
            Some(Examination { owned: vec![missing], foreign: vec![named], ..Examination::default() });
        let said = of(&astray);
        assert!(
            said.contains("1 of its objects") && said.contains("Secret n/s carries this object's name"),
            "{said}"
        );
    }
}
