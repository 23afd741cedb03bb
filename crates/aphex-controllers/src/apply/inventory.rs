//! Everything an owner owns on the engine, as found at the beginning of a pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aphex_api::conditions::{FOREIGN_OBJECTS, Finding, Reason, State};
use aphex_api::labels;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{DynamicObject, ListParams};
use kube::{Client, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::{Kind, Owner};
use crate::context::Context;
use crate::outcome::StepError;

/// How much is asked for at once.
const PARALLEL: usize = 8;

/// Names one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Kind.
    pub kind: Kind,
    /// Namespace, of kinds that have one.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind.resource.kind)?;
        self.namespace.iter().try_for_each(|namespace| write!(f, "{namespace}/"))?;
        f.write_str(&self.name)
    }
}

/// Where to look for objects: a kind, in one namespace or beside all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Kind.
    pub kind: Kind,
    /// Namespace; none for cluster-scoped kinds.
    pub namespace: Option<String>,
}

/// Everything an owner owns, and what only claims to be its.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    owned: BTreeMap<Key, DynamicObject>,
    foreign: BTreeSet<Key>,
}

impl Inventory {
    /// Reads everything an owner owns in some places. A kind that the engine does not know has no objects.
    ///
    /// What carries the owner's name is its only with the owner's uid, too: an earlier object of the name, or a stranger
    /// who copied labels, has another. Such objects are noted, and neither changed nor pruned.
    pub async fn read(context: &Context, owner: &Owner, places: Vec<Place>) -> Result<Self, StepError> {
        let selector = ListParams::default().labels(&owner.namesake_selector());
        let mut reads = Vec::new();
        for place in places {
            match context.holdings.find(owner, &place) {
                Some(keys) => reads.extend(keys.into_iter().map(Read::Object)),
                None => reads.push(Read::Place(place)),
            }
        }
        let found = stream::iter(reads).map(|read| {
            let (context, selector) = (&context, &selector);
            async move {
                match read {
                    Read::Place(place) => list(context.client.clone(), place, selector).await,
                    Read::Object(key) => get(context, owner, key).await,
                }
            }
        });
        let found: Vec<Vec<(Key, DynamicObject)>> = found.buffer_unordered(PARALLEL).try_collect().await?;
        let mut inventory = Self::default();
        for (key, object) in found.into_iter().flatten() {
            if owner.owns(&object) {
                inventory.owned.insert(key, object);
            } else if owner.is_namesake(&object) && !owner.may_take(&object) {
                inventory.foreign.insert(key);
            }
        }
        Ok(inventory)
    }

    /// Objects that carry the owner's name, but the uid of another.
    pub fn foreign(&self) -> impl Iterator<Item = &Key> {
        self.foreign.iter()
    }

    /// The finding that tells of them; nothing when there are none.
    #[must_use]
    pub fn foreign_finding(&self) -> Option<Finding> {
        let first = self.foreign.first()?;
        let more = match self.foreign.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let message = format!(
            "{first}{more} carries this object's name in its labels and the uid of another; it is left alone. \
             Delete it, or take the labels {}* off",
            labels::OWNER_PREFIX
        );
        Some(Finding {
            condition: FOREIGN_OBJECTS,
            state: State::True,
            reason: Reason::ForeignObjects,
            message,
        })
    }

    /// An object.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&DynamicObject> {
        self.owned.get(key)
    }

    /// An object, by its type.
    #[must_use]
    pub fn typed<K>(&self, namespace: Option<&str>, name: &str) -> Option<K>
    where
        K: kube::Resource<DynamicType = ()> + DeserializeOwned + Clone + fmt::Debug,
        K::Scope: 'static,
    {
        let key =
            Key { kind: Kind::of::<K>(), namespace: namespace.map(str::to_owned), name: name.to_owned() };
        self.get(&key)?.clone().try_parse().ok()
    }

    /// Whether an object exists and is not on its way out.
    #[must_use]
    pub fn has<K: kube::Resource<DynamicType = ()>>(&self, namespace: Option<&str>, name: &str) -> bool
    where
        K::Scope: 'static,
    {
        let key =
            Key { kind: Kind::of::<K>(), namespace: namespace.map(str::to_owned), name: name.to_owned() };
        self.get(&key).is_some_and(|object| object.metadata.deletion_timestamp.is_none())
    }

    /// Whether an object was found.
    #[must_use]
    pub fn has_key(&self, key: &Key) -> bool {
        self.owned.contains_key(key)
    }

    /// The names of everything found.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.owned.keys()
    }

    /// Notes an object.
    pub fn insert(&mut self, key: Key, object: DynamicObject) {
        self.owned.insert(key, object);
    }

    /// Forgets an object.
    pub fn remove(&mut self, key: &Key) -> Option<DynamicObject> {
        self.owned.remove(key)
    }
}

/// What is to be read: all of a place, or an object that is known to be there.
enum Read {
    Place(Place),
    Object(Key),
}

/// Reads an object that the watches told of.
async fn get(context: &Context, owner: &Owner, key: Key) -> Result<Vec<(Key, DynamicObject)>, StepError> {
    let api = key.kind.api(context.client.clone(), key.namespace.as_deref());
    match api.get_opt(&key.name).await {
        Ok(Some(object)) => Ok(vec![(key, object)]),
        Ok(None) => {
            context.holdings.forget(owner, &key);
            Ok(Vec::new())
        }
        Err(source) => Err(StepError::read(key.to_string(), source)),
    }
}

async fn list(
    client: Client,
    place: Place,
    selector: &ListParams,
) -> Result<Vec<(Key, DynamicObject)>, StepError> {
    let api = place.kind.api(client, place.namespace.as_deref());
    let objects = match api.list(selector).await {
        Ok(list) => list.items,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
        Err(source) => return Err(StepError::read(format!("objects of kind {}", place.kind), source)),
    };
    let key = |object: &DynamicObject| Key {
        kind: place.kind.clone(),
        namespace: object.namespace(),
        name: object.name_any(),
    };
    Ok(objects.into_iter().map(|object| (key(&object), object)).collect())
}
