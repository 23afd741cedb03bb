//! What the program that evaluates adds: variables when they are needed, its own values and functions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aphex_cel::{Environment, Extension, Limits, Opaque, Resolver, Value};

#[test]
fn a_variable_without_a_binding_is_asked_for_when_it_is_needed() {
    let program = Environment::kubernetes().compile("a || variables.b", &["a", "variables.b"]).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let resolver: Resolver = Arc::new(move |name| {
        count.fetch_add(1, Ordering::Relaxed);
        (name == "variables.b").then(|| Err("it fails".to_owned()))
    });
    let run =
        |a: bool| program.evaluate_resolving(&[("a", Value::Bool(a))], &Limits::default(), &resolver).result;
    assert_eq!(run(true).unwrap().as_bool(), Some(true));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert_eq!(run(false).unwrap_err().to_string(), "it fails");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn values_of_the_program_go_to_its_functions_at_its_cost() {
    let function = Extension::new("secret", |arguments| match arguments {
        [Value::Opaque(value)] => {
            value.get::<u32>().map(|n| Value::Int(i64::from(*n))).ok_or("other type".to_owned())
        }
        _ => Err("no such overload".to_owned()),
    });
    let environment = Environment::kubernetes().with_extension(function.at_cost(500));
    let program = environment.compile("box.secret() == 7 && type(box) != int", &["box"]).unwrap();
    let given = Value::Opaque(Opaque::new("example.Box", 7_u32));
    let evaluation = program.evaluate_measured(&[("box", given)], &Limits::default());
    assert_eq!(evaluation.result.unwrap().as_bool(), Some(true));
    assert!(evaluation.cost > 500, "{}", evaluation.cost);
}
