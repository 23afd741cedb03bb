//! The values expressions work on: cel-go's standard types and those Kubernetes adds.

mod compare;
mod json;
mod moment;
mod quantity;
mod semver;
mod text;
mod url;

use std::any::Any;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

pub use moment::Moment;
pub use quantity::Quantity;
pub use semver::Semver;
pub(crate) use text::double;
pub use url::Url;

/// The entries of a map, in the order of their keys.
pub type Map = BTreeMap<Key, Value>;

/// A value of an expression; copies are cheap.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A floating point number.
    Double(f64),
    /// A text.
    String(Arc<str>),
    /// Raw bytes.
    Bytes(Arc<[u8]>),
    /// A sequence of values.
    List(Arc<Vec<Value>>),
    /// Values by key.
    Map(Arc<Map>),
    /// A span of time in nanoseconds.
    Duration(i64),
    /// A point in time.
    Timestamp(Moment),
    /// A type, by its name.
    Type(Arc<str>),
    /// A value that may be absent.
    Optional(Option<Arc<Value>>),
    /// A Kubernetes resource quantity.
    Quantity(Arc<Quantity>),
    /// A parsed URL.
    Url(Arc<Url>),
    /// An IP address.
    Ip(IpAddr),
    /// A network in CIDR notation.
    Cidr(Network),
    /// A semantic version.
    Semver(Arc<Semver>),
    /// A named format of the Kubernetes format library.
    Format(Format),
    /// A value of the program that uses this crate, for functions of its own.
    Opaque(Opaque),
}

/// A value that expressions can only pass on: to functions given as extensions.
#[derive(Clone)]
pub struct Opaque {
    type_name: &'static str,
    value: Arc<dyn Any + Send + Sync>,
}

impl Opaque {
    /// A value under the name of its type.
    pub fn new<T: Any + Send + Sync>(type_name: &'static str, value: T) -> Self {
        Self { type_name, value: Arc::new(value) }
    }

    /// The value, if it is of this type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.value.downcast_ref()
    }
}

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name)
    }
}

/// An address and the length of its network prefix, the host bits kept as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The address.
    pub address: IpAddr,
    /// The length of the prefix in bits.
    pub bits: u8,
}

/// A format the Kubernetes format library knows by name.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Its name as shown in the library.
    pub name: &'static str,
    /// The length of the pattern it stands for, which its cost is reckoned with.
    pub(crate) pattern_size: u64,
    /// The errors a text has under it.
    pub(crate) validate: fn(&str) -> Vec<String>,
}

/// A key of a map; equal numbers are equal keys whatever their type.
#[derive(Clone, Debug)]
pub enum Key {
    /// A truth value.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A text.
    String(Arc<str>),
}

impl Key {
    fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Int(_) | Self::Uint(_) => 1,
            Self::String(_) => 2,
        }
    }

    fn number(&self) -> i128 {
        match self {
            Self::Int(number) => i128::from(*number),
            Self::Uint(number) => i128::from(*number),
            Self::Bool(_) | Self::String(_) => 0,
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()).then(self.number().cmp(&other.number())),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(key) => key.fmt(f),
            Self::Int(key) => key.fmt(f),
            Self::Uint(key) => key.fmt(f),
            Self::String(key) => f.write_str(key),
        }
    }
}

impl From<&str> for Key {
    fn from(key: &str) -> Self {
        Self::String(key.into())
    }
}

impl From<&Key> for Value {
    fn from(key: &Key) -> Self {
        match key {
            Key::Bool(key) => Self::Bool(*key),
            Key::Int(key) => Self::Int(*key),
            Key::Uint(key) => Self::Uint(*key),
            Key::String(key) => Self::String(key.clone()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::List(Arc::new(items))
    }
}

impl From<Map> for Value {
    fn from(entries: Map) -> Self {
        Self::Map(Arc::new(entries))
    }
}

impl Value {
    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The signed number, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The key this value is in a map: whole doubles are integers, most types none at all.
    pub fn as_key(&self) -> Option<Key> {
        match self {
            Self::Bool(key) => Some(Key::Bool(*key)),
            Self::Int(key) => Some(Key::Int(*key)),
            Self::Uint(key) => Some(Key::Uint(*key)),
            Self::String(key) => Some(Key::String(key.clone())),
            Self::Double(key) => whole(*key).map(Key::Int),
            _ => None,
        }
    }

    /// The name of its type, as `type()` gives it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Type(_) => "type",
            Self::Optional(_) => "optional_type",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Url(_) => "kubernetes.URL",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Opaque(opaque) => opaque.type_name,
        }
    }

    /// A present optional.
    pub(crate) fn some(value: Value) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// The size cel-go's cost tracker sees: elements, characters, bytes, or one.
    pub(crate) fn size(&self) -> u64 {
        let size = match self {
            Self::String(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(items) => items.len(),
            Self::Map(entries) => entries.len(),
            Self::Optional(Some(value)) => return value.size(),
            Self::Ip(IpAddr::V4(_)) => 4,
            Self::Ip(IpAddr::V6(_)) => 16,
            Self::Cidr(network) => usize::from(network.bits).div_ceil(8),
            _ => 1,
        };
        size as u64
    }
}

/// The integer a double stands for, if it has no fraction and fits.
pub(crate) fn whole(number: f64) -> Option<i64> {
    // 2^63 is a double, i64::MAX is not: the upper bound is exclusive.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
    (number.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number))
        .then_some(number as i64)
}
