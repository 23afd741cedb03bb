//! The installation as a whole: what one file says of another holds.
//!
//! Read from the rendered objects, so that it holds for people's own domains.

mod dex_config;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::Value;

use super::Site;
use super::manifests::{self, Part};
use super::secrets::{self, From, Known};
use dex_config::{Client, Dex};

/// Everything that is read.
struct All {
    objects: Vec<Value>,
    dex: Dex,
    /// Authentik's blueprint, without the meaning of its tags.
    blueprint: Vec<Value>,
    argocd: Value,
    proxy: BTreeMap<String, Vec<String>>,
    flags: Value,
}

fn site() -> Site {
    let ca = Some("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_owned());
    Site { domain: "corp.example".to_owned(), ca, cluster_issuer: None, ingress_class: None }
}

/// The tags of a blueprint as plain text and lists: `!Env NAME` becomes `env:NAME`, `!KeyOf id` becomes `key:id`.
fn untagged(text: &str) -> String {
    text.replace("!Env ", "env:").replace("!KeyOf ", "key:").replace("!Find ", "")
}

impl All {
    fn read() -> anyhow::Result<Self> {
        let site = site();
        let parts: Vec<Part> = manifests::render(&site)?;
        let objects: Vec<Value> = parts.into_iter().flat_map(|part| part.objects).collect();
        let find = |kind: &str, name: &str| find(&objects, kind, name);
        let text = |kind: &str, name: &str, key: &str| -> anyhow::Result<String> {
            let text = find(kind, name)?["data"][key].as_str().map(str::to_owned);
            text.with_context(|| format!("{kind} {name} has no {key}"))
        };
        let dex: Dex = serde_saphyr::from_str(&text("ConfigMap", "dex", "config.yaml")?)
            .context("Dex's configuration is not as Dex's types have it")?;
        let blueprint: Value =
            serde_saphyr::from_str(&untagged(&text("ConfigMap", "authentik-blueprint", "aphex.yaml")?))?;
        let argocd = serde_saphyr::from_str(&text("ConfigMap", "argocd-cm", "oidc.config")?)?;
        let mut proxy = BTreeMap::<String, Vec<String>>::new();
        let container =
            &find("Deployment", "tekton-dashboard-oidc")?["spec"]["template"]["spec"]["containers"][0];
        for argument in strings(&container["args"]) {
            let (name, value) = argument.split_once('=').context("flags have values")?;
            proxy.entry(name.to_owned()).or_default().push(value.to_owned());
        }
        let kind: Value = serde_saphyr::from_str(&manifests::kind(&site))?;
        let patch =
            kind["nodes"][0]["kubeadmConfigPatches"][0].as_str().context("kind patches the API server")?;
        let patch: Value = serde_saphyr::from_str(patch)?;
        Ok(Self {
            dex,
            blueprint: blueprint["entries"].as_array().cloned().context("a blueprint has entries")?,
            argocd,
            proxy,
            flags: patch["apiServer"]["extraArgs"].clone(),
            objects,
        })
    }

    fn client(&self, id: &str) -> anyhow::Result<&Client> {
        self.dex
            .static_clients
            .iter()
            .find(|client| client.id == id)
            .with_context(|| format!("Dex knows no {id}"))
    }

    fn entries<'a>(&'a self, model: &'a str) -> impl Iterator<Item = &'a Value> {
        self.blueprint.iter().filter(move |entry| entry["model"] == model)
    }

    fn entry<'a>(&'a self, model: &'a str) -> anyhow::Result<&'a Value> {
        let mut all = self.entries(model);
        let one = all.next().with_context(|| format!("no {model}"))?;
        anyhow::ensure!(all.next().is_none(), "more than one {model}");
        Ok(one)
    }

    fn flag(&self, name: &str) -> anyhow::Result<&str> {
        match self.proxy.get(name).map(Vec::as_slice) {
            Some([one]) => Ok(one),
            other => anyhow::bail!("{name} is {other:?}"),
        }
    }

    /// Where an environment variable of a workload comes from: name and key of a Secret.
    fn variable(&self, workload: &str, name: &str) -> anyhow::Result<(String, String)> {
        let pods = pods(find(&self.objects, "Deployment", workload)?);
        let variables = array(&pods["containers"][0]["env"]);
        let variable = variables.iter().find(|variable| variable["name"] == name);
        let from =
            &variable.with_context(|| format!("{workload} has no {name}"))?["valueFrom"]["secretKeyRef"];
        let text = |field: &str| from[field].as_str().map(str::to_owned).context("it is from a Secret");
        Ok((text("name")?, text("key")?))
    }

    /// The host names of Ingress objects, with the Service each leads to.
    fn hosts(&self) -> BTreeMap<&str, &str> {
        let ingresses = self.objects.iter().filter(|object| object["kind"] == "Ingress");
        ingresses
            .filter_map(|ingress| {
                let rule = &ingress["spec"]["rules"][0];
                Some((
                    rule["host"].as_str()?,
                    rule["http"]["paths"][0]["backend"]["service"]["name"].as_str()?,
                ))
            })
            .collect()
    }
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> anyhow::Result<&'a Value> {
    let is = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    objects.iter().find(is).with_context(|| format!("there is no {kind} {name}"))
}

fn array(value: &Value) -> Vec<&Value> {
    value.as_array().into_iter().flatten().collect()
}

fn strings(value: &Value) -> Vec<String> {
    array(value).into_iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn pods(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]
}

fn workloads(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects.iter().filter(|object| !object["spec"]["template"].is_null())
}

#[test]
fn everybody_asks_the_same_dex_with_a_client_that_it_knows() -> anyhow::Result<()> {
    let all = All::read()?;
    let issuer = all.dex.issuer.as_str();
    let host = issuer.strip_prefix("https://").context("kube-apiserver takes https alone")?;
    assert_eq!(all.hosts().get(host), Some(&"dex"), "the Ingress leads to it");
    assert_eq!(all.flags["oidc-issuer-url"], issuer);
    assert_eq!(all.argocd["issuer"], issuer);
    assert_eq!(all.flag("--oidc-issuer-url")?, issuer);

    let kubernetes = all.client(all.flags["oidc-client-id"].as_str().context("a client id")?)?;
    let callbacks = ["http://localhost:8000/callback", "http://localhost:18000/callback"];
    assert_eq!(kubernetes.redirect_uris[..2], callbacks);
    // kubelogin's own.
    assert_eq!(kubernetes.redirect_uris[2..], callbacks.map(|uri| uri.trim_end_matches("/callback")));
    assert_eq!((kubernetes.public, &kubernetes.secret_env), (true, &None));
    assert_eq!(all.flags["oidc-username-claim"], "email");
    assert_eq!(all.flags["oidc-groups-claim"], "groups");

    let argocd = all.client(all.argocd["clientID"].as_str().context("a client id")?)?;
    let url = find(&all.objects, "ConfigMap", "argocd-cm")?["data"]["url"].as_str().context("a URL")?;
    assert_eq!(argocd.redirect_uris, [format!("{url}/auth/callback")]);
    assert_eq!(strings(&all.argocd["requestedScopes"]), ["openid", "profile", "email", "groups"]);

    let tekton = all.client(all.flag("--client-id")?)?;
    assert_eq!(tekton.redirect_uris, [all.flag("--redirect-url")?]);
    let page = format!("https://{}{}/callback", "tekton.corp.example", all.flag("--proxy-prefix")?);
    assert_eq!(tekton.redirect_uris, [page]);
    assert_eq!(all.hosts().get("tekton.corp.example"), Some(&"tekton-dashboard-oidc"));
    let scopes: Vec<&str> = all.flag("--scope")?.split(' ').collect();
    let audience = format!("audience:server:client_id:{}", kubernetes.id);
    assert!(scopes.contains(&audience.as_str()), "its tokens are for the Kubernetes API: {scopes:?}");
    assert_eq!(kubernetes.trusted_peers, ["aphex", &tekton.id], "and Dex lets it ask for them");

    let aphex = all.client("aphex")?;
    assert!(aphex.public && aphex.redirect_uris.is_empty(), "any port of the loopback interface");
    assert_eq!(all.dex.static_clients.len(), 4);
    Ok(())
}

#[test]
fn dex_asks_authentik_as_the_client_that_the_blueprint_makes() -> anyhow::Result<()> {
    let all = All::read()?;
    let [connector] = all.dex.connectors.as_slice() else { anyhow::bail!("one connector") };
    let upstream = &connector.config;
    let application = all.entry("authentik_core.application")?;
    let slug = application["identifiers"]["slug"].as_str().context("a slug")?;
    let hosts = all.hosts();
    let (host, _) =
        hosts.iter().find(|(_, service)| **service == "authentik").context("Authentik's Ingress")?;
    assert_eq!(upstream.issuer, format!("https://{host}/application/o/{slug}/"));

    let provider = all.entry("authentik_providers_oauth2.oauth2provider")?;
    let told = &provider["attrs"];
    assert_eq!(
        application["attrs"]["provider"],
        format!("key:{}", provider["id"].as_str().unwrap_or_default())
    );
    assert_eq!(told["client_id"], upstream.client_id.as_str());
    assert_eq!(provider["identifiers"]["name"], "Dex OIDC Provider");
    let callback = format!("{}/callback", all.dex.issuer);
    assert_eq!(upstream.redirect_uri, callback);
    assert_eq!(told["redirect_uris"], serde_json::json!([{ "matching_mode": "strict", "url": callback }]));
    assert!(upstream.insecure_enable_groups, "groups come from Authentik");

    // Each scope that Dex asks for has a mapping, its own or one of Authentik's.
    let mappings = array(&told["property_mappings"]);
    let own = all.entries("authentik_providers_oauth2.scopemapping");
    let mut offered: BTreeSet<String> = BTreeSet::new();
    for mapping in own {
        let key = format!("key:{}", mapping["id"].as_str().context("it is referred to")?);
        assert!(mappings.contains(&&Value::String(key)), "{mapping}");
        offered.insert(mapping["attrs"]["scope_name"].as_str().context("a scope")?.to_owned());
    }
    for found in mappings.iter().filter_map(|mapping| mapping[1][1].as_str()) {
        let name =
            found.strip_prefix("goauthentik.io/providers/oauth2/scope-").context("one of Authentik's own")?;
        offered.insert(name.to_owned());
    }
    assert!(
        upstream.scopes.iter().chain([&"openid".to_owned()]).all(|scope| offered.contains(scope)),
        "{offered:?}"
    );

    // The two ends of one secret.
    let variable = upstream.client_secret.strip_prefix('$').context("no secret is in the file")?;
    let there =
        told["client_secret"].as_str().and_then(|text| text.strip_prefix("env:")).context("nor here")?;
    assert_eq!(all.variable("dex", variable)?, all.variable("authentik-worker", there)?);
    Ok(())
}

#[test]
fn groups_are_the_same_in_authentik_in_rbac_and_in_argo_cd() -> anyhow::Result<()> {
    let all = All::read()?;
    let expected = ["admins", "engineering", "platform-admins", "platform-engineering", "platform-operators"];
    let made: BTreeSet<&str> = all
        .entries("authentik_core.group")
        .filter_map(|group| group["identifiers"]["name"].as_str())
        .collect();
    assert_eq!(made, expected.into());
    let rights = include_str!("../../../../../../platform/rbac/platform-rbac.yaml");
    let rights = crate::commands::apply::parse(rights)?;
    let bound: BTreeSet<&str> = rights
        .iter()
        .flat_map(|object| array(&object["subjects"]))
        .filter(|subject| subject["kind"] == "Group")
        .filter_map(|subject| subject["name"].as_str())
        .collect();
    assert_eq!(bound, made);
    let roles = &find(&all.objects, "ConfigMap", "argocd-rbac-cm")?["data"];
    let lines: Vec<&str> = roles["policy.csv"].as_str().unwrap_or_default().lines().collect();
    assert_eq!(lines, ["g, admins, role:admin", "g, engineering, role:readonly"]);
    assert_eq!((&roles["policy.default"], &roles["scopes"]), (&"".into(), &"[groups]".into()));
    let admin = all.entry("authentik_core.user")?;
    for key in strings(&admin["attrs"]["groups"]).iter().filter_map(|group| group.strip_prefix("key:")) {
        assert!(all.entries("authentik_core.group").any(|group| group["id"] == key), "{key}");
    }
    Ok(())
}

#[test]
fn every_secret_that_is_referred_to_is_made_and_every_one_made_is_used() -> anyhow::Result<()> {
    let all = All::read()?;
    let mut used: BTreeSet<(String, String, String)> = BTreeSet::new();
    for workload in workloads(&all.objects) {
        let namespace = workload["metadata"]["namespace"].as_str().unwrap_or_default();
        for container in array(&pods(workload)["containers"]) {
            for variable in array(&container["env"]) {
                let from = &variable["valueFrom"]["secretKeyRef"];
                if let (Some(name), Some(key)) = (from["name"].as_str(), from["key"].as_str()) {
                    used.insert((namespace.to_owned(), name.to_owned(), key.to_owned()));
                }
            }
            assert!(
                container["envFrom"].as_array().into_iter().flatten().all(|from| from["secretRef"].is_null())
            );
        }
        assert!(array(&pods(workload)["volumes"]).iter().all(|volume| volume["secret"].is_null()));
    }
    // Argo CD finds a key of its own Secret behind a $.
    let key =
        all.argocd["clientSecret"].as_str().and_then(|text| text.strip_prefix('$')).context("a reference")?;
    used.insert(("argocd".into(), "argocd-secret".into(), key.into()));
    let made: BTreeSet<(String, String, String)> = secrets::ids()
        .flat_map(|id| secrets::keys(id).map(move |key| (id.namespace.into(), id.name.into(), key.into())))
        .collect();
    assert_eq!(used, made);

    // Both ends of a client's secret are one value.
    let values = secrets::fill(&Known::new());
    let value = |name: &str, key: &str| {
        values.iter().find(|(id, _)| id.name == name).and_then(|(_, values)| values.get(key)).cloned()
    };
    for (client, (name, key)) in
        [("argocd", ("argocd-secret", key)), ("tekton-dashboard", ("tekton-dashboard-oidc", "client-secret"))]
    {
        let variable = all.client(client)?.secret_env.clone().context("a confidential client")?;
        let (there, at) = all.variable("dex", &variable)?;
        assert_eq!(value(&there, &at), value(name, key), "{client}");
        assert!(value(name, key).is_some());
    }
    assert!(matches!(secrets::source("argocd-secret", key), Some(From::Dex(_))));
    Ok(())
}

#[test]
fn services_ports_and_maps_that_are_named_are_there() -> anyhow::Result<()> {
    let all = All::read()?;
    let of = |kind: &'static str| all.objects.iter().filter(move |object| object["kind"] == kind);
    for ingress in of("Ingress") {
        let rule = &ingress["spec"]["rules"][0];
        assert_eq!(ingress["spec"]["tls"][0]["hosts"], serde_json::json!([rule["host"]]));
        let backend = &rule["http"]["paths"][0]["backend"]["service"];
        let service = find(&all.objects, "Service", backend["name"].as_str().unwrap_or_default())?;
        assert!(array(&service["spec"]["ports"]).iter().any(|port| port["name"] == backend["port"]["name"]));
    }
    for service in of("Service") {
        let name = &service["metadata"]["name"];
        let selector = service["spec"]["selector"].as_object().context("a selector")?;
        let selected: Vec<&Value> = workloads(&all.objects)
            .filter(|workload| {
                let labels = &workload["spec"]["template"]["metadata"]["labels"];
                selector.iter().all(|(key, value)| labels[key] == *value)
            })
            .collect();
        assert_eq!(selected.len(), 1, "{name} leads to one kind of pod");
        let ports = array(&pods(selected[0])["containers"][0]["ports"]);
        for port in array(&service["spec"]["ports"]) {
            assert!(ports.iter().any(|one| one["name"] == port["targetPort"]), "{name}");
        }
    }
    for workload in workloads(&all.objects) {
        let name = &workload["metadata"]["name"];
        assert_eq!(
            workload["spec"]["selector"]["matchLabels"].as_object().map(|labels| labels
                .iter()
                .all(|(key, value)| workload["spec"]["template"]["metadata"]["labels"][key] == *value)),
            Some(true),
            "{name}"
        );
        let container = &pods(workload)["containers"][0];
        let ports = array(&container["ports"]);
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let port = &container[probe]["httpGet"]["port"];
            assert!(port.is_null() || ports.iter().any(|one| one["name"] == *port), "{name} {probe}");
        }
        for volume in array(&pods(workload)["volumes"]) {
            let Some(map) = volume["configMap"]["name"].as_str() else { continue };
            let there = find(&all.objects, "ConfigMap", map)?;
            for item in array(&volume["configMap"]["items"]) {
                let key = item["key"].as_str().unwrap_or_default();
                assert!(there["data"][key].is_string(), "{name} mounts {key} of {map}");
            }
        }
        for from in array(&container["envFrom"]) {
            find(&all.objects, "ConfigMap", from["configMapRef"]["name"].as_str().unwrap_or_default())?;
        }
    }
    // Addresses that configurations carry.
    let authentik = &find(&all.objects, "ConfigMap", "authentik")?["data"];
    let database = authentik["AUTHENTIK_POSTGRESQL__HOST"].as_str().unwrap_or_default();
    let port = &find(&all.objects, "Service", database)?["spec"]["ports"][0]["port"];
    assert_eq!(authentik["AUTHENTIK_POSTGRESQL__PORT"], port.to_string());
    let listens = |port: &str, address: &str| address.ends_with(&format!(":{port}"));
    assert!(listens("5556", &all.dex.web.http) && listens("5558", &all.dex.telemetry.http));
    assert!(listens("9000", authentik["AUTHENTIK_LISTEN__HTTP"].as_str().unwrap_or_default()));
    Ok(())
}
