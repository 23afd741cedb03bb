use std::path::{Path, PathBuf};

use super::*;

fn site() -> Site {
    Site { domain: "corp.example".to_owned(), ca: None, cluster_issuer: None, ingress_class: None }
}

fn with_ca() -> Site {
    let ca = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_owned();
    Site { ca: Some(ca), ..site() }
}

/// The files of a kustomization, in its order.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let text = std::fs::read_to_string(folder.join("kustomization.yaml"))?;
    let kustomization: Value = serde_saphyr::from_str(&text)?;
    let mut found = Vec::new();
    for name in kustomization["resources"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let path = folder.join(name);
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

#[test]
fn the_program_has_every_file_of_the_folder_that_people_apply_themselves() -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../platform/auth");
    let texts = files(&folder)?.iter().map(std::fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
    assert_eq!(texts, AUTH);
    Ok(())
}

#[test]
fn no_trace_of_the_domain_in_the_files_is_left() -> anyhow::Result<()> {
    let parts = render(&site())?;
    let text = serde_json::to_string(&parts.iter().map(|part| &part.objects).collect::<Vec<_>>())?;
    assert!(!text.contains(DOMAIN));
    for host in
        ["https://dex.corp.example", "https://auth.corp.example/application/o/dex/", "argocd.corp.example"]
    {
        assert!(text.contains(host), "{host}");
    }
    assert!(text.contains("admin@corp.example"));
    for part in &parts {
        let elsewhere = part.objects.iter().filter(|object| {
            let namespace = object["metadata"]["namespace"].as_str();
            namespace.is_some_and(|namespace| namespace != part.namespace)
        });
        assert_eq!(elsewhere.count(), 0, "{} is in one namespace", part.name);
    }
    Ok(())
}

#[test]
fn an_authority_of_ones_own_reaches_everybody_who_asks_dex() -> anyhow::Result<()> {
    let parts = render(&with_ca())?;
    let maps = |part: &Part| part.objects.iter().filter(|object| object["metadata"]["name"] == CA).count();
    assert_eq!(parts.iter().map(maps).collect::<Vec<_>>(), [1, 0, 1]);
    let config = parts[1].objects[0]["data"]["oidc.config"].as_str().context("Argo CD is told")?;
    let config: Value = serde_saphyr::from_str(config)?;
    assert_eq!(config["rootCA"].as_str(), with_ca().ca.as_deref());
    assert_eq!(config["issuer"], "https://dex.corp.example");
    for part in render(&site())? {
        assert_eq!(maps(&part), 0, "without an authority there is none");
    }
    Ok(())
}

#[test]
fn certificates_and_classes_are_asked_for_on_every_ingress() -> anyhow::Result<()> {
    let site =
        Site { cluster_issuer: Some("letsencrypt".into()), ingress_class: Some("nginx".into()), ..site() };
    let parts = render(&site)?;
    let all: Vec<&Value> =
        parts.iter().flat_map(|part| &part.objects).filter(|object| object["kind"] == "Ingress").collect();
    assert_eq!(all.len(), 3);
    for ingress in all {
        assert_eq!(ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"], "letsencrypt");
        assert_eq!(ingress["spec"]["ingressClassName"], "nginx");
    }
    Ok(())
}

#[test]
fn a_kind_cluster_has_the_flags_and_the_authority_only_where_there_is_one() -> anyhow::Result<()> {
    let read = |site: &Site| -> anyhow::Result<(Value, Value)> {
        let config: Value = serde_saphyr::from_str(&kind(site))?;
        let patch = config["nodes"][0]["kubeadmConfigPatches"][0].as_str().context("a patch")?;
        Ok((serde_saphyr::from_str(patch)?, config["nodes"][0].clone()))
    };
    let (patch, node) = read(&with_ca())?;
    assert_eq!(patch["apiServer"]["extraArgs"]["oidc-ca-file"], node["extraMounts"][0]["containerPath"]);
    let (patch, node) = read(&site())?;
    assert_eq!(
        patch["apiServer"]["extraArgs"],
        json!({
            "oidc-issuer-url": "https://dex.corp.example",
            "oidc-client-id": "kubernetes",
            "oidc-username-claim": "email",
            "oidc-groups-claim": "groups",
        })
    );
    assert!(node["extraMounts"].is_null(), "{node}");
    assert_eq!(node["extraPortMappings"].as_array().map(Vec::len), Some(2));
    Ok(())
}
