//! Everything an owner owns on the engine, as found at the beginning of a pass.

use std::collections::BTreeMap;
use std::fmt;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{DynamicObject, ListParams};
use kube::{Client, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::{Kind, Owner};
use crate::outcome::StepError;

/// How many lists are asked for at once.
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

/// Everything an owner owns.
#[derive(Clone, Debug, Default)]
pub struct Inventory(BTreeMap<Key, DynamicObject>);

impl Inventory {
    /// Reads everything an owner owns in some places. A kind that the engine does not know has no objects.
    pub async fn read(client: &Client, owner: &Owner, places: Vec<Place>) -> Result<Self, StepError> {
        let selector = ListParams::default().labels(&owner.selector());
        let lists = stream::iter(places).map(|place| {
            let (client, selector) = (client.clone(), selector.clone());
            async move { list(client, place, &selector).await }
        });
        let found: Vec<Vec<(Key, DynamicObject)>> = lists.buffer_unordered(PARALLEL).try_collect().await?;
        Ok(Self(found.into_iter().flatten().collect()))
    }

    /// An object.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&DynamicObject> {
        self.0.get(key)
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
        self.0.contains_key(key)
    }

    /// The names of everything found.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.keys()
    }

    /// Notes an object.
    pub fn insert(&mut self, key: Key, object: DynamicObject) {
        self.0.insert(key, object);
    }

    /// Forgets an object.
    pub fn remove(&mut self, key: &Key) -> Option<DynamicObject> {
        self.0.remove(key)
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
