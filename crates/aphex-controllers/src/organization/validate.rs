//! Whether an Organization can be carried out.

use std::collections::BTreeSet;

use aphex_api::names::{AdminEmail, OrgName};
use aphex_api::organization::Organization;
use kube::ResourceExt as _;

use super::observe::Observed;
use crate::context::Settings;
use crate::outcome::{Rejection, Stop};
use crate::tunnels::{Claim, Connectors, Credentials, Exposure};
use crate::webhook_secret::{Kept, Request, Turn};

/// Shortest webhook secret a user may choose.
const SECRET_MIN: usize = 16;

/// An Organization that can be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid {
    /// Its name.
    pub name: OrgName,
    /// Its administrators.
    pub admins: Vec<AdminEmail>,
    /// The webhook secret that the user chose or that was made earlier; `provision` makes one if there is none, and rotates it.
    pub webhook_secret: Option<Kept>,
    /// A request for a new one; whoever chose the secret changes it in the spec.
    pub rotation: Option<Request>,
    /// Whether `provision` carried it out.
    pub turn: Turn,
    /// The unique id of its object, and when that was created.
    pub identity: Identity,
    /// The tunnel's credentials that the engine holds.
    pub stored: Option<Credentials>,
    /// The host name that led to that tunnel.
    pub host: Option<String>,
    /// Whether the tunnel's connectors work.
    pub connectors: Connectors,
    /// What is left of a tunnel that another way in has taken the place of, in a sentence; `provision` sets it.
    pub former: Option<String>,
    /// How webhooks reach it; `provision` sets it.
    pub exposure: Option<Exposure>,
    /// Namespaces of its tenants.
    pub tenants: Vec<String>,
}

/// What tells an Organization from another one of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Unique id.
    pub uid: String,
    /// When it was created.
    pub since: Option<jiff::Timestamp>,
}

impl Identity {
    /// The identity of an object.
    #[must_use]
    pub fn of(object: &Organization) -> Self {
        let since = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
        Self { uid: object.uid().unwrap_or_default(), since }
    }

    /// What it asks the provider of tunnels for.
    pub(super) fn claim<'a>(
        &'a self,
        organization: &'a OrgName,
        stored: Option<&'a Credentials>,
        host: Option<&'a str>,
        connectors: Connectors,
    ) -> Claim<'a> {
        Claim { organization, uid: &self.uid, since: self.since, stored, host, connectors }
    }
}

pub(super) fn validate(
    object: &Organization,
    observed: &Observed,
    settings: &Settings,
) -> Result<Valid, Stop> {
    if object.namespace().as_deref() != Some(&settings.platform_namespace) {
        let message = format!("An Organization must be created in namespace {}", settings.platform_namespace);
        return Err(Rejection::invalid(message).into());
    }
    let name: OrgName = object.name_any().parse().map_err(|e| invalid("metadata.name", &e))?;
    let admins = admins(&object.spec.admin_users)?;
    let chosen = object.spec.webhook_secret.as_deref().filter(|secret| !secret.is_empty());
    if chosen.is_some_and(|secret| secret.chars().count() < SECRET_MIN) {
        let message = format!("spec.webhookSecret must have at least {SECRET_MIN} characters");
        return Err(Rejection::invalid(message).into());
    }
    if let Some(namespace) = &observed.namespace {
        if !observed.owns_namespace {
            let message =
                format!("Namespace {} exists already and is not this Organization's", name.namespace());
            return Err(Rejection::taken(message).into());
        }
        if namespace.metadata.deletion_timestamp.is_some() {
            return Err(Stop::waiting(format!("Waiting for namespace {} to be deleted", name.namespace())));
        }
    }
    Ok(Valid {
        name,
        admins,
        rotation: Request::of(object, settings.rotation_grace)?.filter(|_| chosen.is_none()),
        webhook_secret: chosen.map(Kept::new).or_else(|| observed.webhook_secret.clone()),
        turn: Turn::Same,
        identity: Identity::of(object),
        stored: observed.tunnel.clone(),
        host: observed.host.clone(),
        connectors: observed.connectors(),
        former: None,
        exposure: None,
        tenants: observed.tenants.iter().map(|tenant| tenant.namespace.clone()).collect(),
    })
}

fn admins(addresses: &[String]) -> Result<Vec<AdminEmail>, Stop> {
    if addresses.is_empty() {
        return Err(Rejection::invalid("spec.adminUsers must name at least one administrator").into());
    }
    let mut seen = BTreeSet::new();
    let mut admins = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        let field = format!("spec.adminUsers[{index}]");
        if !seen.insert(address.to_lowercase()) {
            return Err(Rejection::invalid(format!("{field}: {address} is named twice")).into());
        }
        admins.push(address.parse().map_err(|e| invalid(&field, &e))?);
    }
    Ok(admins)
}

fn invalid(field: &str, error: &dyn std::fmt::Display) -> Rejection {
    Rejection::invalid(format!("{field}: {error}"))
}

#[cfg(test)]
mod tests;
