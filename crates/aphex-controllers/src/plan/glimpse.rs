//! What a binding owns, for somebody who may not see all of it: each place by itself, as far as it may be read.
//!
//! The controller's steps say whether an object is as it is wanted, and have to read everything for that. Here an object is
//! there or on its way out, and says itself whether it works.

use aphex_api::names::{OrgName, TenantName};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Client;
use kube::api::{DynamicObject, ListParams};

use super::PlanError;
use super::examine::{Health, Named, Owned, ready};
use crate::apply::{Owner, Place};
use crate::context::Settings;
use crate::outcome::StepError;
use crate::repo_binding;

/// How much is asked for at once.
const PARALLEL: usize = 8;

/// What somebody may see of what a binding owns.
#[derive(Clone, Debug, Default)]
pub struct Glimpse {
    /// The objects.
    pub owned: Vec<Owned>,
    /// Where there may be more that may not be read: kind, and namespace where the kind has one.
    pub unread: Vec<(String, Option<String>)>,
}

/// Looks at what the binding of a name owns in an organization, at one place after another.
pub async fn glimpse(
    client: &Client,
    settings: &Settings,
    binding: &str,
    tenant: &TenantName,
    organization: &OrgName,
) -> Result<Glimpse, PlanError> {
    // Nobody but the platform may set its labels; the uid is in the binding alone.
    let owner = Owner { kind: "RepoBinding", namespace: None, name: binding.to_owned(), uid: String::new() };
    let places = repo_binding::places(tenant, Some(organization), settings);
    let looks = stream::iter(places).map(|place| look(client, &owner, place)).buffered(PARALLEL);
    let looks: Vec<Look> = looks.try_collect().await.map_err(PlanError::Read)?;
    let mut seen = Glimpse::default();
    for look in looks {
        match look {
            Look::Owned(owned) => seen.owned.extend(owned),
            Look::Forbidden(place) => seen.unread.push((place.kind.resource.kind, place.namespace)),
        }
    }
    seen.owned
        .sort_by_key(|one| (one.named.namespace.clone(), one.named.kind.clone(), one.named.name.clone()));
    Ok(seen)
}

/// What a look at a place gave.
enum Look {
    Owned(Vec<Owned>),
    Forbidden(Place),
}

async fn look(client: &Client, owner: &Owner, place: Place) -> Result<Look, StepError> {
    let api = place.kind.api(client.clone(), place.namespace.as_deref());
    let selector = ListParams::default().labels(&owner.namesake_selector());
    match api.list(&selector).await {
        Ok(list) => {
            let own = list.items.iter().filter(|object| owner.is_namesake(*object));
            Ok(Look::Owned(own.map(|object| owned(&place, object)).collect()))
        }
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Look::Forbidden(place)),
        // A kind that is not served has no objects.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Look::Owned(Vec::new())),
        Err(source) => Err(StepError::read(place.kind.resource.plural, source)),
    }
}

fn owned(place: &Place, object: &DynamicObject) -> Owned {
    let going = object.metadata.deletion_timestamp.is_some();
    let named = Named {
        api_version: place.kind.resource.api_version.clone(),
        kind: place.kind.resource.kind.clone(),
        namespace: object.metadata.namespace.clone(),
        name: object.metadata.name.clone().unwrap_or_default(),
    };
    Owned { named, health: if going { Health::Deleting } else { Health::There }, ready: ready(object) }
}
