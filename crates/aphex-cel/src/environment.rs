//! Which functions an expression may call, and the way from text to program.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::error::CompileError;
use crate::functions::{self, Function, Style};
use crate::lower::{self, Literals};
use crate::program::Program;
use crate::value::Value;
use crate::{guard, pool, syntax};

static KUBERNETES: LazyLock<Environment> = LazyLock::new(|| {
    Environment::of(&[functions::STANDARD, functions::EXTENDED, functions::KUBERNETES], Dialect::Kubernetes)
});
static TRIGGERS: LazyLock<Environment> = LazyLock::new(|| {
    Environment::of(&[functions::STANDARD, functions::EXTENDED, functions::TRIGGERS], Dialect::Triggers)
});

/// A set of functions expressions are compiled against.
#[derive(Clone, Debug)]
pub struct Environment {
    functions: HashMap<&'static str, Vec<&'static Function>>,
    extensions: Vec<Extension>,
    dialect: Dialect,
}

/// Whose functions, macros and rules an expression is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// With optionals and two-variable macros; literals are checked.
    Kubernetes,
    Triggers,
}

/// The code of an extension: arguments in, value or error text out.
type Run = dyn Fn(&[Value]) -> Result<Value, String> + Send + Sync;

/// A function given by the program that uses this crate, for what needs its knowledge or IO.
#[derive(Clone)]
pub struct Extension {
    name: Arc<str>,
    run: Arc<Run>,
    cost: u64,
}

impl Extension {
    /// A function of that name for any arguments, a receiver being the first of them.
    pub fn new(name: &str, run: impl Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'static) -> Self {
        Self { name: name.into(), run: Arc::new(run), cost: 1 }
    }

    /// The same function at another cost than one unit.
    #[must_use]
    pub fn at_cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    pub(crate) fn cost(&self) -> u64 {
        self.cost
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn call(&self, arguments: &[Value]) -> Result<Value, String> {
        (self.run)(arguments)
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extension").field("name", &self.name).finish_non_exhaustive()
    }
}

/// One candidate for a call.
#[derive(Debug, Clone)]
pub(crate) enum Callee {
    Builtin(&'static Function),
    Extension(Extension),
}

/// What looking up a function gave.
pub(crate) enum Found {
    Callees(Vec<Callee>),
    /// There is such a function, but not for this many arguments or this style.
    Mismatch,
    Unknown,
}

impl Environment {
    fn of(tables: &[&[&'static [Function]]], dialect: Dialect) -> Self {
        let mut environment = Self { functions: HashMap::new(), extensions: Vec::new(), dialect };
        for function in tables.iter().flat_map(|tables| tables.iter()).flat_map(|table| table.iter()) {
            environment.functions.entry(function.name).or_default().push(function);
        }
        environment
    }

    /// The functions of Kubernetes v1.35: `x-kubernetes-validations` and admission policies.
    pub fn kubernetes() -> &'static Self {
        &KUBERNETES
    }

    /// The functions of Tekton Triggers v0.34's CEL interceptor.
    ///
    /// `compareSecret` is declared; its code is given as an [`Extension`] when evaluating.
    pub fn triggers() -> &'static Self {
        &TRIGGERS
    }

    /// The same functions and one more.
    #[must_use]
    pub fn with_extension(&self, extension: Extension) -> Self {
        let mut environment = self.clone();
        environment.extensions.push(extension);
        environment
    }

    /// Compiles a text in which these variables may be named; blocks, briefly.
    ///
    /// ```
    /// # use aphex_cel::{Environment, Limits, Value};
    /// let program = Environment::kubernetes().compile("self.size() > 2", &["self"])?;
    /// let value = program.evaluate(&[("self", Value::from("abc"))], &Limits::default())?;
    /// assert_eq!(value.as_bool(), Some(true));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compile(&self, source: &str, variables: &[&str]) -> Result<Program, CompileError> {
        self.compile_with(source, variables, Literals::Unchecked)
    }

    /// The same for a text that passed [`Environment::check`] when it was written: its literals are not judged anew.
    pub fn compile_checked(&self, source: &str, variables: &[&str]) -> Result<Program, CompileError> {
        self.compile_with(source, variables, Literals::Checked)
    }

    fn compile_with(
        &self,
        source: &str,
        variables: &[&str],
        literals: Literals,
    ) -> Result<Program, CompileError> {
        let depth = guard::check(source)?;
        let environment = self.clone();
        let text: Arc<str> = source.into();
        let names: Vec<Arc<str>> = variables.iter().map(|name| Arc::from(*name)).collect();
        let job = move || {
            let parsed = syntax::parse(&text)?;
            lower::lower(&environment, &text, &names, &parsed, depth, literals)
        };
        pool::run(job).unwrap_or_else(|| Err(CompileError::Internal("the expression worker failed".into())))
    }

    /// Whether this is Kubernetes' dialect: optionals, two-variable macros, literals checked.
    pub(crate) fn is_strict(&self) -> bool {
        self.dialect == Dialect::Kubernetes
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn find(&self, name: &str, member: bool, count: usize) -> Found {
        let builtin = self.functions.get(name).map(Vec::as_slice).unwrap_or_default();
        let extensions = self.extensions.iter().filter(|extension| extension.name() == name);
        let extensions: Vec<Callee> = extensions.cloned().map(Callee::Extension).collect();
        if builtin.is_empty() && extensions.is_empty() {
            return Found::Unknown;
        }
        let style = if member { Style::Member } else { Style::Global };
        let fitting = builtin.iter().filter(|function| {
            (function.style == style || function.style == Style::Either)
                && function.arguments.contains(&count)
        });
        let callees: Vec<Callee> =
            extensions.into_iter().chain(fitting.map(|function| Callee::Builtin(function))).collect();
        if callees.is_empty() { Found::Mismatch } else { Found::Callees(callees) }
    }
}

/// The words no variable or function may have as its name.
pub fn reserved_words() -> &'static [&'static str] {
    &[
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
}
