//! CEL as Kubernetes and Tekton speak it, behind guards: bounded size, depth, cost and stack.
//!
//! ```text
//! source -> guard (tokens counted) -> parser (crate cel) -> lower (names, macros) -> Program
//! Program + bindings + Limits -> eval (cost charged per step) -> Value
//! ```
//!
//! Tenants write these expressions, so no input may abort the process or run without bound.
//! The grammar is the `cel` crate's; names, macros, evaluation, cost and functions are ours.
//! This crate does no IO: what needs it (a secret to compare with) is a closure given by the caller.
//! It knows no schema: [`Environment::compile`] meets types at evaluation, [`Environment::check`] is told them.

mod ast;
mod check;
mod environment;
mod error;
mod eval;
mod fields;
mod functions;
mod guard;
mod lower;
mod number;
pub mod pattern;
mod pool;
mod program;
mod syntax;
mod unicode;
mod value;

pub use check::{Checked, CostRange, Declarations, Declared, Object, Type};
pub use environment::{Environment, Extension, reserved_words};
pub use error::{CompileError, EvaluateError, Issue};
pub use functions::parse_duration;
pub use number::json_number;
pub use program::{Evaluation, Limits, Observation, Program, Resolver};
pub use unicode::mended_json;
pub use value::{Format, Key, Map, Moment, Network, Opaque, Quantity, Semver, Url, Value};
