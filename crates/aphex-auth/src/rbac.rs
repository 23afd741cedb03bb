//! Role-based access control as Kubernetes decides it.
//!
//! Rules only ever add permissions. [`authorize`] asks a [`RoleSource`] for the bindings that
//! concern a user; [`Index`] is the source for a server with many tenants. Members of
//! `system:masters` pass without a look at any role. Writes of roles are checked with
//! [`escalation`], unions of roles are computed by [`aggregation`].

pub mod aggregation;
mod authorizer;
pub mod escalation;
mod index;
mod objects;

pub use authorizer::{Decision, Rules, authorize, joined, rules_for, rules_of_reference};
pub use escalation::missing;
pub use index::{Index, NotRbac};
pub use objects::{Binding, PolicyRule, Role, RoleRef, Subject};

use std::sync::Arc;

use crate::user::User;

/// Where roles and bindings are found; lookups happen on every request.
pub trait RoleSource: Send + Sync {
    /// The cluster role of a name.
    fn cluster_role(&self, name: &str) -> Option<Arc<Role>>;
    /// The role of a name in a namespace.
    fn role(&self, namespace: &str, name: &str) -> Option<Arc<Role>>;
    /// The cluster role bindings that may concern a user; more than apply may be given.
    fn cluster_role_bindings(&self, user: &User) -> Vec<Arc<Binding>>;
    /// The role bindings of a namespace that may concern a user; more than apply may be given.
    fn role_bindings(&self, namespace: &str, user: &User) -> Vec<Arc<Binding>>;
}
