//! The walks over values and their schema: check, list fields, merge, compare, remove, reconcile.

mod check;
mod compare;
mod element;
mod fields;
mod merge;
mod reconcile;
mod remove;

pub(crate) use check::{check, go_value};
pub(crate) use compare::{Comparison, compare};
pub(crate) use fields::{ensure_named, field_set};
pub(crate) use merge::merge;
pub(crate) use reconcile::reconcile;
pub(crate) use remove::{remove, remove_tidily};

/// Why values do not fit their schema: paths with messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mismatches(pub(crate) Vec<String>);

impl std::fmt::Display for Mismatches {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_slice() {
            [only] => out.write_str(only),
            all => {
                out.write_str("errors:")?;
                all.iter().try_for_each(|message| write!(out, "\n  {message}"))
            }
        }
    }
}
