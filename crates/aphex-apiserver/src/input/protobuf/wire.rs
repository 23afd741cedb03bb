//! The wire format of protobuf: numbered fields of four kinds.

/// Why a body could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The prefix of Kubernetes' envelope is missing.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoMagic,
    /// The bytes end within a field.
    #[error("unexpected EOF")]
    Truncated,
    /// A field has a wire type that this field cannot have.
    #[error("proto: wrong wireType")]
    WireType,
    /// A text is no UTF-8.
    #[error("proto: a string field contains invalid UTF-8")]
    Text,
    /// JSON inside of the message is none.
    #[error("invalid JSON inside of a protobuf message")]
    Json,
    /// A time is out of range.
    #[error("a time is out of range")]
    Time,
    /// Messages are nested too deeply.
    #[error("exceeded max depth")]
    TooDeep,
    /// The kind is not one of those that have a message.
    #[error(
        "no kind {kind:?} is registered for version {api_version:?} in scheme \"pkg/runtime/scheme.go:111\""
    )]
    UnknownKind {
        /// Its version.
        api_version: String,
        /// Its name.
        kind: String,
    },
}

/// A field as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    /// Its number.
    pub number: u64,
    /// What it holds.
    pub payload: Payload<'a>,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payload<'a> {
    /// A varint.
    Integer(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32,
    /// A text, bytes or a message.
    Bytes(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// The bytes.
    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed::WireType),
        }
    }

    /// The bytes as text.
    pub(super) fn text(self) -> Result<String, Malformed> {
        std::str::from_utf8(self.bytes()?).map(str::to_owned).map_err(|_| Malformed::Text)
    }

    /// The number; negative ones are written as their two's complement.
    pub(super) fn integer(self) -> Result<i64, Malformed> {
        match self {
            Self::Integer(number) => Ok(number.cast_signed()),
            _ => Err(Malformed::WireType),
        }
    }

    /// The floating-point number.
    pub(super) fn double(self) -> Result<f64, Malformed> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(Malformed::WireType),
        }
    }
}

/// The fields in bytes, in order; after an error nothing follows.
pub(super) fn fields(bytes: &[u8]) -> impl Iterator<Item = Result<Field<'_>, Malformed>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let next = field(&mut rest);
        if next.is_err() {
            rest = &[];
        }
        Some(next)
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Result<Field<'a>, Malformed> {
    let tag = varint(rest)?;
    let payload = match tag & 7 {
        0 => Payload::Integer(varint(rest)?),
        1 => {
            let (bits, tail) = rest.split_first_chunk::<8>().ok_or(Malformed::Truncated)?;
            *rest = tail;
            Payload::Fixed64(u64::from_le_bytes(*bits))
        }
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|_| Malformed::Truncated)?;
            let (bytes, tail) = rest.split_at_checked(length).ok_or(Malformed::Truncated)?;
            *rest = tail;
            Payload::Bytes(bytes)
        }
        5 => {
            *rest = rest.get(4..).ok_or(Malformed::Truncated)?;
            Payload::Fixed32
        }
        _ => return Err(Malformed::WireType),
    };
    Ok(Field { number: tag >> 3, payload })
}

fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first().ok_or(Malformed::Truncated)?;
        *rest = tail;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed::Truncated)
}
