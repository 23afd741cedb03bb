//! What Kubernetes knows of its own kinds: defaults, validation, printer columns; pure functions over JSON values.
//!
//! - [`apply_defaults`], [`prepare_create`], [`prepare_update`], [`settle_update`]: what the server fills in.
//! - [`validate_create`], [`validate_update`]: what is wrong with an object.
//! - [`quota`], [`default_limits`], [`limit_refusal`]: what admission counts, fills in and refuses.
//! - [`selects`], [`check_selector`]: label selectors.
//! - [`assign_address`]: the address of a service.
//! - [`columns`] and [`cells`]: what `kubectl get` shows of an object; [`age`] is how it shows times.
//!
//! RBAC objects, custom resource definitions and namespaces are the API server's own business.

mod addresses;
pub mod admit;
mod age;
mod cells;
mod columns;
mod defaults;
mod fields;
mod limit_ranges;
mod prepare;
mod qos;
mod quantity;
pub mod quota;
mod resources;
pub mod security;
mod selector;
mod validate;

pub use addresses::assign_address;
pub use age::{age, human};
pub use cells::cells;
pub use columns::{Column, columns};
pub use defaults::apply_defaults;
pub use limit_ranges::{default_limits, limit_refusal};
pub use prepare::{prepare_create, prepare_update, settle_update};
pub use validate::{check_selector, selects, validate_create, validate_update};
