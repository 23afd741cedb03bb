//! Whether the engine would take what triggers ask for: it checks each object as it would at creation, and stores none.

use aphex_gateway::dispatch::{DispatchError, Dispatcher};
use aphex_gateway::select::Account;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use super::Trial;
use crate::commands::look::text;

/// What the engine said to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rehearsed {
    /// `Kind namespace/name`.
    pub(crate) object: String,
    /// `namespace/name` of the account that asked; nothing where the caller may not act as it, and asked itself.
    pub(crate) account: Option<String>,
    /// What the engine has against it.
    pub(crate) refusal: Option<String>,
    /// It was not checked: the caller may neither act as the trigger's account nor create it.
    pub(crate) not_checked: bool,
}

const NOT_CHECKED: &str = "you may neither act as the trigger's account nor create it yourself";

impl Rehearsed {
    pub(crate) fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    pub(crate) fn line(&self) -> String {
        let who = match &self.account {
            Some(account) => format!("as {account}"),
            None => "as yourself, since you may not act as the trigger's account".to_owned(),
        };
        if self.not_checked {
            return format!("not checked  {}: {NOT_CHECKED}", self.object);
        }
        match &self.refusal {
            None => format!("checked  {} {who}: the engine would take it", self.object),
            Some(refusal) => format!("refused  {} {who}: {refusal}", self.object),
        }
    }

    pub(crate) fn document(&self) -> Value {
        let why = self.not_checked.then_some(NOT_CHECKED);
        json!({ "object": self.object, "as": self.account, "refused": self.refusal, "notChecked": why })
    }
}

/// Has the engine check all objects of a trial, each as its trigger's account where the caller may act as it.
pub(crate) async fn rehearse(
    client: &Client,
    trial: &Trial,
    event_id: &str,
) -> anyhow::Result<Vec<Rehearsed>> {
    let dispatcher = Dispatcher::new(client.clone());
    let mut rehearsed = Vec::new();
    for tried in &trial.triggers {
        if tried.resources.is_empty() {
            continue;
        }
        let account = may_act_as(client, &tried.account).await?.then_some(&tried.account);
        for resource in &tried.resources {
            let answer = dispatcher.rehearse(resource, account, event_id).await;
            let not_checked = account.is_none() && answer.as_ref().err().is_some_and(is_of_the_caller);
            let place = text(resource, "/metadata/namespace");
            let place = if place.is_empty() { place } else { format!("{place}/") };
            rehearsed.push(Rehearsed {
                object: format!("{} {place}{}", text(resource, "/kind"), text(resource, "/metadata/name")),
                account: account.map(|account| format!("{}/{}", account.namespace, account.name)),
                refusal: answer.err().filter(|_| !not_checked).map(|error| error.explain()),
                not_checked,
            });
        }
    }
    Ok(rehearsed)
}

/// Whether the engine refused because of who asked; of a quota that is used up it would say the same to everybody.
fn is_of_the_caller(error: &DispatchError) -> bool {
    let DispatchError::Create { source, .. } = error else { return false };
    matches!(source.as_ref(), kube::Error::Api(status) if status.code == 403 && !status.message.contains("exceeded quota"))
}

async fn may_act_as(client: &Client, account: &Account) -> anyhow::Result<bool> {
    let attributes = ResourceAttributes {
        verb: Some("impersonate".to_owned()),
        resource: Some("serviceaccounts".to_owned()),
        namespace: Some(account.namespace.clone()),
        name: Some(account.name.clone()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    match reviews.create(&PostParams::default(), &review).await {
        Ok(answer) => Ok(answer.status.is_some_and(|status| status.allowed)),
        // Who may not ask does not know.
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(false),
        Err(error) => Err(anyhow::Error::new(error).context("cannot ask what you may do")),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_right_that_the_caller_lacks_says_nothing_of_the_object() {
        let refused = |code: u16, message: &str| {
            let status = Status { code, message: message.to_owned(), ..Status::default() };
            is_of_the_caller(&DispatchError::Create {
                kind: "PipelineRun".to_owned(),
                name: "a/b".to_owned(),
                account: None,
                source: Box::new(kube::Error::Api(Box::new(status))),
            })
        };
        assert!(refused(403, "forbidden: User \"ada\" cannot create resource \"pipelineruns\""));
        assert!(!refused(403, "forbidden: exceeded quota: tenant-quota") && !refused(422, "not valid"));
    }
}
