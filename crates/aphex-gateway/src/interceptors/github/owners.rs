//! `githubOwners`: pull requests and comments count only from members, or from who is in the repository's `OWNERS`.
//!
//! After `checkOwnershipAndMembership` of Tekton Triggers v0.34: a pull request passes when its sender is one of
//! them; a comment when it says `/ok-to-test` on a line of its own and its sender is one of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::api::{Api, segment};
use super::{Asked, Reply, SecretRef, files, token};
use crate::event::Event;
use crate::interceptors::{Context, Rejection, params};

/// The parameter's value.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Params {
    pub(super) enabled: bool,
    #[serde(deserialize_with = "params::maybe_object")]
    personal_access_token: Option<SecretRef>,
    check_type: String,
}

/// Who asks for what.
struct Asking<'a> {
    owner: &'a str,
    repository: &'a str,
    sender: &'a str,
}

/// Decides on a pull request or comment.
pub(super) fn ask(params: &Params, kind: &str, context: &Context<'_>, event: &Event) -> Asked<Reply> {
    let token = token(params.personal_access_token.as_ref(), "personalAccessToken", context)?;
    if token.is_none() && params.check_type != "none" {
        let message = "checkType is set to check org or repo members but no personalAccessToken was supplied";
        return Ok(Reply::Fail(message.to_owned()));
    }
    let api = Api::of(context, event, token)?;
    let body = &event.body;
    let comment = asked_in(kind, body).map_err(|message| broken(&message))?;
    let (owner, repository) = files::repository(body).map_err(|message| broken(&message))?;
    let sender = &body["sender"];
    if !sender.is_object() {
        return Err(broken("payload body missing 'sender' field"));
    }
    let sender = sender["login"].as_str().unwrap_or_default();
    let wanted = kind == "pull_request" || says_ok(comment);
    if wanted && belongs(params, &api, &Asking { owner, repository, sender })? {
        return Ok(Reply::Continue(Map::new()));
    }
    Ok(Reply::Stop("owners check requirements not met".to_owned(), Rejection::Other))
}

fn broken(message: &str) -> Reply {
    Reply::Fail(format!("error parsing body: {message}"))
}

/// The comment's text; empty for a pull request.
fn asked_in<'a>(kind: &str, body: &'a Value) -> Result<&'a str, String> {
    if kind == "pull_request" {
        files::number(&body["number"]).ok_or("pull_request body missing 'number' field")?;
        return Ok("");
    }
    if !body["issue"].is_object() {
        return Err("issue_comment body missing 'issue' section".to_owned());
    }
    files::number(&body["issue"]["number"])
        .ok_or("'number' field missing in the issue section of issue_comment body")?;
    if !body["comment"].is_object() {
        return Err("issue_comment body missing 'comment' section".to_owned());
    }
    let text = body["comment"]["body"].as_str();
    text.ok_or_else(|| "'body' field missing in the comment section of issue_comment body".to_owned())
}

/// `(^|\n)\/ok-to-test(\r\n|\r|\n|$)`.
fn says_ok(comment: &str) -> bool {
    comment.split('\n').any(|line| line.split('\r').next() == Some("/ok-to-test"))
}

fn belongs(params: &Params, api: &Api<'_>, asking: &Asking<'_>) -> Asked<bool> {
    let (owner, repository) = (segment(asking.owner), segment(asking.repository));
    let check = params.check_type.as_str();
    if matches!(check, "orgMembers" | "all") {
        let members = api.list(&format!("/orgs/{owner}/public_members"))?;
        if members.is_some_and(|members| has(&members, asking.sender)) {
            return Ok(true);
        }
    }
    if matches!(check, "repoMembers" | "all") {
        let path = format!("/repos/{owner}/{repository}/collaborators");
        let members = api.list(&path)?;
        let members = members.ok_or_else(|| {
            Reply::Fail(format!("error checking owner verification: GitHub knows no {path}"))
        })?;
        if has(&members, asking.sender) {
            return Ok(true);
        }
    }
    let Some(file) = api.get(&format!("/repos/{owner}/{repository}/contents/OWNERS"))? else {
        return Ok(false);
    };
    in_file(&file, asking.sender)
        .map_err(|message| Reply::Fail(format!("error checking owner verification: {message}")))
}

fn has(members: &[Value], sender: &str) -> bool {
    members.iter().any(|member| member["login"].as_str() == Some(sender))
}

fn in_file(file: &Value, sender: &str) -> Result<bool, String> {
    if file.is_array() {
        return Err("referenced file inside the Github Repository OWNERS is a directory".to_owned());
    }
    let text: String = file["content"].as_str().unwrap_or_default().split_whitespace().collect();
    let text = STANDARD.decode(text).map_err(|error| format!("OWNERS is not base64: {error}"))?;
    let text = String::from_utf8(text).map_err(|error| format!("OWNERS is not text: {error}"))?;
    let owners: Value =
        serde_saphyr::from_str(&text).map_err(|error| format!("OWNERS is not YAML: {error}"))?;
    let listed = ["approvers", "reviewers"].into_iter().filter_map(|list| owners[list].as_array()).flatten();
    Ok(!sender.is_empty() && listed.filter_map(Value::as_str).any(|owner| owner.eq_ignore_ascii_case(sender)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approval_stands_on_a_line_of_its_own() {
        for said in ["/ok-to-test", "Fine.\n/ok-to-test\nThanks", "/ok-to-test\r\nx"] {
            assert!(says_ok(said), "{said:?}");
        }
        for silent in ["", "/ok-to-test please", "I say /ok-to-test", " /ok-to-test"] {
            assert!(!says_ok(silent), "{silent:?}");
        }
    }
}
