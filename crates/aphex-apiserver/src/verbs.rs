//! The verbs, one file each, and which of them a call goes to.

mod create;
mod delete;
mod delete_collection;
mod get;
mod list;
mod patch;
mod pods;
mod scale;
mod update;
mod watch;

pub use delete_collection::delete_all;
pub use list::{Continue, selected};
pub(crate) use scale::view as scale_view;

use http::Response;

use crate::access;
use crate::body::Body;
use crate::call::Call;
use crate::components;
use crate::request::Verb;
use crate::status::Status;

/// Subresources that are the object itself under other rules.
const SAME_OBJECT: &[&str] = &["status", "finalize", "approval", "ephemeralcontainers", "resize"];

/// Answers a call.
pub async fn dispatch(call: Call) -> Result<Response<Body>, Status> {
    match call.path.subresource.as_deref() {
        None if components::is(&call.resource) => components::answer(&call),
        None if !call.resource.is_stored() => access::create(&call).await,
        None => verb(call).await,
        Some(name) if SAME_OBJECT.contains(&name) => verb(call).await,
        Some("scale") => scale::dispatch(&call).await,
        Some("binding") if call.verb == Verb::Create => pods::bind(&call).await,
        Some("eviction") if call.verb == Verb::Create => pods::evict(&call).await,
        Some(_) => access::create(&call).await,
    }
}

async fn verb(call: Call) -> Result<Response<Body>, Status> {
    match call.verb {
        Verb::Get => get::get(&call),
        Verb::List => list::list(&call),
        Verb::Watch => watch::watch(call),
        Verb::Create => create::create(&call).await,
        Verb::Update => update::update(&call).await,
        Verb::Patch => patch::patch(&call).await,
        Verb::Delete => delete::delete(&call).await,
        Verb::DeleteCollection => delete_collection::delete_collection(&call).await,
    }
}
