use aphex_api::glob::Over;
use aphex_api::repo_binding::BindingEvent;

use super::*;

fn options(events: &[BindingEvent]) -> Options {
    Options {
        events: events.to_vec(),
        branches: Branches::One("main".parse().unwrap()),
        paths: Vec::new(),
        paths_ignore: Vec::new(),
        forks: Forks::Refused,
        policy: aphex_api::repo_binding::ConcurrencyPolicy::Allow,
    }
}

fn globs(texts: &[&str]) -> Vec<Glob> {
    texts.iter().map(|text| Glob::new(text, Over::Files).unwrap()).collect()
}

#[test]
fn a_quote_or_backslash_stays_inside_the_literal() {
    assert_eq!(cel_string("refs/heads/it's"), r"'refs/heads/it\'s'");
    assert_eq!(cel_string(r"a\"), r"'a\\'");
    let expression = matches("body.ref", "refs/heads/", &globs(&["v?.'x"]));
    assert_eq!(expression, r"body.ref.matches('^refs/heads/(?s:v[^/]\\.\'x)$')");
}

#[test]
fn an_expression_tells_events_apart_only_where_both_can_come() {
    let text = |events: &[BindingEvent]| {
        let options = options(events);
        by_event(&options, push_branch(&options), base_branch(&options))
    };
    assert_eq!(text(&[Push]), "body.ref == 'refs/heads/main'");
    assert_eq!(text(&[PullRequest]), "body.pull_request.base.ref == 'main'");
    assert_eq!(
        text(&[Push, PullRequest]),
        "has(body.pull_request) ? (body.pull_request.base.ref == 'main') : (body.ref == 'refs/heads/main')"
    );
}

#[test]
fn paths_count_unless_ignored_and_whenever_they_are_not_known() {
    let options = Options {
        paths: globs(&["src/**"]),
        paths_ignore: globs(&["**/*.md"]),
        ..options(&[Push, PullRequest])
    };
    assert_eq!(
        by_event(&options, paths(&options), "true".to_owned()),
        "has(body.pull_request) || (body.forced || body.commits.size() == 0 || body.commits.size() >= 2048 || \
         body.commits.exists(c, (c.added + c.modified + c.removed).exists(f, \
         f.matches('^(?s:src/.*)$') && !f.matches('^(?s:(?:.*/)?[^/]*\\\\.md)$'))))"
    );
}
