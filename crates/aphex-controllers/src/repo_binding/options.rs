//! The options of a binding, checked: which events start its pipeline, and whether runs wait for each other.

use aphex_api::glob::{Glob, Over};
use aphex_api::names::Branch;
use aphex_api::repo_binding::{BindingEvent, BindingOptions, ConcurrencyPolicy};

use super::validate::invalid;
use crate::outcome::Rejection;

/// The options of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The events that count, each once.
    pub events: Vec<BindingEvent>,
    /// The branches that count.
    pub branches: Branches,
    /// A push counts when it changed a file of these; all files when empty.
    pub paths: Vec<Glob>,
    /// Files of these do not make a push count.
    pub paths_ignore: Vec<Glob>,
    /// Whether pull requests from forks count.
    pub forks: Forks,
    /// What happens to a run while others are under way.
    pub policy: ConcurrencyPolicy,
}

/// The branches that count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Branches {
    /// One.
    One(Branch),
    /// Those that a glob matches.
    Matching(Vec<Glob>),
}

/// Whether pull requests from forks count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forks {
    /// They start runs like others.
    Allowed,
    /// They start nothing.
    Refused,
}

impl Options {
    /// Whether an event counts.
    #[must_use]
    pub fn takes(&self, event: BindingEvent) -> bool {
        self.events.contains(&event)
    }
}

/// The events of a binding, as GitHub names them, each once.
pub(super) fn events(spec: &BindingOptions) -> Vec<BindingEvent> {
    let all = [BindingEvent::Push, BindingEvent::PullRequest];
    let named: Vec<BindingEvent> = all.into_iter().filter(|event| spec.events.contains(event)).collect();
    if named.is_empty() { vec![BindingEvent::Push] } else { named }
}

pub(crate) fn options(spec: &BindingOptions, branch: &Branch) -> Result<Options, Rejection> {
    let branches = match globs("spec.branches", Over::Branches, &spec.branches)? {
        none if none.is_empty() => Branches::One(branch.clone()),
        globs => Branches::Matching(globs),
    };
    Ok(Options {
        events: events(spec),
        branches,
        paths: globs("spec.paths", Over::Files, &spec.paths)?,
        paths_ignore: globs("spec.pathsIgnore", Over::Files, &spec.paths_ignore)?,
        forks: if spec.allow_forks { Forks::Allowed } else { Forks::Refused },
        policy: spec.concurrency.map(|concurrency| concurrency.policy).unwrap_or_default(),
    })
}

/// The globs of a field; the rejection names the first that is none, and why.
fn globs(field: &str, over: Over, texts: &[String]) -> Result<Vec<Glob>, Rejection> {
    let parse = |(index, text): (usize, &String)| {
        let bad = |error| invalid(&format!("{field}[{index}]"), &format!("'{text}' {error}"));
        Glob::new(text, over).map_err(bad)
    };
    texts.iter().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use aphex_api::glob;

    use super::*;

    fn parsed(spec: &BindingOptions) -> Result<Options, Rejection> {
        options(spec, &"main".parse().unwrap())
    }

    #[test]
    fn a_binding_that_says_nothing_takes_pushes_to_its_branch() {
        let options = parsed(&BindingOptions::default()).unwrap();
        assert_eq!(options.events, [BindingEvent::Push]);
        assert_eq!(options.branches, Branches::One("main".parse().unwrap()));
        assert_eq!((options.forks, options.policy), (Forks::Refused, ConcurrencyPolicy::Allow));
        assert!(options.paths.is_empty() && options.paths_ignore.is_empty());
    }

    /// All texts of up to six of these signs.
    fn texts() -> Vec<String> {
        let signs = ["a", "-", "[", "]", "!", r"\", "/"];
        let (mut all, mut last) = (Vec::new(), vec![String::new()]);
        for _ in 0..6 {
            last = last.iter().flat_map(|text| signs.map(|sign| format!("{text}{sign}"))).collect();
            all.extend_from_slice(&last);
        }
        all
    }

    #[test]
    fn the_schema_refuses_the_signs_that_are_refused_here_and_no_others() {
        let pattern = glob::GLOBS_RULE.split("r'").nth(1).and_then(|rest| rest.strip_suffix("'))")).unwrap();
        let pattern = regex::Regex::new(pattern).unwrap();
        for text in texts() {
            use glob::GlobError::{Backwards, Negated, Separator, Trailing, Unclosed};
            let refused = match Glob::new(&text, Over::Files) {
                // These are seen first, and not by the rule.
                Err(Negated | Backwards(..)) => continue,
                read => matches!(read, Err(Unclosed | Separator | Trailing)),
            };
            assert_eq!(pattern.is_match(&text), !refused, "{text}");
        }
    }

    #[test]
    fn the_schema_refuses_nothing_as_no_name_that_is_one() {
        let slashes = |text: &str| text.starts_with('/') || text.ends_with('/') || text.contains("//");
        for text in texts().iter().filter(|text| slashes(text)) {
            assert!(Glob::new(text, Over::Files).is_err(), "{text}");
            assert!(Glob::new(text, Over::Branches).is_err(), "{text}");
        }
        assert!(Glob::new("refs/*", Over::Branches).is_err());
    }

    #[test]
    fn a_bad_glob_is_named_with_its_field() {
        let paths = vec!["src/**".to_owned(), "[a".to_owned()];
        let spec = BindingOptions { paths, ..BindingOptions::default() };
        let message = parsed(&spec).unwrap_err().message;
        assert_eq!(message, r"spec.paths[1]: '[a' has a [ without its ]; write \[ for the character itself");
        let globs = |branches: &[&str], paths_ignore: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let (branches, paths_ignore) = (owned(branches), owned(paths_ignore));
            parsed(&BindingOptions { branches, paths_ignore, ..BindingOptions::default() })
        };
        let message = globs(&["main", "refs/heads/next"], &[]).unwrap_err().message;
        assert!(message.starts_with("spec.branches[1]: 'refs/heads/next' can match no branch"), "{message}");
        let message = globs(&["main"], &["/docs/**"]).unwrap_err().message;
        assert!(message.starts_with("spec.pathsIgnore[0]: '/docs/**' can match no file"), "{message}");
    }
}
