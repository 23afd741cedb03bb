//! Defaults of pods and of the pod templates inside other kinds: `pkg/apis/core/v1/defaults.go`.

use serde_json::{Value, json};

use super::fill::Default::{NonZero, Null, Number, Object, Text};
use super::fill::{Table, each, fill};
use super::quantities;
use crate::fields::{at, int, map, text};

const SPEC: Table = &[
    ("dnsPolicy", Text("ClusterFirst")),
    ("restartPolicy", Text("Always")),
    ("securityContext", Object),
    ("terminationGracePeriodSeconds", Number(30)),
    ("schedulerName", Text("default-scheduler")),
    ("volumes[].secret?.defaultMode", Number(0o644)),
    ("volumes[].configMap?.defaultMode", Number(0o644)),
    ("volumes[].downwardAPI?.defaultMode", Number(0o644)),
    ("volumes[].downwardAPI?.items[].fieldRef?.apiVersion", Text("v1")),
    ("volumes[].projected?.defaultMode", Number(0o644)),
    ("volumes[].projected?.sources[].downwardAPI?.items[].fieldRef?.apiVersion", Text("v1")),
    ("volumes[].projected?.sources[].serviceAccountToken?.expirationSeconds", Number(3600)),
    ("volumes[].hostPath?.type", Text("")),
    ("volumes[].iscsi?.iscsiInterface", Text("default")),
    ("volumes[].rbd?.pool", Text("rbd")),
    ("volumes[].rbd?.user", Text("admin")),
    ("volumes[].rbd?.keyring", Text("/etc/ceph/keyring")),
    ("volumes[].azureDisk?.cachingMode", Text("ReadWrite")),
    ("volumes[].azureDisk?.fsType", Text("ext4")),
    ("volumes[].azureDisk?.readOnly", super::fill::Default::Bool(false)),
    ("volumes[].azureDisk?.kind", Text("Shared")),
    ("volumes[].scaleIO?.storageMode", Text("ThinProvisioned")),
    ("volumes[].scaleIO?.fsType", Text("xfs")),
    ("volumes[].ephemeral?.volumeClaimTemplate?.spec.volumeMode", Text("Filesystem")),
];

const CONTAINER: Table = &[
    ("terminationMessagePath", Text("/dev/termination-log")),
    ("terminationMessagePolicy", Text("File")),
    ("ports[].protocol", Text("TCP")),
    ("env[].valueFrom?.fieldRef?.apiVersion", Text("v1")),
    ("lifecycle?.postStart?.httpGet?.path", Text("/")),
    ("lifecycle?.postStart?.httpGet?.scheme", Text("HTTP")),
    ("lifecycle?.preStop?.httpGet?.path", Text("/")),
    ("lifecycle?.preStop?.httpGet?.scheme", Text("HTTP")),
    ("resources", Object),
];

const PROBE: Table = &[
    ("timeoutSeconds", NonZero(1)),
    ("periodSeconds", NonZero(10)),
    ("successThreshold", NonZero(1)),
    ("failureThreshold", NonZero(3)),
    ("httpGet?.path", Text("/")),
    ("httpGet?.scheme", Text("HTTP")),
    ("grpc?.service", Text("")),
];

const CONTAINERS: &[&str] = &["containers", "initContainers", "ephemeralContainers"];
const PROBES: &[&str] = &["livenessProbe", "readinessProbe", "startupProbe"];

/// Fills in a pod template.
pub(super) fn template(template: &mut Value) {
    let metadata = map(template).entry("metadata").or_insert(Value::Null);
    map(metadata).retain(|_, value| !value.is_null());
    let spec = map(template).entry("spec").or_insert(Value::Null);
    self::spec(spec);
}

/// What Go's encoder always writes of a status.
const STATUS: Table = &[
    ("status?.conditions[].lastProbeTime", Null),
    ("status?.conditions[].lastTransitionTime", Null),
    ("status?.containerStatuses[].lastState", Object),
    ("status?.containerStatuses[].state", Object),
    ("status?.containerStatuses[].state.running?.startedAt", Null),
    ("status?.initContainerStatuses[].lastState", Object),
    ("status?.initContainerStatuses[].state", Object),
];

/// Fills in a pod.
pub(super) fn pod(pod: &mut Value) {
    fill(pod, STATUS);
    let spec = map(pod).entry("spec").or_insert(Value::Null);
    self::spec(spec);
    for list in ["containers", "initContainers"] {
        each(spec, &format!("{list}[].resources"), &mut requests_from_limits);
    }
    fill(spec, &[("enableServiceLinks", super::fill::Default::Bool(true))]);
    if at(spec, "hostNetwork") == true {
        host_ports(spec);
    }
}

fn spec(spec: &mut Value) {
    each(spec, "volumes[]", &mut volume);
    fill(spec, SPEC);
    if text(spec, "serviceAccountName").is_empty() && !text(spec, "serviceAccount").is_empty() {
        let account = at(spec, "serviceAccount").clone();
        map(spec).insert("serviceAccountName".to_owned(), account);
    }
    // The older name of the field follows the newer one.
    if !text(spec, "serviceAccountName").is_empty() {
        let account = at(spec, "serviceAccountName").clone();
        map(spec).insert("serviceAccount".to_owned(), account);
    }
    for list in CONTAINERS {
        each(spec, &format!("{list}[]"), &mut container);
    }
    quantities::rounded(spec, "overhead");
    quantities::rounded(spec, "resources.limits");
    quantities::rounded(spec, "resources.requests");
    each(spec, "volumes[].emptyDir.sizeLimit", &mut quantities::canonical);
    each(spec, "volumes[].ephemeral.volumeClaimTemplate.spec", &mut |claim| {
        quantities::rounded(claim, "resources.limits");
        quantities::rounded(claim, "resources.requests");
    });
}

fn volume(volume: &mut Value) {
    let volume = map(volume);
    volume.retain(|_, source| !source.is_null());
    if volume.keys().all(|field| field == "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    if let Some(image) = volume.get_mut("image")
        && text(image, "pullPolicy").is_empty()
    {
        let policy = pull_policy(text(image, "reference"));
        map(image).insert("pullPolicy".to_owned(), json!(policy));
    }
}

fn container(container: &mut Value) {
    if text(container, "imagePullPolicy").is_empty() {
        let policy = pull_policy(text(container, "image"));
        map(container).insert("imagePullPolicy".to_owned(), json!(policy));
    }
    fill(container, CONTAINER);
    for probe in PROBES {
        each(container, probe, &mut |probe| fill(probe, PROBE));
    }
    quantities::rounded(container, "resources.limits");
    quantities::rounded(container, "resources.requests");
}

/// Images of a moving tag are pulled every time; one without a tag means `latest`.
fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    let last = name.rsplit('/').next().unwrap_or_default();
    let latest = match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => !digest && !image.is_empty(),
    };
    if latest { "Always" } else { "IfNotPresent" }
}

fn requests_from_limits(resources: &mut Value) {
    let Some(limits) = at(resources, "limits").as_object().cloned() else { return };
    let requests = map(map(resources).entry("requests").or_insert(Value::Null));
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
}

/// On the host's network every port is a port of the host.
fn host_ports(spec: &mut Value) {
    if at(spec, "hostNetwork") != true {
        return;
    }
    for path in ["containers[].ports[]", "initContainers[].ports[]"] {
        each(spec, path, &mut |port| {
            if int(port, "hostPort") == 0 {
                let number = at(port, "containerPort").clone();
                map(port).insert("hostPort".to_owned(), number);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::pull_policy;

    #[test]
    fn only_moving_tags_are_always_pulled() {
        for image in ["nginx", "registry:5000/nginx", "nginx:latest", "a/b:latest@sha256:00"] {
            assert_eq!(pull_policy(image), "Always", "{image}");
        }
        for image in ["nginx:1.2", "nginx@sha256:00", "registry:5000/nginx:1"] {
            assert_eq!(pull_policy(image), "IfNotPresent", "{image}");
        }
    }
}
