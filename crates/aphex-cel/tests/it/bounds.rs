//! No text and no data may abort the process or run without end.

use std::time::{Duration, Instant};

use aphex_cel::{CompileError, Declarations, Declared, Environment, EvaluateError, Limits, Type, Value};
use proptest::prelude::*;
use serde_json::json;

fn evaluate(source: &str, value: Value) -> Result<Value, EvaluateError> {
    let program = Environment::kubernetes()
        .compile(source, &["v"])
        .map_err(|error| EvaluateError::Internal(error.to_string()))?;
    program.evaluate(&[("v", value)], &Limits::default())
}

#[test]
fn the_deepest_texts_allowed_are_compiled_and_evaluated() {
    let many = 990;
    let plus = format!("1{}", " + 1".repeat(many));
    assert_eq!(evaluate(&plus, Value::Null).map(|value| value.as_int()), Ok(Some(991)));
    for source in [
        format!("v{}", ".a".repeat(many)),
        format!("v{}", "[0]".repeat(many)),
        format!("v{}", ".size()".repeat(many / 2)),
        format!("{}v", "!".repeat(many)),
        format!("{}1", "true ? 1 : ".repeat(many / 2)),
        format!("{}1{}", "(".repeat(80), ")".repeat(80)),
        format!("{}1{}", "[".repeat(80), "]".repeat(80)),
        format!("v == 1{}", " && v == 1".repeat(5_000)),
        format!("{}v{}", "[1].all(x, ".repeat(40), " == 1)".repeat(40)),
    ] {
        // Whatever comes out, it comes out.
        if let Ok(program) = Environment::kubernetes().compile(&source, &["v"]) {
            let _ = program.evaluate(&[("v", Value::from(1))], &Limits::default());
        }
    }
}

#[test]
fn deeper_texts_are_refused_before_they_are_parsed() {
    for source in [
        format!("1{}", "+1".repeat(2_000)),
        format!("a{}", ".a".repeat(2_000)),
        "(".repeat(4_000),
        "[".repeat(4_000),
        "-".repeat(4_000),
        "!".repeat(4_000),
        "a?".repeat(2_000),
        "{1:".repeat(2_000),
    ] {
        let begun = Instant::now();
        let error = Environment::kubernetes().compile(&source, &["a"]).expect_err("refused");
        assert!(matches!(error, CompileError::TooDeep { .. }), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn nested_walks_stop_at_the_limit() {
    let numbers = Value::from_json(&json!((0..1_000).collect::<Vec<_>>()));
    let begun = Instant::now();
    let outcome = evaluate("v.all(x, v.exists_one(y, v.all(z, x + y + z >= 0)))", numbers);
    assert_eq!(outcome.map(|_| ()), Err(EvaluateError::CostExceeded { limit: 1_000_000 }));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn small_texts_cannot_make_endless_values() {
    let nested = |value: &str, step: &str| {
        let binds = format!("cel.bind(a, {step}, ").repeat(40);
        format!("cel.bind(a, {value}, {binds}a{})", ")".repeat(40))
    };
    let doubled = evaluate(&nested("'xxxxxxxxxx'", "a + a"), Value::Null);
    assert!(matches!(doubled, Err(EvaluateError::CostExceeded { .. })), "{doubled:?}");
    let lists = evaluate(&nested("[1, 2, 3]", "a + a"), Value::Null);
    assert!(matches!(lists, Err(EvaluateError::CostExceeded { .. })));
    // Shared parts: the value is small, a walk over it is not.
    let shared = nested("[1]", "[a, a]");
    let tree = evaluate(&shared, Value::Null).expect("is small");
    assert!(tree.to_json().is_err());
    assert!(tree.to_string().len() < 8 << 20);
    let compared = evaluate(&format!("{shared} == {shared}"), Value::Null);
    assert!(matches!(compared, Err(EvaluateError::CostExceeded { .. })));
    let flat = evaluate(&format!("{shared}.flatten(100)"), Value::Null);
    assert!(matches!(flat, Err(EvaluateError::CostExceeded { .. })));
    let range = evaluate("lists.range(1000000000000)", Value::Null);
    assert!(matches!(range, Err(EvaluateError::CostExceeded { .. })));
    let replaced =
        evaluate("v.replace('a', v).replace('a', v).replace('a', v)", Value::from("a".repeat(2_000)));
    assert!(matches!(replaced, Err(EvaluateError::CostExceeded { .. })));
}

#[test]
fn costs_are_those_of_kubernetes() {
    let cost = |source: &str| {
        let program = Environment::kubernetes().compile(source, &["v"]).expect("compiles");
        program
            .evaluate_measured(&[("v", Value::from_json(&json!({"a": {"b": 1}})))], &Limits::default())
            .cost
    };
    for (source, expected) in [
        ("true", 0),
        ("v", 1),
        ("v.a.b", 3),
        ("has(v.a)", 1),
        ("1 + 1", 1),
        ("[1, 2]", 0),
        ("[v, v]", 12),
        ("{'a': v}", 31),
        ("'abc' == 'abc'", 1),
        ("'0123456789012345'.contains('0123456789')", 2),
        ("[1, 2, 3].all(x, true)", 10),
        ("[1, 2, 3].map(x, x * 2)", 43),
        ("2 in [1, 2, 3]", 0),
        ("sets.contains([1], [1])", 2),
        ("[1, 2, 3].distinct() == [1, 2, 3]", 30),
        ("cidr('192.168.0.0/24').containsIP(ip('192.168.0.1'))", 5),
    ] {
        assert_eq!(cost(source), expected, "{source}");
    }
}

#[test]
fn evaluation_from_many_threads_at_once_is_safe() {
    let deep = format!("v{}", " + v".repeat(500));
    let program = Environment::kubernetes().compile(&deep, &["v"]).expect("compiles");
    let threads: Vec<_> = (0..16)
        .map(|number| {
            let program = program.clone();
            std::thread::spawn(move || {
                let value = program.evaluate(&[("v", Value::from(number))], &Limits::default());
                assert_eq!(value.expect("adds").as_int(), Some(number * 501));
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("did not panic");
    }
}

/// Pieces of the language, thrown together.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "v",
        ".a",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "1",
        "2u",
        "1.5",
        "'s'",
        "r'\\'",
        "b'x'",
        "+",
        "-",
        "*",
        "/",
        "%",
        "!",
        "&&",
        "||",
        "==",
        "<",
        "in",
        "?",
        ":",
        ",",
        ".?a",
        "[?0]",
        ".all(x, ",
        ".map(x, ",
        "has(v.a)",
        "cel.bind(y, ",
        "timestamp('",
        "duration('1s')",
        ".matches('",
        "null",
        "true",
        "\n",
        " ",
        "//",
        "\"",
        "'''",
        "`",
        "\\",
        "\u{0}",
        "ä",
        "9223372036854775808",
        "0x",
        "1e",
        "int(",
        "quantity('1Ki')",
        ".size()",
        "as",
        "é.",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(source in prop_oneof![soup(), ".{0,60}"]) {
        match Environment::kubernetes().compile(&source, &["v"]) {
            Ok(program) => {
                let value = Value::from_json(&json!({"a": [1, "x", {"a": null}]}));
                let evaluation = program.evaluate_traced(&[("v", value)], &Limits::default(), &[]);
                prop_assert!(!matches!(evaluation.result, Err(EvaluateError::Internal(_))), "{:?}", evaluation.result);
            }
            Err(error) => prop_assert!(!matches!(error, CompileError::Internal(_)), "{source:?}: {error}"),
        }
    }
}

/// Checks a text and estimates its cost; the time it took.
fn checked_in(source: &str) -> (Result<(), String>, Duration) {
    let declared = Declared::list(Declared::list(Declared::simple(Type::String, 40, 2), 100), 100);
    let declarations = Declarations::new().with("self", declared.to_type("selfType"));
    let start = Instant::now();
    let checked = Environment::kubernetes().check(source, &declarations);
    let result = checked.map_err(|error| error.to_string()).map(|checked| {
        assert!(checked.cost(&declared).is_some(), "the estimator failed");
    });
    (result, start.elapsed())
}

#[test]
fn no_text_makes_checking_long_or_deep() {
    let nested = |macro_: &str, depth: usize| {
        let open = (0..depth).fold(String::new(), |open, at| open + &format!("self.{macro_}(x{at}, "));
        format!("{open}true{}", ")".repeat(depth))
    };
    // Types that double with every name: each map holds the one before it twice.
    let doubling: String = (0..80).fold("{'a': 1}".to_owned(), |inner, at| {
        format!("optional.of({inner}).optMap(x{at}, {{x{at}: x{at}}}).value()")
    });
    let twice: String =
        (0..200).fold("[]".to_owned(), |inner, at| format!("{inner}.map(x{at}, [x{at}, x{at}])"));
    for source in [
        nested("all", 80),
        nested("map", 80),
        nested("exists_one", 80),
        doubling,
        twice,
        format!("optional.of(1){}", ".optMap(x, x + 1)".repeat(300)),
        format!("self{}", ".map(x, x)".repeat(300)),
        format!("self{}", "[0]".repeat(400)),
        format!("self{}", ".sortBy(x, x.size())".repeat(300)),
        format!("[{}]", "[[],{}],".repeat(10_000)),
        format!("{{{}}}", "'a': [],".repeat(9_000)),
        format!("1{}", " + 'a'".repeat(900)),
        format!("self == self{}", " && self == self".repeat(6_000)),
        format!("self == self{}", " || nope(self)".repeat(6_000)),
        format!("'{}'.format([{}])", "%s".repeat(20_000), "1,".repeat(20_000)),
        format!("true{}", " ? true : true".repeat(450)),
        format!("{}self", "!".repeat(900)),
        format!("self.matches('{}')", "(a{0,1000}){0,1000}".repeat(10)),
    ] {
        let (result, took) = checked_in(&source);
        let shown = &source[..source.len().min(60)];
        assert!(took < Duration::from_secs(20), "{shown} took {took:?}: {result:?}");
    }
}

#[test]
fn a_check_that_is_given_up_says_so() {
    let source = format!("optional.of(1){}.hasValue()", ".optMap(x, x + 1)".repeat(30));
    let (result, _) = checked_in(&source);
    assert!(result.is_err_and(|error| error.contains("parts with its macros expanded")));
    let source = (0..40).fold("[]".to_owned(), |inner, at| format!("{inner}.map(x{at}, [{{x{at}: x{at}}}])"));
    let (result, _) = checked_in(&source);
    assert!(result.is_err_and(|error| error.contains("too large to be checked")));
}
