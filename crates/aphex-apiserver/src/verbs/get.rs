//! Reading one object.

use http::Response;

use crate::body::Body;
use crate::call::Call;
use crate::codec;
use crate::respond::{self, Served};
use crate::status::Status;

/// Answers with the object that the path names, as it is now.
///
/// Reads are always of the newest state, so a `resourceVersion` only matters when it lies in the future.
pub(super) fn get(call: &Call) -> Result<Response<Body>, Status> {
    if let Some(version) = call.query.get("resourceVersion") {
        super::list::check_reached(call, super::list::parse_version(version)?)?;
    }
    let entry = call.server.store.get(&call.key()).ok_or_else(|| call.not_found())?;
    respond::object(call, 200, Served::Bytes(codec::serve(&call.resource, &entry)?))
}
