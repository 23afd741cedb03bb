//! CEL rules of a schema.

mod field_path;

pub(crate) use field_path::is_field_path;
