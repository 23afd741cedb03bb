//! `base64.encode` and `base64.decode`.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode::{RequireCanonical, RequireNone};
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

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

/// As Go's, which does not ask what bits are left over after the last byte.
const LAX: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
const PADDED: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, LAX.with_decode_padding_mode(RequireCanonical));
const UNPADDED: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, LAX.with_decode_padding_mode(RequireNone));

fn decode(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::String(text)] = arguments else { return Err(Fault::NoOverload) };
    let broken = text.contains(['\r', '\n']).then(|| text.replace(['\r', '\n'], ""));
    let text = broken.as_deref().unwrap_or(text);
    // cel-go takes texts without padding as well.
    let decoded = PADDED.decode(text).or_else(|_| UNPADDED.decode(text));
    let bytes = decoded.map_err(|error| match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => {
            Fault::new(format!("illegal base64 data at input byte {at}"))
        }
        _ => Fault::new(format!("illegal base64 data at input byte {}", text.len())),
    })?;
    Ok(Value::Bytes(bytes.into()))
}
