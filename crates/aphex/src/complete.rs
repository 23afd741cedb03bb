//! Words for a shell to complete with: names of objects, namespaces and contexts, from the API as the caller may see it.
//!
//! A shell waits for this, so it is quick or silent: whatever goes wrong, and whatever takes too long, gives no words.

use std::ffi::OsStr;
use std::time::Duration;

use aphex_api::delivery::Delivery;
use aphex_api::foreign::tekton::PipelineRun;
use aphex_api::knowledge_base::KnowledgeBase;
use aphex_api::organization::Organization;
use aphex_api::pipeline::Pipeline;
use aphex_api::repo_binding::RepoBinding;
use clap_complete::CompletionCandidate;
use k8s_openapi::api::core::v1::Namespace;
use kube::Resource as _;
use kube::api::ListParams;
use kube::core::ApiResource;

use crate::cli::{Format, Global};
use crate::commands::look;
use crate::connect;

/// The environment variable by which a shell asks.
pub(crate) const VARIABLE: &str = "APHEX_COMPLETE";
/// Longest wait for a server that is far away.
const PATIENCE: Duration = Duration::from_millis(800);
/// Most names that are offered.
const MOST: u32 = 500;
/// Where organizations and bindings are.
const PLATFORM: &str = "platform-system";

/// Names of the kind that the words before it speak of.
pub(crate) fn names(current: &OsStr) -> Vec<CompletionCandidate> {
    let line = Line::of_process();
    let Some((resource, usual)) = line.kind() else { return Vec::new() };
    let namespace = line.value(&["-n", "--namespace"]).or(usual.map(str::to_owned));
    let place = Place::Usual(namespace.as_deref());
    offered(current, fetch(&line, &resource, place))
}

/// Names of namespaces.
pub(crate) fn namespaces(current: &OsStr) -> Vec<CompletionCandidate> {
    let resource = ApiResource::erase::<Namespace>(&());
    offered(current, fetch(&Line::of_process(), &resource, Place::Cluster))
}

/// Contexts of the kubeconfig.
pub(crate) fn contexts(current: &OsStr) -> Vec<CompletionCandidate> {
    offered(current, connect::contexts(&Line::of_process().global()))
}

/// What `-o` takes.
pub(crate) fn formats() -> Vec<CompletionCandidate> {
    Format::WORDS.into_iter().map(CompletionCandidate::new).collect()
}

fn offered(current: &OsStr, mut names: Vec<String>) -> Vec<CompletionCandidate> {
    let begun = current.to_string_lossy();
    names.retain(|name| name.starts_with(&*begun));
    names.sort();
    names.dedup();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// The words typed so far.
struct Line(Vec<String>);

impl Line {
    /// A shell hands them over behind `--`, the program's own name first.
    fn of_process() -> Self {
        let words = std::env::args_os().skip_while(|word| word != "--").skip(2);
        Self(words.map(|word| word.to_string_lossy().into_owned()).collect())
    }

    /// The kind whose names are wanted, and where its objects are.
    fn kind(&self) -> Option<(ApiResource, Option<&'static str>)> {
        self.0.iter().find_map(|word| {
            Some(match word.as_str() {
                "org" | "organization" | "secret" => {
                    (ApiResource::erase::<Organization>(&()), Some(PLATFORM))
                }
                "repo" | "rb" | "repobinding" | "push" => {
                    (ApiResource::erase::<RepoBinding>(&()), Some(PLATFORM))
                }
                "pipeline" => (ApiResource::erase::<Pipeline>(&()), None),
                "kb" | "knowledgebase" => (ApiResource::erase::<KnowledgeBase>(&()), None),
                "delivery" => (ApiResource::erase::<Delivery>(&()), None),
                "run" | "logs" => (ApiResource::erase::<PipelineRun>(&()), None),
                _ => return None,
            })
        })
    }

    fn value(&self, flags: &[&str]) -> Option<String> {
        let mut words = self.0.iter();
        while let Some(word) = words.next() {
            if flags.contains(&word.as_str()) {
                return words.next().filter(|value| !value.is_empty()).cloned();
            }
            let inline = flags.iter().find_map(|flag| word.strip_prefix(flag)?.strip_prefix('='));
            if let Some(value) = inline {
                return Some(value.to_owned());
            }
        }
        None
    }

    fn global(&self) -> Global {
        Global {
            kubeconfig: self.value(&["--kubeconfig"]).map(Into::into),
            context: self.value(&["--context"]),
            ..Global::default()
        }
    }
}

/// Where names are looked for.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// In no namespace.
    Cluster,
    /// Where the commands look: in the one that was given, else in the context's, else in all.
    Usual(Option<&'a str>),
}

/// Names from the API; none when anything goes wrong.
fn fetch(line: &Line, resource: &ApiResource, place: Place<'_>) -> Vec<String> {
    // Whoever came first: TLS works either way.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let global = line.global();
    let asked = async {
        let client = connect::client(&global).await.ok()?;
        let namespace = match place {
            Place::Cluster => None,
            Place::Usual(given) => look::place(&client, given),
        };
        let api = look::api(&client, resource, namespace);
        let list = api.list_metadata(&ListParams::default().limit(MOST)).await.ok()?;
        Some(list.items.into_iter().filter_map(|object| object.meta().name.clone()).collect())
    };
    let names = runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
    runtime.shutdown_background();
    names.ok().flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> Line {
        Line(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn the_words_before_say_which_kind_and_where() {
        let plural = |words: &[&str]| line(words).kind().map(|(resource, usual)| (resource.plural, usual));
        assert_eq!(plural(&["repo", "get", ""]), Some(("repobindings".to_owned(), Some("platform-system"))));
        assert_eq!(
            plural(&["describe", "org", ""]),
            Some(("organizations".to_owned(), Some("platform-system")))
        );
        assert_eq!(plural(&["logs", "-n", "shop", ""]), Some(("pipelineruns".to_owned(), None)));
        assert_eq!(plural(&["describe", "rb", ""]), plural(&["describe", "repo", ""]));
        assert_eq!(plural(&["describe", "organization", ""]), plural(&["describe", "org", ""]));
        assert_eq!(plural(&["describe", "knowledgebase", ""]), plural(&["describe", "kb", ""]));
        assert_eq!(plural(&["up", ""]), None);
        assert_eq!(
            line(&["run", "get", "-n", "shop", ""]).value(&["-n", "--namespace"]).as_deref(),
            Some("shop")
        );
        assert_eq!(line(&["run", "--namespace=a"]).value(&["-n", "--namespace"]).as_deref(), Some("a"));
        assert_eq!(line(&["run", "get", "-n", ""]).value(&["-n"]), None);
    }

    #[test]
    fn only_what_begins_as_typed_is_offered() {
        let names = ["b", "ab", "aa", "ab"].map(str::to_owned).to_vec();
        let offered = offered(OsStr::new("a"), names);
        let words: Vec<_> = offered.iter().map(|one| one.get_value().to_owned()).collect();
        assert_eq!(words, ["aa", "ab"]);
    }
}
