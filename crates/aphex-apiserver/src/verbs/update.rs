//! Replacing an object, its status, or a namespace's finalizers.

use http::Response;

use crate::body::Body;
use crate::call::Call;
use crate::object;
use crate::request::WriteOptions;
use crate::respond;
use crate::status::Status;
use crate::write::{self, Change, Creation, Modified};

/// Stores the object in the body in place of the one that the path names.
pub(super) async fn update(call: &Call) -> Result<Response<Body>, Status> {
    let options = WriteOptions::parse(&call.query, "UpdateOptions", call.user_agent())?;
    let object = write::read_object(call, options.field_validation)?;
    let name = object::name(&object);
    if name.is_empty() {
        let wanted = call.name();
        return Err(Status::bad_request(format!(
            "the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
        )));
    } else if name != call.name() {
        return Err(write::wrong_name(name, call.name()));
    }
    let modified = write::modify(call, &options, Change::Plain, |_| Ok(object.clone())).await?;
    match modified {
        Modified::Object(served) => respond::object(call, 200, served),
        Modified::Absent if call.resource.strategy.create_on_update && call.path.subresource.is_none() => {
            if !object::uid(&object).is_empty() || !object::resource_version(&object).is_empty() {
                return Err(call.not_found());
            }
            let served = write::create(call, &options, object, Creation::Plain).await?;
            respond::object(call, 201, served)
        }
        Modified::Absent => Err(call.not_found()),
    }
}
