//! Applying the objects to the shadow, and what comes of it before any controller looks at them.

use kube::{Client, ResourceExt as _};
use serde_json::Value;

use crate::commands::apply::{self, makers};
use crate::exit;

/// What is to be told of an object that is on its way out.
pub(super) const GOING: &str =
    "applying it would not bring it back; wait until it is gone, and plan and apply it again then";

/// What cannot be in place once the objects are applied.
#[derive(Default)]
pub(super) struct Tried {
    /// What the engine would not take at all.
    pub(super) refused: Vec<Refused>,
    /// What the engine would take, and is deleting.
    pub(super) going: Vec<Going>,
}

impl Tried {
    pub(super) fn is_fine(&self) -> bool {
        self.refused.is_empty() && self.going.is_empty()
    }

    pub(super) fn extend(&mut self, more: Self) {
        self.refused.extend(more.refused);
        self.going.extend(more.going);
    }
}

/// An object that is being deleted.
pub(super) struct Going {
    pub(super) kind: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// An object that the engine would not take.
pub(super) struct Refused {
    pub(super) object: Value,
    /// Whether another object of the files makes the namespace that it lacks.
    pub(super) is_early: bool,
    pub(super) message: String,
}

impl Refused {
    fn text(&self, pointer: &str) -> Option<&str> {
        self.object.pointer(pointer).and_then(Value::as_str)
    }

    pub(super) fn kind(&self) -> &str {
        self.text("/kind").unwrap_or_default()
    }

    pub(super) fn namespace(&self) -> Option<&str> {
        self.text("/metadata/namespace")
    }

    pub(super) fn name(&self) -> &str {
        self.text("/metadata/name").unwrap_or_default()
    }
}

/// Applies the objects to the shadow; tells which ones the engine refuses, and which ones it is deleting.
pub(super) async fn put(client: &Client, objects: &[Value], force: bool) -> anyhow::Result<Tried> {
    let mut tried = Tried::default();
    for object in objects {
        let error = match apply::apply(client, object, force).await {
            Ok(applied) => {
                let (object, types) = (&applied.object, applied.object.types.as_ref());
                if object.metadata.deletion_timestamp.is_some() {
                    tried.going.push(Going {
                        kind: types.map_or_else(String::new, |types| types.kind.clone()),
                        namespace: object.namespace(),
                        name: object.name_any(),
                    });
                }
                continue;
            }
            Err(error) => error,
        };
        let code = exit::code_of(&error);
        if !matches!(code, exit::REFUSED | exit::NOT_FOUND) {
            return Err(error);
        }
        let made_by = makers::missing_namespace(&error).and_then(|name| makers::maker(objects, name));
        tried.refused.push(Refused {
            object: object.clone(),
            is_early: made_by.is_some(),
            message: aphex_runtime::errors::chain(error.as_ref()),
        });
    }
    Ok(tried)
}
