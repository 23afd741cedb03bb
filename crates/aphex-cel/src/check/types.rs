//! The types of expressions, and how cel-go writes them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Nodes of a type that are written before the rest is left out: a shared type may be far larger than its source.
const LONGEST: usize = 2_000;

/// The type of an expression or variable.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Type {
    /// `bool`
    Bool,
    /// `bytes`
    Bytes,
    /// `double`
    Double,
    /// `google.protobuf.Duration`
    Duration,
    /// Any type; what it is shows when it runs.
    Dyn,
    /// The type of what could not be checked.
    Error,
    /// `int`
    Int,
    /// `null`
    Null,
    /// `string`
    String,
    /// `google.protobuf.Timestamp`
    Timestamp,
    /// `uint`
    Uint,
    /// A list of one type.
    List(Arc<Type>),
    /// A map of one key type to one value type.
    Map(Arc<(Type, Type)>),
    /// An object with declared fields.
    Object(Arc<Object>),
    /// A type known by name alone, with parameters.
    Opaque(Arc<str>, Arc<[Type]>),
    /// A type as a value; of which type, where that is known.
    Type(Option<Arc<Type>>),
    /// A type that is not known yet.
    Param(u32),
}

/// An object type: its name, and its fields if they can be selected.
#[derive(Debug)]
pub struct Object {
    pub(crate) name: Arc<str>,
    pub(crate) fields: Option<BTreeMap<Arc<str>, Type>>,
}

/// What kind of type it is, its parameters left aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Bytes,
    Double,
    Duration,
    Dyn,
    Error,
    Int,
    List,
    Map,
    Null,
    Opaque,
    String,
    Struct,
    Timestamp,
    Type,
    Param,
    Uint,
}

/// The name of the type of values that may be absent.
const OPTIONAL: &str = "optional_type";

impl Type {
    /// A list of `element`.
    pub fn list(element: Self) -> Self {
        Self::List(Arc::new(element))
    }

    /// A map of `key` to `value`.
    pub fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new((key, value)))
    }

    /// A value of `inner` that may be absent.
    pub fn optional(inner: Self) -> Self {
        Self::Opaque(OPTIONAL.into(), Arc::new([inner]))
    }

    /// An object with these fields, named as error messages will name it.
    pub fn object(name: &str, fields: BTreeMap<Arc<str>, Self>) -> Self {
        Self::Object(Arc::new(Object { name: name.into(), fields: Some(fields) }))
    }

    /// A type with functions but no fields: `kubernetes.authorization.Authorizer`.
    pub fn named(name: &str) -> Self {
        Self::Object(Arc::new(Object { name: name.into(), fields: None }))
    }

    /// The type of a type.
    pub(crate) fn of(inner: Self) -> Self {
        Self::Type(Some(Arc::new(inner)))
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Bool => Kind::Bool,
            Self::Bytes => Kind::Bytes,
            Self::Double => Kind::Double,
            Self::Duration => Kind::Duration,
            Self::Dyn => Kind::Dyn,
            Self::Error => Kind::Error,
            Self::Int => Kind::Int,
            Self::Null => Kind::Null,
            Self::String => Kind::String,
            Self::Timestamp => Kind::Timestamp,
            Self::Uint => Kind::Uint,
            Self::List(_) => Kind::List,
            Self::Map(_) => Kind::Map,
            Self::Object(_) => Kind::Struct,
            Self::Opaque(..) => Kind::Opaque,
            Self::Type(_) => Kind::Type,
            Self::Param(_) => Kind::Param,
        }
    }

    /// Whether anything may be done with it.
    pub(crate) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }

    /// The type inside an optional one.
    pub(crate) fn unwrapped(&self) -> Option<&Self> {
        match self {
            Self::Opaque(name, parameters) if **name == *OPTIONAL => parameters.first(),
            _ => None,
        }
    }

    /// The parameters, in order.
    pub(crate) fn parameters(&self) -> Vec<&Self> {
        match self {
            Self::List(element) => vec![element],
            Self::Map(entry) => vec![&entry.0, &entry.1],
            Self::Opaque(_, parameters) => parameters.iter().collect(),
            Self::Type(Some(inner)) => vec![inner],
            _ => Vec::new(),
        }
    }

    /// The name values of this type have when they run.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Bool => "bool",
            Self::Bytes => "bytes",
            Self::Double => "double",
            Self::Duration => "google.protobuf.Duration",
            Self::Dyn => "dyn",
            Self::Error => "error",
            Self::Int => "int",
            Self::Null => "null_type",
            Self::String => "string",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Uint => "uint",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Object(object) => &object.name,
            Self::Opaque(name, _) => name,
            Self::Type(_) => "type",
            Self::Param(_) => "",
        }
    }

    fn write(&self, text: &mut String, left: &mut usize) {
        if *left == 0 {
            return;
        }
        *left -= 1;
        match self {
            Self::Duration => text.push_str("duration"),
            Self::Error => text.push_str("!error!"),
            Self::Null => text.push_str("null"),
            Self::Timestamp => text.push_str("timestamp"),
            Self::Param(number) => text.push_str(&parameter(*number)),
            other => text.push_str(other.name()),
        }
        let parameters = self.parameters();
        for (at, parameter) in parameters.iter().enumerate() {
            text.push_str(if at == 0 { "(" } else { ", " });
            parameter.write(text, left);
        }
        if !parameters.is_empty() {
            text.push(')');
        }
    }
}

/// The parameters in the declarations of `list` and `map`, which stand for themselves.
pub(crate) const LETTERS: u32 = u32::MAX - 26;

fn parameter(number: u32) -> String {
    match number.checked_sub(LETTERS).and_then(|letter| u8::try_from(letter).ok()) {
        Some(letter) => char::from(b'A'.saturating_add(letter)).to_string(),
        None => format!("_var{number}"),
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut text, mut left) = (String::new(), LONGEST);
        self.write(&mut text, &mut left);
        f.write_str(&text)
    }
}
