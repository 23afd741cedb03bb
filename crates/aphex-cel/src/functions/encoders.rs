//! `base64.encode` and `base64.decode`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::{Cost, Function, global};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::Value;

type Outcome = Result<Value, Fault>;

pub(super) const FUNCTIONS: &[Function] =
    &[global("base64.encode", 1, Cost::Text, encode), global("base64.decode", 1, Cost::Text, decode)];

fn encode(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Bytes(bytes)] => Ok(Value::from(STANDARD.encode(bytes))),
        _ => Err(Fault::NoOverload),
    }
}

fn decode(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::String(text)] = arguments else { return Err(Fault::NoOverload) };
    // cel-go takes texts without padding as well.
    let decoded = STANDARD.decode(text.as_bytes()).or_else(|_| STANDARD_NO_PAD.decode(text.as_bytes()));
    let bytes = decoded.map_err(|error| match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => {
            Fault::new(format!("illegal base64 data at input byte {at}"))
        }
        _ => Fault::new(format!("illegal base64 data at input byte {}", text.len())),
    })?;
    Ok(Value::Bytes(bytes.into()))
}
