//! `aphex open`: the page of an object, in Tekton's dashboard where there is one, else at GitHub.

use std::process::{Command, Stdio};

use aphex_api::foreign::tekton::PipelineRun;
use aphex_api::organization::Organization;
use aphex_api::pipeline::Pipeline;
use aphex_api::repo_binding::RepoBinding;
use kube::api::ListParams;
use kube::core::ApiResource;
use kube::{Client, Resource};
use serde_json::Value;

use super::look::{self, Shown, text};
use super::{org, pipeline, repo, run as runs, settings};
use crate::cli::{Global, Open, Opened};
use crate::output::{note, say};
use crate::{connect, exit};

/// The platform's configuration of the dashboard's address, in ConfigMap `aphex-config`.
const DASHBOARD: &str = "APHEX_DASHBOARD_URL";

pub(crate) async fn run(global: &Global, arguments: Open) -> anyhow::Result<()> {
    let client = connect::client(global).await?;
    let object = match arguments.kind {
        Opened::Org => find::<Organization>(&client, &arguments, &org::SHOWN).await?,
        Opened::Repo => find::<RepoBinding>(&client, &arguments, &repo::SHOWN).await?,
        Opened::Run => find::<PipelineRun>(&client, &arguments, &runs::SHOWN).await?,
        Opened::Pipeline => find::<Pipeline>(&client, &arguments, &pipeline::SHOWN).await?,
    };
    let dashboard = if arguments.github { None } else { dashboard(&client, &arguments).await };
    let url = match dashboard {
        Some(base) => Some(in_dashboard(base.trim_end_matches('/'), arguments.kind, &object)),
        None => at_github(&client, arguments.kind, &object).await?,
    };
    let Some(url) = url else {
        let message = format!(
            "{} has no page at GitHub, and no dashboard is known: give --dashboard-url URL, or set {DASHBOARD} in \
             ConfigMap aphex-config",
            arguments.name
        );
        return Err(exit::Coded { code: exit::NOT_FOUND, message }.into());
    };
    say(&url);
    if !arguments.print && !browse(&url) {
        note("no browser was found: open the address above");
    }
    Ok(())
}

async fn find<K: Resource<DynamicType = ()>>(
    client: &Client,
    arguments: &Open,
    shown: &Shown,
) -> anyhow::Result<Value> {
    let resource = ApiResource::erase::<K>(&());
    let found =
        look::must_find(client, &resource, &arguments.name, arguments.namespace.as_deref(), shown).await?;
    look::value(found, &resource)
}

/// The dashboard's address: the flag's, else the configuration's as far as the caller may read it.
async fn dashboard(client: &Client, arguments: &Open) -> Option<String> {
    if arguments.dashboard_url.is_some() {
        return arguments.dashboard_url.clone();
    }
    let mut configured = settings::configured(client).await.ok()?;
    configured.remove(DASHBOARD).filter(|url| !url.is_empty())
}

/// Addresses of Tekton's dashboard (its packages/utils router, `paths`).
fn in_dashboard(base: &str, kind: Opened, object: &Value) -> String {
    let (namespace, name) = (text(object, "/metadata/namespace"), look::name(object));
    match kind {
        Opened::Org => format!("{base}/#/namespaces/org-{name}/eventlisteners/github-listener"),
        Opened::Run => format!("{base}/#/namespaces/{namespace}/pipelineruns/{name}"),
        Opened::Pipeline => format!("{base}/#/namespaces/{name}/pipelineruns"),
        Opened::Repo => {
            let spec = &object["spec"];
            let tenant = spec["pipelineName"].as_str().or(spec["tenantName"].as_str()).unwrap_or(name);
            format!("{base}/#/namespaces/{tenant}/pipelineruns")
        }
    }
}

async fn at_github(client: &Client, kind: Opened, object: &Value) -> anyhow::Result<Option<String>> {
    Ok(match kind {
        Opened::Repo => page([text(object, "/spec/repoOrg"), text(object, "/spec/repoName")], None),
        Opened::Pipeline => {
            page([text(object, "/spec/repository/org"), text(object, "/spec/repository/name")], None)
        }
        Opened::Run => of_run(object),
        Opened::Org => {
            owner(client, look::name(object)).await?.map(|owner| format!("https://github.com/{owner}"))
        }
    })
}

fn page([owner, name]: [String; 2], commit: Option<String>) -> Option<String> {
    let commit = commit.map(|commit| format!("/commit/{commit}")).unwrap_or_default();
    (!owner.is_empty() && !name.is_empty()).then(|| format!("https://github.com/{owner}/{name}{commit}"))
}

/// The commit that a run is of, by the parameters that dispatch gave it.
fn of_run(run: &Value) -> Option<String> {
    let params = run.pointer("/spec/params").and_then(Value::as_array)?;
    let value = |name: &str| params.iter().find(|param| param["name"] == name).map(|param| &param["value"]);
    let repository = match value("repo-full-name")? {
        Value::Array(names) => names.first()?.as_str()?,
        other => other.as_str()?,
    };
    let (owner, name) = repository.split_once('/')?;
    let commit = value("git-revision").and_then(Value::as_str);
    let commit = commit.filter(|commit| commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()));
    page([owner.to_owned(), name.to_owned()], commit.map(str::to_owned))
}

/// The GitHub account of an organization's repositories, when all have the same.
async fn owner(client: &Client, organization: &str) -> anyhow::Result<Option<String>> {
    let resource = ApiResource::erase::<RepoBinding>(&());
    let named = ListParams::default().fields(&format!("spec.aphexOrg={organization}"));
    let bindings = look::api(client, &resource, Some(settings::NAMESPACE)).list(&named).await?;
    let mut owners: Vec<String> = bindings
        .items
        .iter()
        .filter_map(|one| one.data["spec"]["repoOrg"].as_str().map(str::to_owned))
        .collect();
    owners.sort();
    owners.dedup();
    Ok(if owners.len() == 1 { owners.pop() } else { None })
}

/// Starts a browser; tells whether there was one.
fn browse(url: &str) -> bool {
    let own = std::env::var("BROWSER").ok().filter(|own| !own.is_empty());
    let usual = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    // What opens browsers on a machine without a screen opens one in the terminal, over what is there.
    let screen = cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let program = match own {
        Some(own) => own,
        None if screen => usual.to_owned(),
        None => return false,
    };
    let quiet = Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_leads_to_its_commit() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let run = |revision: &str| {
            json!({ "spec": { "params": [
                { "name": "repo-full-name", "value": ["acme/shop"] },
                { "name": "git-revision", "value": revision },
            ] } })
        };
        assert_eq!(of_run(&run(commit)), Some(format!("https://github.com/acme/shop/commit/{commit}")));
        assert_eq!(of_run(&run("../x")), Some("https://github.com/acme/shop".to_owned()));
        assert_eq!(of_run(&json!({ "spec": {} })), None);
    }

    #[test]
    fn the_dashboard_has_a_page_for_each_kind() {
        let object =
            json!({ "metadata": { "namespace": "shop", "name": "x" }, "spec": { "pipelineName": "shop" } });
        let page = |kind| in_dashboard("https://tekton.example.com", kind, &object);
        assert_eq!(page(Opened::Run), "https://tekton.example.com/#/namespaces/shop/pipelineruns/x");
        assert_eq!(page(Opened::Repo), "https://tekton.example.com/#/namespaces/shop/pipelineruns");
        assert_eq!(page(Opened::Pipeline), "https://tekton.example.com/#/namespaces/x/pipelineruns");
        assert_eq!(
            page(Opened::Org),
            "https://tekton.example.com/#/namespaces/org-x/eventlisteners/github-listener"
        );
    }
}
