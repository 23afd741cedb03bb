//! Who gets in without credentials (`AnonymousAuthConfig` of `apiserver.config.k8s.io/v1`).

use std::collections::BTreeSet;

use serde::Deserialize;

/// What a configuration says of callers without credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct AnonymousSettings {
    /// Whether there are any.
    pub enabled: bool,
    /// Only for these paths; for all where there are none.
    pub conditions: Vec<AnonymousCondition>,
}

/// A path that callers without credentials may ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct AnonymousCondition {
    /// The path, whole.
    pub path: String,
}

/// Who gets in without credentials; what they may do there is for the authorizer to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Nothing is configured: the server's own usual.
    #[default]
    Usual,
    /// Nobody.
    Nobody,
    /// Everybody, whatever they ask for.
    Everybody,
    /// Whoever asks for one of these paths.
    Asking(BTreeSet<String>),
}

impl Anonymous {
    pub(super) fn new(settings: Option<&AnonymousSettings>) -> Self {
        match settings {
            None => Self::Usual,
            Some(settings) if !settings.enabled => Self::Nobody,
            Some(settings) if settings.conditions.is_empty() => Self::Everybody,
            Some(settings) => {
                Self::Asking(settings.conditions.iter().map(|condition| condition.path.clone()).collect())
            }
        }
    }

    /// Whether a caller without credentials may ask for a path; `usual` is the server's own answer.
    pub fn admits(&self, path: &str, usual: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Usual => usual(),
            Self::Nobody => false,
            Self::Everybody => true,
            Self::Asking(paths) => paths.contains(path),
        }
    }
}
