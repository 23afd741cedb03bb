//! The format of a session: a YAML file with a list of steps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

/// A session.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    /// The file's name; the session's namespace has it too.
    #[serde(skip)]
    pub(crate) name: String,
    /// What it is about.
    pub(crate) about: String,
    /// Runs before every other session, while the real server has nothing of theirs.
    #[serde(default)]
    pub(crate) first: bool,
    /// What is done, in order.
    pub(crate) steps: Vec<Step>,
}

/// One step: exactly one of the first four says what is done. `${name}` stands for something kept before; `${ns}` is
/// the session's namespace.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// Arguments of kubectl, quoted as in a shell.
    pub(crate) kubectl: Option<String>,
    /// A request: `METHOD /path?query`.
    pub(crate) request: Option<String>,
    /// The path of a watch that is read until so many `events` came or the server ends it.
    pub(crate) watch: Option<String>,
    /// The path of an object that is read again and again `until` it is so; or a request that may be made often, such
    /// as a dry run: `METHOD /path?query`.
    pub(crate) wait: Option<String>,

    /// What kubectl reads from its standard input.
    pub(crate) stdin: Option<String>,
    /// Environment of kubectl.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Files in kubectl's folder.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,

    /// A request's headers.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// A request's body: text as it is, everything else as JSON.
    pub(crate) body: Option<Value>,
    /// The kind of patch: `json`, `merge`, `strategic` or `apply`.
    pub(crate) patch: Option<String>,
    /// The user to impersonate.
    #[serde(rename = "as")]
    pub(crate) user: Option<String>,
    /// A bearer token instead of the administrator's certificate; empty for none.
    pub(crate) token: Option<String>,

    /// How many events a watch is read for.
    pub(crate) events: Option<usize>,
    /// JSON pointers and what they must have (null: nothing); `status` is the answer's code.
    #[serde(default)]
    pub(crate) until: BTreeMap<String, Value>,

    /// The code of an answer, or of kubectl's end, that is no success.
    pub(crate) fails: Option<u16>,
    /// Names for parts of the answer: a JSON pointer into its body, or `stdout`.
    #[serde(default)]
    pub(crate) keep: BTreeMap<String, String>,
}

/// What a step does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action<'a> {
    Kubectl(&'a str),
    Request(&'a str, &'a str),
    Watch(&'a str),
    Wait(&'a str),
}

impl Step {
    pub(crate) fn action(&self) -> anyhow::Result<Action<'_>> {
        match (&self.kubectl, &self.request, &self.watch, &self.wait) {
            (Some(arguments), None, None, None) => Ok(Action::Kubectl(arguments)),
            (None, Some(request), None, None) => {
                let (method, path) = request.split_once(' ').context("a request is `METHOD /path`")?;
                Ok(Action::Request(method, path))
            }
            (None, None, Some(path), None) => Ok(Action::Watch(path)),
            (None, None, None, Some(path)) => Ok(Action::Wait(path)),
            _ => anyhow::bail!("a step has exactly one of kubectl, request, watch and wait"),
        }
    }

    /// What it is called in reports and in the list of differences.
    pub(crate) fn title(&self) -> String {
        match self.action() {
            Ok(Action::Kubectl(arguments)) => format!("kubectl {arguments}"),
            Ok(Action::Request(method, path)) => format!("{method} {path}"),
            Ok(Action::Watch(path)) => format!("watch {path}"),
            Ok(Action::Wait(path)) => format!("wait {path}"),
            Err(error) => error.to_string(),
        }
    }
}

/// The folder of the sessions.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions")
}

/// Every session, by name.
pub(crate) fn all() -> anyhow::Result<Vec<Script>> {
    let mut scripts = Vec::new();
    for entry in std::fs::read_dir(folder().join("scripts"))? {
        let path = entry?.path();
        let read = || -> anyhow::Result<Script> {
            let mut script: Script = serde_saphyr::from_str(&std::fs::read_to_string(&path)?)?;
            script.name =
                path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            for step in &script.steps {
                step.action().with_context(|| format!("{step:?}"))?;
            }
            Ok(script)
        };
        scripts.push(read().with_context(|| format!("cannot read {}", path.display()))?);
    }
    scripts.sort_by(|a, b| (!a.first, &a.name).cmp(&(!b.first, &b.name)));
    Ok(scripts)
}

/// Splits as a shell does with blanks and quotes, and nothing else.
pub(crate) fn words(line: &str) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    anyhow::ensure!(quote.is_none(), "a quote is not closed: {line}");
    words.extend(word);
    Ok(words)
}

#[test]
fn words_are_split_as_in_a_shell() -> anyhow::Result<()> {
    assert_eq!(words(r#"get -o 'a b' --x="{'c'}" ''"#)?, ["get", "-o", "a b", "--x={'c'}", ""]);
    assert!(words("'open").is_err());
    Ok(())
}
