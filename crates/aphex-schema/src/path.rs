//! Paths of fields, written as `field.Path` of Kubernetes writes them.
//!
//! Whoever walks through an object carries a [`Trail`], since a path is only wanted where something is wrong.

use std::fmt;

/// The path of a field: `spec.containers[0].env[NAME]`; the root is written `<nil>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The object itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// A path from its text.
    pub fn parse(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// A field below; the name may hold dots itself.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// An element of a list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// An entry of a map.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// Whether this is the object itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// The way to a value, step by step; it is text once it is asked for, the root's is empty.
#[derive(Clone, Copy, Debug)]
pub enum Trail<'a> {
    /// The object itself.
    Root,
    /// A path that is known.
    At(&'a Path),
    /// A field below.
    Field(&'a Self, &'a str),
    /// An element of a list.
    Index(&'a Self, usize),
    /// An entry of a map.
    Key(&'a Self, &'a str),
}

impl Trail<'_> {
    /// The same as a path.
    pub fn path(&self) -> Path {
        Path(self.to_string())
    }

    /// Whether this is the object itself.
    pub fn is_root(&self) -> bool {
        match self {
            Self::Root => true,
            Self::At(path) => path.is_root(),
            Self::Field(..) | Self::Index(..) | Self::Key(..) => false,
        }
    }
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::At(path) => f.write_str(&path.0),
            Self::Field(above, name) if above.is_root() => f.write_str(name),
            Self::Field(above, name) => write!(f, "{above}.{name}"),
            Self::Index(above, index) => write!(f, "{above}[{index}]"),
            Self::Key(above, key) => write!(f, "{above}[{key}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_reads_as_the_path_that_it_is() {
        let spec = Path::root().child("spec");
        for (start, above) in [(Trail::Root, Path::root()), (Trail::At(&spec), spec.clone())] {
            let list = Trail::Field(&start, "list");
            let element = Trail::Index(&list, 3);
            let entry = Trail::Key(&element, "a.b");
            assert_eq!(list.path(), above.child("list"));
            assert_eq!(Trail::Field(&entry, "x").path(), above.child("list").index(3).key("a.b").child("x"));
            assert_eq!((start.path(), start.is_root()), (above.clone(), above.is_root()));
        }
    }
}
