//! Admission compared with recorded answers of kube-apiserver: the same requests, one after another.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, JSON, MERGE, Server};

/// Messages that name several faults list them in the order of a Go map, which is none.
fn settled(message: &str) -> String {
    // Where a whole spec may not change, a diff of Go's internal types follows.
    let whole = message.contains(": spec: Forbidden: ");
    let message = if whole { message.lines().next().unwrap_or_default() } else { message };
    let Some((head, list)) = message.split_once(" is forbidden: [") else { return message.to_owned() };
    let mut faults: Vec<&str> = list.trim_end_matches(']').split(", ").collect();
    faults.sort_unstable();
    format!("{head} is forbidden: {faults:?}")
}

/// An object without what is different every time.
fn cleaned(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
            metadata.remove(field);
        }
    }
    if object["kind"] == "ValidatingAdmissionPolicy" {
        // A controller of Kubernetes fills it in a moment later; here it is there at once.
        object["status"] = json!({});
    }
    let mut text = object.to_string();
    let mut from = 0;
    while let Some(at) = text[from..].find("kube-api-access-") {
        let start = from + at + "kube-api-access-".len();
        text.replace_range(start..start + 5, "xxxxx");
        from = start;
    }
    serde_json::from_str(&text).unwrap()
}

/// Warnings of admission; others are of no interest here.
fn warnings(answer: &Answer) -> Vec<String> {
    let texts = answer.headers.get_all("warning").iter().map(|value| value.to_str().unwrap().to_owned());
    let plain = texts.map(|text| {
        let text = text.strip_prefix("299 - \"").and_then(|text| text.strip_suffix('"')).unwrap();
        text.replace("\\\"", "\"").replace("\\\\", "\\")
    });
    plain.filter(|text| is_of_admission(text)).collect()
}

fn is_of_admission(warning: &str) -> bool {
    warning.contains("PodSecurity")
        || warning.contains("ValidatingAdmissionPolicy")
        || warning.contains(": host ")
        || warning.contains(": privileged")
        || warning.contains(": allowPrivilegeEscalation")
}

fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |object, field| &object[field])
}

struct Replay {
    server: Server,
    namespace: String,
    wrong: Vec<String>,
    count: usize,
}

impl Replay {
    async fn start(namespace: &str, labels: &Value) -> Self {
        let server = Server::start().await;
        let object = json!({"metadata": {"name": namespace, "labels": labels}});
        server.post("/api/v1/namespaces", &object).await.expect(201);
        // What controllers put into every namespace.
        server.account(namespace).await;
        let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
        server.post(&maps, &json!({"metadata": {"name": "kube-root-ca.crt"}})).await.expect(201);
        Self { server, namespace: namespace.to_owned(), wrong: Vec::new(), count: 0 }
    }

    async fn until(&self, step: &Value) {
        let path = step["path"]
            .as_str()
            .unwrap()
            .replace("NSNAME", &self.namespace)
            .replace("/NS", &format!("/{}", self.namespace));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        loop {
            let answer = self.server.get(&path).await;
            let found = at(&answer.body, step["at"].as_str().unwrap());
            if *found == step["is"] {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{path}: {found} never became {}", step["is"]);
            tokio::task::yield_now().await;
        }
    }

    async fn step(&mut self, name: &str, step: &Value) {
        if step["do"] == "UNTIL" {
            return self.until(step).await;
        }
        let place = |text: &str| {
            text.replace("NSNAME", &self.namespace).replace("/NS", &format!("/{}", self.namespace))
        };
        let path = place(step["path"].as_str().unwrap());
        let body = if step["body"].is_null() { String::new() } else { place(&step["body"].to_string()) };
        let (method, media) = match step["do"].as_str().unwrap() {
            "MERGE" => (Method::PATCH, MERGE),
            "JSON" => (Method::PATCH, "application/json-patch+json"),
            other => (other.parse().unwrap(), JSON),
        };
        let user: Vec<&str> = step["as"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let answer = self.server.send_as(&user, method, &path, media, &body).await;
        self.count += 1;
        let mut ours = json!({"code": answer.code});
        let mut theirs = json!({"code": step["code"]});
        if answer.code >= 400 || step["code"].as_u64().unwrap() >= 400 {
            ours["reason"] = answer.body["reason"].clone();
            theirs["reason"] = step["reason"].clone();
            ours["message"] = json!(settled(answer.message()));
            theirs["message"] = json!(settled(&place(step["message"].as_str().unwrap_or_default())));
        } else if step["object"].is_object() {
            let object: Value = serde_json::from_str(&place(&step["object"].to_string())).unwrap();
            ours["object"] = cleaned(answer.body.clone());
            theirs["object"] = object;
        } else if let Some(fields) = step["fields"].as_object() {
            for (path, value) in fields {
                ours[path] = at(&answer.body, path).clone();
                theirs[path] = value.clone();
            }
        }
        let told: Vec<String> = step["warnings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(place)
            .filter(|text| is_of_admission(text))
            .collect();
        ours["warnings"] = json!(warnings(&answer));
        theirs["warnings"] = json!(told);
        if ours != theirs {
            self.wrong.push(format!("{name}: {} {path}\n  ours   {ours}\n  theirs {theirs}", step["do"]));
        }
    }
}

async fn replay(facts: &str) {
    let scenarios: Vec<Value> = serde_saphyr::from_str(facts).unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (number, scenario) in scenarios.iter().enumerate() {
        let mut replay = Replay::start(&format!("facts-{number}"), &scenario["labels"]).await;
        for step in scenario["steps"].as_array().unwrap() {
            replay.step(scenario["name"].as_str().unwrap(), step).await;
        }
        wrong.extend(replay.wrong);
        count += replay.count;
    }
    assert!(wrong.is_empty(), "{} of {count} differ\n{}", wrong.len(), wrong.join("\n"));
}

macro_rules! facts {
    ($($test:ident: $file:literal),+ $(,)?) => {
        $(#[tokio::test]
        async fn $test() {
            replay(include_str!(concat!("../facts/admission/", $file, ".yaml"))).await;
        })+
    };
}

facts! {
    limit_ranges_are_those_of_kubernetes: "limits",
    quotas_are_those_of_kubernetes: "quotas",
    pod_security_is_that_of_kubernetes: "security",
    pods_become_what_they_become_in_kubernetes: "pods",
    policies_decide_as_those_of_kubernetes: "policies",
    policies_are_checked_as_by_kubernetes: "rules",
    expressions_of_policies_are_typed_as_by_kubernetes: "types",
}
