//! The `ServiceAccount` plugin: the account's token in the pod, and the secrets a pod may use.

use serde_json::{Value, json};

use super::push;
use crate::fields::{at, has, items, text};

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME: &str = "kube-api-access-";
/// A little more than an hour, by which kubelets tell tokens of pods that ask for nothing special.
const TOKEN_SECONDS: u32 = 3607;
const MIRROR: &str = "kubernetes.io/config.mirror";
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

/// Whether a pod only mirrors one that a node runs by itself.
pub fn is_mirror(pod: &Value) -> bool {
    at(pod, "metadata.annotations").get(MIRROR).is_some()
}

/// Why a mirror pod may not be; none if it may.
pub fn mirror_refusal(pod: &Value) -> Option<&'static str> {
    let projects_token = |volume: &Value| {
        items(volume, "projected.sources").iter().any(|source| has(source, "serviceAccountToken"))
    };
    if !text(pod, "spec.serviceAccountName").is_empty() {
        Some("a mirror pod may not reference service accounts")
    } else if uses_secrets(pod) {
        Some("a mirror pod may not reference secrets")
    } else if items(pod, "spec.volumes").iter().any(projects_token) {
        Some("a mirror pod may not use ServiceAccountToken volume projections")
    } else {
        None
    }
}

fn uses_secrets(pod: &Value) -> bool {
    let volumes = items(pod, "spec.volumes").iter();
    !items(pod, "spec.imagePullSecrets").is_empty()
        || volumes.into_iter().any(|volume| has(volume, "secret"))
        || ["initContainers", "containers", "ephemeralContainers"]
            .iter()
            .flat_map(|list| items(pod, &format!("spec.{list}")))
            .any(|container| secrets_of(container).next().is_some())
}

/// The secrets a container's environment comes from: variable, if it is one, and name.
fn secrets_of(container: &Value) -> impl Iterator<Item = (Option<&str>, &str)> {
    let variables = items(container, "env")
        .iter()
        .filter(|variable| has(variable, "valueFrom.secretKeyRef"))
        .map(|variable| (Some(text(variable, "name")), text(variable, "valueFrom.secretKeyRef.name")));
    let whole = items(container, "envFrom")
        .iter()
        .filter(|source| has(source, "secretRef"))
        .map(|source| (None, text(source, "secretRef.name")));
    variables.chain(whole)
}

/// Whether a pod gets its account's token: it says so, else the account, else yes.
pub fn is_automounted(pod: &Value, account: &Value) -> bool {
    let own = at(pod, "spec.automountServiceAccountToken").as_bool();
    own.or(at(account, "automountServiceAccountToken").as_bool()).unwrap_or(true)
}

/// Mounts a token, the cluster's CA and the namespace into every container that has nothing there.
///
/// `name` is that of the volume if one has to be made; it starts with `kube-api-access-`.
pub fn mount_token(pod: &mut Value, name: &str) {
    let volumes = items(pod, "spec.volumes").iter().map(|volume| text(volume, "name"));
    let existing = volumes.into_iter().find(|name| name.starts_with(VOLUME)).map(str::to_owned);
    let name = existing.clone().unwrap_or_else(|| name.to_owned());
    let mount = json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH});
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let containers =
            pod.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if items(container, "volumeMounts").iter().any(|mount| text(mount, "mountPath") == MOUNT_PATH) {
                continue;
            }
            mounted = true;
            match container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
                Some(mounts) => mounts.push(mount.clone()),
                None => container["volumeMounts"] = json!([mount]),
            }
        }
    }
    if mounted && existing.is_none() {
        push(pod, "volumes", token_volume(&name));
    }
}

fn token_volume(name: &str) -> Value {
    let ca = json!({"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]});
    let namespace =
        json!({"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}});
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
        {"configMap": ca},
        {"downwardAPI": {"items": [namespace]}},
    ]}})
}

/// Gives a pod without pull secrets those of its account.
pub fn pull_secrets(pod: &mut Value, account: &Value) {
    let names = items(account, "imagePullSecrets").iter().map(|secret| json!({"name": text(secret, "name")}));
    let secrets: Vec<Value> = names.collect();
    if items(pod, "spec.imagePullSecrets").is_empty() && !secrets.is_empty() {
        pod["spec"]["imagePullSecrets"] = Value::Array(secrets);
    }
}

/// Why a pod may not use a secret, where its account lists those that it may; none if it may use all it names.
pub fn forbidden_reference(pod: &Value, account: &Value, ephemeral: bool) -> Option<String> {
    let enforced = at(account, "metadata.annotations").get(ENFORCE).and_then(Value::as_str);
    if !matches!(enforced, Some("1" | "t" | "T" | "true" | "TRUE" | "True")) {
        return None;
    }
    let owner = text(account, "metadata.name");
    let listed =
        |list: &str, name: &str| items(account, list).iter().any(|secret| text(secret, "name") == name);
    if ephemeral {
        return forbidden_variable(pod, "ephemeralContainers", "ephemeral container", owner, &listed);
    }
    let volumes = items(pod, "spec.volumes").iter().filter(|volume| has(volume, "secret"));
    let hidden =
        volumes.map(|volume| text(volume, "secret.secretName")).find(|name| !listed("secrets", name));
    if let Some(name) = hidden {
        return Some(format!(
            "volume with secret.secretName=\"{name}\" is not allowed because service account {owner} does not \
             reference that secret"
        ));
    }
    for (list, label) in [("initContainers", "init container"), ("containers", "container")] {
        let found = forbidden_variable(pod, list, label, owner, &listed);
        if found.is_some() {
            return found;
        }
    }
    let mut pulls = items(pod, "spec.imagePullSecrets").iter().map(|secret| text(secret, "name")).enumerate();
    let (index, name) = pulls.find(|(_, name)| !listed("imagePullSecrets", name))?;
    Some(format!(
        "imagePullSecrets[{index}].name=\"{name}\" is not allowed because service account {owner} does not reference \
         that imagePullSecret"
    ))
}

fn forbidden_variable(
    pod: &Value,
    list: &str,
    label: &str,
    owner: &str,
    listed: &impl Fn(&str, &str) -> bool,
) -> Option<String> {
    items(pod, &format!("spec.{list}")).iter().find_map(|container| {
        let (variable, secret) = secrets_of(container).find(|(_, name)| !listed("secrets", name))?;
        let source = variable.map_or_else(|| "envFrom".to_owned(), |variable| format!("envVar {variable}"));
        Some(format!(
            "{label} {} with {source} referencing secret.secretName=\"{secret}\" is not allowed because service \
             account {owner} does not reference that secret",
            text(container, "name")
        ))
    })
}
