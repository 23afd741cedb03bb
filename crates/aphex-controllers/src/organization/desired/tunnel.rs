//! The connectors of an organization's tunnel: what they prove themselves with, where they lead, and the pods.

use std::collections::BTreeMap;

use aphex_api::labels;
use aws_lc_rs::digest;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, HTTPGetAction,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, Secret,
    SecretVolumeSource, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::ObjectMeta;
use serde_json::json;

use super::{GATEWAY_SERVICE, metadata};
use crate::context::Settings;
use crate::organization::validate::Valid;
use crate::tunnels::{CREDENTIALS_KEY, Path, Record, Tunnel};

/// The ConfigMap with cloudflared's configuration, and the key in it.
const CONFIG: &str = "cloudflared-config";
const CONFIG_KEY: &str = "config.yaml";
/// Where both are mounted.
const CONFIG_FOLDER: &str = "/etc/cloudflared/config";
const CREDENTIALS_FOLDER: &str = "/etc/cloudflared/credentials";
/// cloudflared's metrics and probes.
const METRICS_PORT: i32 = 2000;
/// The user that the image runs as.
const USER: i64 = 65532;
/// Annotation on pods: a checksum of their configuration, which cloudflared reads when it starts and not again.
const CONFIG_CHECKSUM: &str = "platform.aphex/config-checksum";
/// The same for their credentials.
const CREDENTIALS_CHECKSUM: &str = "platform.aphex/credentials-checksum";
/// One more than is needed, so that a node may go.
const REPLICAS: i32 = 2;

fn tunnel(valid: &Valid) -> Option<&Tunnel> {
    match &valid.exposure.as_ref()?.path {
        Path::Tunnel(tunnel) => Some(tunnel),
        _ => None,
    }
}

pub(super) fn credentials(valid: &Valid) -> Option<Secret> {
    let (file, host) = match tunnel(valid) {
        Some(tunnel) => (tunnel.credentials.file(), Some(noted_host(valid, tunnel))),
        // While something is left of a tunnel the engine remembers which it was.
        None if valid.former.is_some() => (valid.stored.as_ref()?.file(), valid.host.clone()),
        None => return None,
    };
    let mut metadata = metadata(&valid.name, valid.name.tunnel_credentials());
    metadata.annotations = host.map(|host| [(labels::TUNNEL_HOST.to_owned(), host)].into());
    Some(Secret {
        metadata,
        type_: Some("Opaque".to_owned()),
        data: Some([(CREDENTIALS_KEY.to_owned(), ByteString(file.into_bytes()))].into()),
        ..Secret::default()
    })
}

/// The host name to remember: the one that leads to the tunnel now, until the next one does.
fn noted_host(valid: &Valid, tunnel: &Tunnel) -> String {
    match (&tunnel.record, &valid.host) {
        (Record::Pending(_), Some(former)) => former.clone(),
        _ => tunnel.host.clone(),
    }
}

/// The annotation that tells pods of other credentials. Who reads it learns nothing of the secret, which is 32 random bytes.
fn credentials_checksum(tunnel: &Tunnel) -> String {
    let digest = digest::digest(&digest::SHA256, tunnel.credentials.file().as_bytes());
    let start = digest.as_ref().iter().take(8).fold(0, |start: u64, byte| (start << 8) | u64::from(*byte));
    format!("{start:016x}")
}

pub(super) fn config(valid: &Valid, settings: &Settings) -> Option<ConfigMap> {
    let text = config_text(valid, tunnel(valid)?, settings);
    Some(ConfigMap {
        metadata: metadata(&valid.name, CONFIG),
        data: Some([(CONFIG_KEY.to_owned(), text)].into()),
        ..ConfigMap::default()
    })
}

/// Leads the organization's own webhooks to the gateway, and nothing else: under this host the gateway would answer paths
/// of other organizations too. cloudflared changes no paths, so the gateway goes by the host name.
fn config_text(valid: &Valid, tunnel: &Tunnel, settings: &Settings) -> String {
    let gateway = format!("http://{GATEWAY_SERVICE}.{}.svc:80", settings.platform_namespace);
    // YAML's flow style is JSON, so that nothing has to be quoted by hand.
    let rule =
        json!({ "hostname": tunnel.host, "path": format!("^/({}/?)?$", valid.name), "service": gateway });
    let lines = [
        format!("tunnel: {}", tunnel.credentials.tunnel),
        format!("credentials-file: {CREDENTIALS_FOLDER}/{CREDENTIALS_KEY}"),
        format!("metrics: 0.0.0.0:{METRICS_PORT}"),
        "no-autoupdate: true".to_owned(),
        "ingress:".to_owned(),
        format!("- {rule}"),
        "- service: http_status:404".to_owned(),
    ];
    lines.join("\n") + "\n"
}

pub(super) fn connector(valid: &Valid, settings: &Settings) -> Option<Deployment> {
    let tunnel = tunnel(valid)?;
    let labels: BTreeMap<String, String> = [
        // What the namespace's NetworkPolicy lets in.
        ("app".to_owned(), "cloudflared".to_owned()),
        (labels::ORGANIZATION.to_owned(), valid.name.to_string()),
    ]
    .into();
    let selector = LabelSelector { match_labels: Some(labels.clone()), ..LabelSelector::default() };
    let checksum = labels::checksum(config_text(valid, tunnel, settings).as_bytes());
    let annotations = [
        (CONFIG_CHECKSUM.to_owned(), format!("{checksum:016x}")),
        (CREDENTIALS_CHECKSUM.to_owned(), credentials_checksum(tunnel)),
    ];
    Some(Deployment {
        metadata: metadata(&valid.name, valid.name.tunnel_connector()),
        spec: Some(DeploymentSpec {
            replicas: Some(REPLICAS),
            selector: selector.clone(),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: Some(annotations.into()),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(valid, settings, selector)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    })
}

fn pod(valid: &Valid, settings: &Settings, selector: LabelSelector) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        topology_spread_constraints: Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(selector),
            ..TopologySpreadConstraint::default()
        }]),
        containers: vec![container(settings)],
        volumes: Some(vec![
            Volume {
                name: "config".to_owned(),
                config_map: Some(ConfigMapVolumeSource { name: CONFIG.to_owned(), ..Default::default() }),
                ..Volume::default()
            },
            Volume {
                name: "credentials".to_owned(),
                secret: Some(SecretVolumeSource {
                    secret_name: Some(valid.name.tunnel_credentials()),
                    default_mode: Some(0o440),
                    ..SecretVolumeSource::default()
                }),
                ..Volume::default()
            },
        ]),
        ..PodSpec::default()
    }
}

fn container(settings: &Settings) -> Container {
    let config = format!("{CONFIG_FOLDER}/{CONFIG_KEY}");
    let arguments = ["tunnel", "--no-autoupdate", "--config", &config, "run"];
    let amounts = |cpu: &str, memory: &str| {
        [("cpu", cpu), ("memory", memory)]
            .map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())))
            .into()
    };
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    Container {
        name: "cloudflared".to_owned(),
        image: Some(settings.exposure.cloudflared_image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        args: Some(arguments.map(str::to_owned).into()),
        ports: Some(vec![ContainerPort {
            name: Some("metrics".to_owned()),
            container_port: METRICS_PORT,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        // Alive while the process answers; ready while it is connected: killing it would not bring Cloudflare nearer.
        liveness_probe: Some(probe("/healthcheck", 3)),
        readiness_probe: Some(probe("/ready", 2)),
        resources: Some(ResourceRequirements {
            requests: Some(amounts("10m", "32Mi")),
            limits: Some(amounts("500m", "128Mi")),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![mount("config", CONFIG_FOLDER), mount("credentials", CREDENTIALS_FOLDER)]),
        ..Container::default()
    }
}

fn probe(path: &str, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("metrics".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(10),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
