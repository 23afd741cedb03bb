//! `aphex whoami`: who the cluster takes the caller for, and what that allows.

use std::collections::BTreeMap;

use anyhow::Context as _;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceRule, SelfSubjectRulesReview, SelfSubjectRulesReviewSpec, SubjectRulesReviewStatus,
};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

use crate::cli::{Format, Global, Whoami};
use crate::connect;
use crate::output::{Table, print, rendered, say};

/// What everybody may ask, which tells nothing.
const SELF: &[&str] = &["authorization.k8s.io", "authentication.k8s.io"];

pub(crate) async fn run(global: &Global, arguments: Whoami) -> anyhow::Result<()> {
    let client = connect::client(global).await?;
    let namespace = arguments.namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    let (user, rules) = ask(&client, &namespace).await?;
    let groups = user.groups.unwrap_or_default();
    let name = user.username.unwrap_or_default();
    let rows = rows(&rules.resource_rules);
    let document = || {
        let rights = rows.iter().map(|(resource, verbs)| json!({ "resource": resource, "verbs": verbs }));
        json!({
            "username": name, "groups": groups, "namespace": namespace, "rights": rights.collect::<Vec<_>>(),
            "incomplete": rules.incomplete,
        })
    };
    if let Some(text) = rendered(&global.output, &document())? {
        print(&text);
        return Ok(());
    }
    if global.output == Format::Name {
        say(&name);
        return Ok(());
    }
    say(&format!("User      {name}\nGroups    {}\n", groups.join(", ")));
    if rows.is_empty() {
        say(&format!(
            "Nothing is allowed in namespace {namespace}; ask whoever gives the groups their roles."
        ));
        return Ok(());
    }
    say(&format!("Allowed in namespace {namespace}:\n"));
    let mut table = Table::new(&["RESOURCE", "VERBS"]);
    for (resource, verbs) in rows {
        table.row(vec![resource, verbs.join(" ")]);
    }
    say(table.render().trim_end());
    if rules.incomplete {
        say("\nThe cluster could not tell everything: more may be allowed.");
    }
    Ok(())
}

async fn ask(
    client: &Client,
    namespace: &str,
) -> anyhow::Result<(k8s_openapi::api::authentication::v1::UserInfo, SubjectRulesReviewStatus)> {
    let parameters = PostParams::default();
    let who: Api<SelfSubjectReview> = Api::all(client.clone());
    let who = who.create(&parameters, &SelfSubjectReview::default()).await;
    let who = who.context("the cluster does not say who you are: log in with `aphex login`")?;
    let spec = SelfSubjectRulesReviewSpec { namespace: Some(namespace.to_owned()) };
    let review = SelfSubjectRulesReview { spec, ..SelfSubjectRulesReview::default() };
    let rules: Api<SelfSubjectRulesReview> = Api::all(client.clone());
    let rules = rules.create(&parameters, &review).await;
    let rules = rules.with_context(|| format!("the cluster does not say what you may do in {namespace}"))?;
    let user = who.status.and_then(|status| status.user_info).unwrap_or_default();
    Ok((user, rules.status.unwrap_or_default()))
}

/// One row a resource, its verbs from every rule; resources that only some objects of are allowed name them.
fn rows(rules: &[ResourceRule]) -> Vec<(String, Vec<String>)> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for rule in rules {
        let groups = rule.api_groups.clone().unwrap_or_default();
        for group in groups.iter().filter(|group| !SELF.contains(&group.as_str())) {
            for resource in rule.resources.iter().flatten() {
                let whole = match (resource.as_str(), group.as_str()) {
                    ("*", "*") => "*".to_owned(),
                    (resource, "") => resource.to_owned(),
                    (resource, group) => format!("{resource}.{group}"),
                };
                let names = rule.resource_names.clone().unwrap_or_default();
                let whole = if names.is_empty() { whole } else { format!("{whole} ({})", names.join(", ")) };
                let verbs = found.entry(whole).or_default();
                verbs.extend(
                    rule.verbs.iter().filter(|verb| !verbs.contains(verb)).cloned().collect::<Vec<_>>(),
                );
            }
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verbs_of_several_rules_come_together() {
        let rule = |group: &str, resource: &str, verbs: &[&str], names: &[&str]| {
            let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            ResourceRule {
                api_groups: Some(list(&[group])),
                resources: Some(list(&[resource])),
                verbs: list(verbs),
                resource_names: (!names.is_empty()).then(|| list(names)),
            }
        };
        let rules = [
            rule("platform.dev", "pipelines", &["get", "list"], &[]),
            rule("platform.dev", "pipelines", &["create", "get"], &[]),
            rule("", "secrets", &["get"], &["org-secrets"]),
            rule("authorization.k8s.io", "selfsubjectaccessreviews", &["create"], &[]),
            rule("*", "*", &["*"], &[]),
        ];
        let shown: Vec<String> = rows(&rules)
            .into_iter()
            .map(|(resource, verbs)| format!("{resource}: {}", verbs.join(" ")))
            .collect();
        assert_eq!(shown, ["*: *", "pipelines.platform.dev: get list create", "secrets (org-secrets): get"]);
    }
}
