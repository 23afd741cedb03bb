//! The options of each verb, from the query string and, for deletes, from the body.

use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use http::HeaderMap;
use serde_json::Value;

use crate::object;
use crate::request::percent_decode;
use crate::status::Status;

const META_GROUP: &str = "meta.k8s.io";

/// A query string.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string.
    pub fn parse(text: Option<&str>) -> Self {
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    /// The first non-empty value of an option.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, value)| n == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// All values of an option.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether a boolean option is set (`strconv.ParseBool`; anything else counts as true, as upstream).
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| !matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False"))
    }

    fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let wrong = |_| Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"));
        text.parse().map(Some).map_err(wrong)
    }
}

fn decode(text: &str) -> String {
    percent_decode(&text.replace('+', " "))
}

/// Options of list and watch.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Label selector, as text.
    pub label_selector: String,
    /// Field selector, as text.
    pub field_selector: String,
    /// Follow changes.
    pub watch: bool,
    /// Bookmarks are welcome.
    pub bookmarks: bool,
    /// Revision, as text.
    pub resource_version: String,
    /// `Exact` or `NotOlderThan`.
    pub resource_version_match: String,
    /// How long a watch may last.
    pub timeout_seconds: Option<u64>,
    /// Page size.
    pub limit: Option<usize>,
    /// Where the next page starts.
    pub continue_token: String,
    /// A watch starts with the present objects and marks the end of them.
    pub send_initial_events: Option<bool>,
}

impl ListOptions {
    /// Reads and validates the options.
    pub fn parse(query: &Query, watch: bool) -> Result<Self, Status> {
        let text = |name| query.get(name).unwrap_or_default().to_owned();
        let positive = |number: Option<i64>| number.filter(|n| *n > 0);
        let options = Self {
            label_selector: text("labelSelector"),
            field_selector: text("fieldSelector"),
            watch: watch || query.flag("watch").unwrap_or(false),
            bookmarks: query.flag("allowWatchBookmarks").unwrap_or(false),
            resource_version: text("resourceVersion"),
            resource_version_match: text("resourceVersionMatch"),
            timeout_seconds: positive(query.number("timeoutSeconds")?).and_then(|n| u64::try_from(n).ok()),
            limit: positive(query.number("limit")?).and_then(|n| usize::try_from(n).ok()),
            continue_token: text("continue"),
            send_initial_events: query.flag("sendInitialEvents"),
        };
        options.validate()?;
        Ok(options)
    }

    /// `ValidateListOptions` in apimachinery's internalversion/validation.
    fn validate(&self) -> Result<(), Status> {
        let matching = Path::root().child("resourceVersionMatch");
        let initial = Path::root().child("sendInitialEvents");
        let given = !self.resource_version_match.is_empty();
        let mut errors = Vec::new();
        let forbid =
            |errors: &mut Vec<_>, path: &Path, why: &str| errors.push(FieldError::forbidden(path, why));
        if self.watch && self.send_initial_events.is_some() {
            if self.resource_version_match != "NotOlderThan" {
                let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
                forbid(&mut errors, &matching, why);
            }
            if given && self.resource_version_match != "NotOlderThan" {
                let value = self.resource_version_match.as_str();
                errors.push(FieldError::not_supported(&matching, value, &["NotOlderThan"]));
            }
        } else if self.watch {
            if given {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                forbid(&mut errors, &matching, why);
                if self.resource_version_match != "NotOlderThan" {
                    let value = self.resource_version_match.as_str();
                    errors.push(FieldError::not_supported(&matching, value, &["NotOlderThan"]));
                }
            }
        } else {
            if given {
                self.validate_match(&matching, &mut errors);
            }
            if self.send_initial_events.is_some() {
                forbid(&mut errors, &initial, "sendInitialEvents is forbidden for list");
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Status::invalid(META_GROUP, "ListOptions", "", errors)) }
    }

    fn validate_match(&self, path: &Path, errors: &mut Vec<FieldError>) {
        let revision = self.resource_version.as_str();
        if revision.is_empty() {
            let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            errors.push(FieldError::forbidden(path, why));
        }
        if !self.continue_token.is_empty() {
            let why = "resourceVersionMatch is forbidden when continue is provided";
            errors.push(FieldError::forbidden(path, why));
        }
        match self.resource_version_match.as_str() {
            "Exact" if revision == "0" => {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(FieldError::forbidden(path, why));
            }
            "Exact" | "NotOlderThan" => {}
            other => errors.push(FieldError::not_supported(path, other, &["Exact", "NotOlderThan", ""])),
        }
    }
}

/// What happens to fields the schema does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are dropped silently.
    Ignore,
    /// They are dropped with a warning.
    #[default]
    Warn,
    /// The request fails.
    Strict,
}

/// Options of create, update and patch.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Do everything but store it.
    pub dry_run: bool,
    /// Name of the field manager, from the option or the user agent.
    pub field_manager: String,
    /// The manager was named by the option.
    pub manager_given: bool,
    /// What happens to unknown fields.
    pub field_validation: FieldValidation,
    /// An apply takes fields from other managers.
    pub force: Option<bool>,
    /// The answer need not wait for the disk; see [`prefers_ahead`].
    pub ahead: bool,
}

impl WriteOptions {
    /// Reads and validates the options; `kind` is `CreateOptions`, `UpdateOptions` or `PatchOptions`.
    pub fn parse(query: &Query, kind: &str, user_agent: &str) -> Result<Self, Status> {
        let mut errors = Vec::new();
        let given = query.get("fieldManager");
        if let Some(manager) = given {
            validate_manager(manager, &mut errors);
        }
        let field_validation = match query.get("fieldValidation").unwrap_or_default() {
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            "" | "Warn" => FieldValidation::Warn,
            other => {
                let path = Path::root().child("fieldValidation");
                errors.push(FieldError::not_supported(&path, other, &["", "Ignore", "Strict", "Warn"]));
                FieldValidation::Warn
            }
        };
        let dry_run: Vec<&str> = query.all("dryRun").filter(|value| !value.is_empty()).collect();
        let dry_run = dry_run_of(&dry_run, &mut errors);
        if !errors.is_empty() {
            return Err(Status::invalid(META_GROUP, kind, "", errors));
        }
        Ok(Self {
            dry_run,
            field_manager: given.map_or_else(|| manager_of_agent(user_agent), str::to_owned),
            manager_given: given.is_some(),
            field_validation,
            force: query.flag("force"),
            ahead: false,
        })
    }
}

/// Whether a request prefers an answer before what it creates is on disk (`Prefer: commit=ahead`, RFC 7240).
///
/// The object is on disk before anything is that is asked for after the answer, and nobody sees it until then. For those who
/// write a second object before they tell anybody of the first.
pub fn prefers_ahead(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|preference| preference.trim() == "commit=ahead")
}

fn dry_run_of(values: &[&str], errors: &mut Vec<FieldError>) -> bool {
    if values.iter().any(|value| *value != "All") {
        let path = Path::root().child("dryRun");
        errors.push(FieldError::not_supported(&path, values.to_vec(), &["All"]));
    }
    !values.is_empty()
}

fn validate_manager(manager: &str, errors: &mut Vec<FieldError>) {
    let path = Path::root().child("fieldManager");
    if manager.len() > 128 {
        errors.push(FieldError::too_long(&path, 128));
    }
    // unicode.IsPrint: no control characters, and of the spaces only the plain one.
    if let Some(i) = manager.chars().position(|c| c.is_control() || (c.is_whitespace() && c != ' ')) {
        let why = format!("should only contain printable characters (found non-printable at {i})");
        errors.push(FieldError::invalid(&path, manager, why));
    }
}

/// The part of a user agent before the slash, cut to 128 bytes (`managerOrUserAgent` in apiserver's patch.go).
fn manager_of_agent(user_agent: &str) -> String {
    let prefix = user_agent.split('/').next().unwrap_or_default();
    let end = prefix.char_indices().map(|(i, c)| i + c.len_utf8()).take_while(|end| *end <= 128).last();
    prefix[..end.unwrap_or(0)].to_owned()
}

/// What becomes of an object's dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They go afterwards.
    Background,
    /// They go first.
    Foreground,
    /// They stay.
    Orphan,
}

/// Options of a delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Do everything but store it.
    pub dry_run: bool,
    /// Seconds the object may take to end.
    pub grace_period: Option<i64>,
    /// What becomes of dependents, if the caller says so.
    pub propagation: Option<Propagation>,
    /// The object must have this uid.
    pub uid: Option<String>,
    /// The object must be at this revision.
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// Reads the options; a body that is there replaces those of the query.
    pub fn parse(query: &Query, body: Option<&Value>) -> Result<Self, Status> {
        let mut errors = Vec::new();
        let dry: Vec<String>;
        let (dry_run, grace_period, policy, orphan) = if let Some(body) = body {
            dry = object::strings(body.get("dryRun"));
            let policy = body.get("propagationPolicy").and_then(Value::as_str).unwrap_or_default().to_owned();
            let grace = body.get("gracePeriodSeconds").and_then(Value::as_i64);
            (dry, grace, policy, body.get("orphanDependents").and_then(Value::as_bool))
        } else {
            dry = query.all("dryRun").filter(|value| !value.is_empty()).map(str::to_owned).collect();
            let policy = query.get("propagationPolicy").unwrap_or_default().to_owned();
            (dry, query.number("gracePeriodSeconds")?, policy, query.flag("orphanDependents"))
        };
        let dry_run = dry_run_of(&dry_run.iter().map(String::as_str).collect::<Vec<_>>(), &mut errors);
        let propagation = propagation_of(&policy, orphan, &mut errors);
        if !errors.is_empty() {
            return Err(Status::invalid(META_GROUP, "DeleteOptions", "", errors));
        }
        let precondition = |field: &str| {
            let found = body.and_then(|body| body.get("preconditions")).and_then(|p| p.get(field));
            found.and_then(Value::as_str).map(str::to_owned)
        };
        Ok(Self {
            dry_run,
            grace_period,
            propagation,
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
        })
    }
}

fn propagation_of(policy: &str, orphan: Option<bool>, errors: &mut Vec<FieldError>) -> Option<Propagation> {
    if orphan.is_some() && !policy.is_empty() {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid(&Path::root().child("propagationPolicy"), policy, why));
    }
    match (policy, orphan) {
        ("", None) => None,
        ("Orphan", _) | ("", Some(true)) => Some(Propagation::Orphan),
        ("Background", _) | ("", Some(false)) => Some(Propagation::Background),
        ("Foreground", _) => Some(Propagation::Foreground),
        (other, _) => {
            let path = Path::root().child("propagationPolicy");
            let known = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(FieldError::not_supported(&path, other, &known));
            None
        }
    }
}

#[cfg(test)]
mod tests;
