//! Whole desired sets and statuses, as files. `UPDATE_GOLDENS=1` writes them anew.
//!
//! `in.yaml` is the object as a user writes it. It passes through the real `validate`; `desired.yaml` is what is applied,
//! in order, and `status.yaml` is the status once all of it is on the engine.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aphex_api::organization::{Organization, OrganizationStatus};
use aphex_api::pipeline::Pipeline;
use aphex_api::repo_binding::RepoBinding;
use aphex_controllers::Settings;
use aphex_controllers::apply::{DesiredSet as _, Inventory, Manifest, Owner};
use aphex_controllers::driver::{Pass, Reconciler};
use aphex_controllers::organization::{self, Organizations};
use aphex_controllers::outcome::Outcome;
use aphex_controllers::pipeline::{self, Pipelines};
use aphex_controllers::repo_binding::{self, RepoBindings};
use aphex_controllers::sensitive::Sensitive;
use aphex_controllers::tunnels::{Credentials, Exposure, Path as ExposurePath, Record, Tunnel};
use aphex_controllers::webhook_secret::Kept;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const SECRET: &str = "whsec_golden";

fn folder(kind: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(kind)
}

/// The cases of a kind; a folder that no test reads cannot be.
fn cases(kind: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(kind)).unwrap();
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

fn read<K: DeserializeOwned + Resource<DynamicType = ()>>(case: &Path) -> (K, Owner) {
    let text = std::fs::read_to_string(case.join("in.yaml")).unwrap();
    let mut object: K = serde_saphyr::from_str(&text).unwrap();
    object.meta_mut().uid = Some("11111111-2222-3333-4444-555555555555".to_owned());
    object.meta_mut().generation = Some(7);
    let owner = Owner {
        kind: ["Organization", "RepoBinding", "Pipeline"]
            .into_iter()
            .find(|kind| *kind == K::kind(&()))
            .unwrap(),
        namespace: object.namespace().filter(|namespace| namespace != "platform-system"),
        name: object.name_any(),
        uid: object.uid().unwrap(),
    };
    (object, owner)
}

/// The inventory of an engine on which everything was applied.
fn applied(manifests: &[Manifest]) -> Inventory {
    let mut inventory = Inventory::default();
    for manifest in manifests {
        inventory.insert(manifest.key.clone(), serde_json::from_value(manifest.body.clone()).unwrap());
    }
    inventory
}

fn check(case: &Path, name: &str, documents: &[Value]) {
    let texts: Vec<String> =
        documents.iter().map(|document| serde_saphyr::to_string(document).unwrap()).collect();
    let text = texts.join("---\n");
    let path = case.join(name);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).with_context(|| path.display().to_string()).unwrap();
    let difference = golden.lines().zip(text.lines()).enumerate().find(|(_, (a, b))| a != b);
    assert!(golden == text, "{} differs: {difference:?}; UPDATE_GOLDENS=1 writes it anew", path.display());
}

fn check_manifests(case: &Path, manifests: &[Manifest]) {
    let bodies: Vec<Value> = manifests.iter().map(|manifest| manifest.body.clone()).collect();
    check(case, "desired.yaml", &bodies);
}

fn now() -> jiff::Timestamp {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

/// How an organization is reachable in a case: by the case's name.
fn exposure(case: &Path, name: &str) -> Exposure {
    let host = format!("{name}.hooks.example");
    let path = match case.file_name().and_then(|name| name.to_str()) {
        Some("tunnel") => ExposurePath::Tunnel(Tunnel {
            host: host.clone(),
            credentials: Credentials {
                account: "an-account".to_owned(),
                tunnel: "a-tunnel".to_owned(),
                secret: Sensitive::new("c2VjcmV0"),
            },
            record: Record::Written,
            made: false,
        }),
        Some("ingress") => ExposurePath::Ingress { host: host.clone() },
        _ => {
            let webhook_url = format!("https://gateway.example/{name}");
            return Exposure { webhook_url, path: ExposurePath::Direct };
        }
    };
    Exposure { webhook_url: format!("https://{host}"), path }
}

#[test]
fn organizations_want_and_say_what_the_files_do() {
    let settings = Settings::new("https://gateway.example").unwrap();
    for case in cases("organization") {
        let (object, owner) = read::<Organization>(&case);
        let mut observed = organization::Observed {
            webhook_secret: Some(Kept::new(SECRET)),
            tenants: vec![organization::TenantBinding { namespace: "some-tenant".to_owned() }],
            ..organization::Observed::default()
        };
        let exposure = exposure(&case, &object.name_any());
        let valid = organization::Valid {
            exposure: Some(exposure),
            ..Organizations::validate(&object, &observed, &settings).unwrap()
        };
        let manifests = Organizations::desired(&valid, &settings).into_manifests(&owner).unwrap();
        observed.inventory = applied(&manifests);
        check_manifests(&case, &manifests);
        let outcome =
            Organizations::unsettled(&valid, &observed).map_or(Outcome::Applied, Outcome::Unsettled);
        let pass = Pass::<Organizations> {
            object: &object,
            observed: Some(&observed),
            valid: Some(&valid),
            outcome: &outcome,
            settings: &settings,
            now: now(),
        };
        check(&case, "status.yaml", &[serde_json::to_value(Organizations::status(&pass)).unwrap()]);
    }
}

#[test]
fn bindings_want_and_say_what_the_files_do() {
    let settings = Settings::new("https://gateway.example").unwrap();
    for case in cases("repo_binding") {
        let (object, owner) = read::<RepoBinding>(&case);
        // A standalone tenant names no organization, and looks at none.
        let name = object.spec.aphex_org.clone().unwrap_or_default();
        let webhook_url = Some(format!("https://gateway.example/{name}"));
        let mut organization = Organization::new(&name, aphex_api::organization::OrganizationSpec::default());
        organization.status = Some(OrganizationStatus { webhook_url, ..OrganizationStatus::default() });
        let mut observed = repo_binding::Observed {
            organization: Some(organization),
            organization_namespace: true,
            listens: true,
            webhook_secret: Some(Kept::new(SECRET)),
            ..repo_binding::Observed::default()
        };
        let valid = RepoBindings::validate(&object, &observed, &settings).unwrap();
        let manifests = RepoBindings::desired(&valid, &settings).into_manifests(&owner).unwrap();
        observed.inventory = applied(&manifests);
        check_manifests(&case, &manifests);
        let pass = Pass::<RepoBindings> {
            object: &object,
            observed: Some(&observed),
            valid: Some(&valid),
            outcome: &Outcome::Applied,
            settings: &settings,
            now: now(),
        };
        check(&case, "status.yaml", &[serde_json::to_value(RepoBindings::status(&pass)).unwrap()]);
    }
}

#[test]
fn pipelines_want_and_say_what_the_files_do() {
    let settings = Settings::new("https://gateway.example").unwrap();
    for case in cases("pipeline") {
        let (object, owner) = read::<Pipeline>(&case);
        let label = json!({ "metadata": { "labels": { "aphex.dev/org": object.spec.organization } } });
        let namespace: Namespace = serde_json::from_value(label).unwrap();
        let mut observed = pipeline::Observed { namespace: Some(namespace), ..pipeline::Observed::default() };
        let valid = Pipelines::validate(&object, &observed, &settings).unwrap();
        let mut manifests = Pipelines::desired(&valid, &settings).into_manifests(&owner).unwrap();
        check_manifests(&case, &manifests);
        // The binding answers with what the files of bindings say.
        let answer = std::fs::read_to_string(folder("repo_binding").join("standard/status.yaml")).unwrap();
        let binding = &mut manifests[0].body;
        binding["status"] = serde_saphyr::from_str(&answer).unwrap();
        binding["metadata"]["generation"] = binding["status"]["observedGeneration"].clone();
        observed.inventory = applied(&manifests);
        let pass = Pass::<Pipelines> {
            object: &object,
            observed: Some(&observed),
            valid: Some(&valid),
            outcome: &Outcome::Applied,
            settings: &settings,
            now: now(),
        };
        check(&case, "status.yaml", &[serde_json::to_value(Pipelines::status(&pass)).unwrap()]);
    }
}

#[test]
fn every_reference_between_triggers_objects_names_its_kind() {
    for kind in ["organization", "repo_binding"] {
        for case in cases(kind) {
            let text = std::fs::read_to_string(case.join("desired.yaml")).unwrap();
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
            let of = |kind| documents.iter().filter(move |document| document["kind"] == kind);
            let written = of("EventListener").filter_map(|l| l["spec"]["triggers"].as_array()).flatten();
            for trigger in of("Trigger").map(|trigger| &trigger["spec"]).chain(written) {
                let references = trigger["interceptors"].as_array().unwrap().iter().map(|i| &i["ref"]);
                let bindings =
                    trigger["bindings"].as_array().unwrap().iter().filter(|b| b["ref"].is_string());
                for reference in references.chain(bindings) {
                    assert!(reference["kind"].is_string(), "{reference}");
                }
            }
        }
    }
}
