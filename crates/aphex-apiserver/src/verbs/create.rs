//! Creating an object.

use http::Response;

use crate::body::Body;
use crate::call::Call;
use crate::request::{WriteOptions, prefers_ahead};
use crate::respond;
use crate::status::Status;
use crate::write::{self, Creation};

/// Stores the object in the body and answers with what became of it.
pub(super) async fn create(call: &Call) -> Result<Response<Body>, Status> {
    if call.path.name.is_some() {
        return Err(Status::method_not_allowed());
    }
    let ahead = prefers_ahead(&call.headers);
    let options =
        WriteOptions { ahead, ..WriteOptions::parse(&call.query, "CreateOptions", call.user_agent())? };
    let object = write::read_object(call, options.field_validation)?;
    let served = write::create(call, &options, object, Creation::Plain).await?;
    respond::object(call, 201, served)
}
