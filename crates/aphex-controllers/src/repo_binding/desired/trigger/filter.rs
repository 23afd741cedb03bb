//! Which events count, as expressions for Tekton's `cel` interceptor, one for each reason an event may not be wanted.
//!
//! Only functions that Tekton's interceptor has are called, so that its own sink decides alike. The event's type comes
//! from the body, which is signed, and not from the header, which is not.

use aphex_api::glob::{self, Glob};
use aphex_api::repo_binding::BindingEvent::{PullRequest, Push};
use serde_json::{Value, json};

use crate::repo_binding::options::{Branches, Forks, Options};
use crate::repo_binding::validate::Valid;

/// GitHub lists at most so many commits of a push (docs: webhook events, `push`, `commits`).
const COMMITS_MAX: usize = 2048;
/// What happens to a pull request that makes its commits worth a run; GitHub Actions' own choice.
const ACTIONS: [&str; 3] = ["opened", "reopened", "synchronize"];
/// Where the overlays put what bindings read.
pub(super) const BRANCH: &str = "branch";
pub(super) const REF: &str = "ref";
pub(super) const REVISION: &str = "revision";

/// A named condition on events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// What it looks at; the verdict on an event begins with it.
    pub(super) name: &'static str,
    /// The expression, true of events that count.
    pub(super) expression: String,
}

/// The conditions in the order in which they are asked.
pub(super) fn filters(valid: &Valid) -> Vec<Filter> {
    let options = &valid.options;
    let filter = |name, expression| Filter { name, expression };
    let mut filters = vec![filter("repository", repository(valid))];
    if options.takes(PullRequest) {
        filters.push(filter("action", action(options)));
    }
    filters.push(filter("branches", by_event(options, push_branch(options), base_branch(options))));
    if options.takes(PullRequest) && options.forks == Forks::Refused {
        filters.push(filter("forks", by_event(options, "true".to_owned(), own_head())));
    }
    if options.takes(Push) && !(options.paths.is_empty() && options.paths_ignore.is_empty()) {
        filters.push(filter("paths", by_event(options, paths(options), "true".to_owned())));
    }
    filters
}

/// The condition that there is a commit to build; asked last, by who adds the overlays.
pub(super) fn commit(options: &Options) -> Filter {
    let expression = by_event(options, is_commit("body.after"), is_commit("body.pull_request.head.sha"));
    Filter { name: "commit", expression }
}

/// What bindings read as `$(extensions.…)`: the branch, the ref and the commit of the event.
pub(super) fn overlays(options: &Options) -> Value {
    let overlay = |key: &str, push: &str, pull_request: &str| json!({ "key": key, "expression": by_event(options, push.to_owned(), pull_request.to_owned()) });
    json!([
        overlay(BRANCH, "body.ref.substring(11)", "body.pull_request.head.ref"),
        overlay(REF, "body.ref", "'refs/pull/' + string(int(body.number)) + '/head'"),
        overlay(REVISION, "body.after", "body.pull_request.head.sha"),
    ])
}

/// One expression for a push and another for a pull request, or the one that can come.
fn by_event(options: &Options, push: String, pull_request: String) -> String {
    match (options.takes(Push), options.takes(PullRequest)) {
        (true, true) if pull_request == "true" => format!("has(body.pull_request) || {push}"),
        (true, true) if push == "true" => format!("!has(body.pull_request) || {pull_request}"),
        (true, true) => format!("has(body.pull_request) ? ({pull_request}) : ({push})"),
        (false, true) => pull_request,
        _ => push,
    }
}

/// GitHub's names ignore case.
fn repository(valid: &Valid) -> String {
    let name = cel_string(&valid.repository.full_name().to_ascii_lowercase());
    format!("body.repository.full_name.lowerAscii() == {name}")
}

fn action(options: &Options) -> String {
    let actions: Vec<String> = ACTIONS.iter().map(|action| cel_string(action)).collect();
    by_event(options, "true".to_owned(), format!("body.action in [{}]", actions.join(", ")))
}

fn push_branch(options: &Options) -> String {
    match &options.branches {
        Branches::One(branch) => format!("body.ref == {}", cel_string(&branch.git_ref())),
        Branches::Matching(globs) => matches("body.ref", "refs/heads/", globs),
    }
}

fn base_branch(options: &Options) -> String {
    match &options.branches {
        Branches::One(branch) => format!("body.pull_request.base.ref == {}", cel_string(branch.as_str())),
        Branches::Matching(globs) => matches("body.pull_request.base.ref", "", globs),
    }
}

/// The head's repository is null when the fork was deleted.
fn own_head() -> String {
    "(body.pull_request.head.repo != null && body.pull_request.head.repo.full_name == body.repository.full_name)"
        .to_owned()
}

/// A push changed a file that counts, or what it changed cannot be known.
///
/// It cannot when GitHub lists no commits (a branch made of another), when it left some out, and when the push took
/// commits away.
fn paths(options: &Options) -> String {
    let mut wanted = Vec::new();
    if !options.paths.is_empty() {
        wanted.push(matches("f", "", &options.paths));
    }
    if !options.paths_ignore.is_empty() {
        wanted.push(format!("!{}", matches("f", "", &options.paths_ignore)));
    }
    format!(
        "(body.forced || body.commits.size() == 0 || body.commits.size() >= {COMMITS_MAX} || \
         body.commits.exists(c, (c.added + c.modified + c.removed).exists(f, {})))",
        wanted.join(" && ")
    )
}

/// The revision is a commit: forty digits, not all of them zero.
fn is_commit(value: &str) -> String {
    format!("{value}.matches('^[0-9a-f]{{40}}$') && !{value}.matches('^0*$')")
}

fn matches(value: &str, prefix: &str, globs: &[Glob]) -> String {
    format!("{value}.matches({})", cel_string(&glob::expression(prefix, globs)))
}

/// A string as a CEL literal.
fn cel_string(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests;
