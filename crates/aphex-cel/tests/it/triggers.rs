//! Tekton Triggers' functions and variables.

use aphex_cel::{Declarations, Environment, Extension, Limits, Type, Value};
use serde_json::json;

fn bindings() -> Vec<(&'static str, Value)> {
    let body = json!({
        "ref": "refs/heads/main", "number": 12, "sha": "ec26c3e57ca3a959ca5aad62de7213c562f8c821",
        "json": "{\"a\": {\"b\": 2}}", "yaml": "a:\n  b: 2\n", "tags": ["one", "two"],
        "measure": {"x": [1, 2.5, true, null]},
    });
    let header = json!({"X-Github-Event": ["push", "other"], "Accept": []});
    vec![
        ("body", Value::from_json_doubles(&body)),
        ("header", Value::from_json(&header)),
        ("extensions", Value::from_json(&json!({}))),
        ("requestURL", Value::from("https://example.com/hook?a=1")),
    ]
}

fn run(source: &str) -> String {
    let variables = ["body", "header", "extensions", "requestURL"];
    let program = match Environment::triggers().compile(source, &variables) {
        Ok(program) => program,
        Err(error) => return error.to_string(),
    };
    match program.evaluate(&bindings(), &Limits::default()) {
        Ok(value) => format!("{} {value}", value.type_name()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_interceptor_s_functions_give_what_tekton_s_give() {
    let table = [
        ("header.match('x-github-event', 'push')", "bool true"),
        ("header.match('X-GitHub-Event', 'other')", "bool false"),
        ("header.match('X-Absent', '')", "bool true"),
        ("header.canonical('X-GitHub-Event')", "string push"),
        ("header.canonical('accept')", "string "),
        ("body.sha.truncate(7)", "string ec26c3e"),
        ("'abc'.truncate(5)", "string abc"),
        ("'abc'.truncate(-1)", "slice bounds out of range [:-1]"),
        ("body.json.parseJSON().a.b", "double 2"),
        ("body.json.parseJSON().a.b == 2", "bool true"),
        ("body.yaml.parseYAML().a.b == 2", "bool true"),
        ("'https://u:p@example.com:80/t?q=1&q=2#f'.parseURL().host", "string example.com:80"),
        ("'https://u:p@example.com/t?q=1&q=2#f'.parseURL().query['q']", "string 1,2"),
        ("'https://u:p@example.com/t?q=1&q=2'.parseURL().queryStrings['q']", "list [1, 2]"),
        ("'https://u:p@example.com/t'.parseURL().auth.username", "string u"),
        ("requestURL.parseURL().path", "string /hook"),
        ("body.measure.marshalJSON()", "string {\"x\":[1,2.5,true,null]}"),
        ("body.tags.marshalJSON()", "string [\"one\",\"two\"]"),
        ("body.tags.first()", "string one"),
        ("body.tags.last()", "string two"),
        ("[].last()", "null_type null"),
        ("'this is $aN INvalid5string '.translate('[^a-z0-9]+', '')", "string thisisavalid5string"),
        ("'a-b'.translate('(a)-(b)', '$2$1')", "string ba"),
        (
            "'a'.translate('(', '')",
            "failed to parse regular expression for translation: error parsing regexp: missing closing ): `(`",
        ),
        ("body.ref.split('/')[2]", "string main"),
        ("body.tags.join('-')", "string one-two"),
        ("base64.encode(b'hi')", "string aGk="),
        ("base64.decode('aGk=') == b'hi'", "bool true"),
        ("base64.decode('aGk') == b'hi'", "bool true"),
        ("math.greatest(1, 2.5, 2u)", "double 2.5"),
        ("math.least([3, 1])", "int 1"),
        ("math.bitShiftRight(-1, 63)", "int 1"),
        ("sets.contains([1, 2], [2.0])", "bool true"),
        ("body.number + 1", "no such overload"),
        ("body.number + 1.0", "double 13"),
        ("body.number == 12", "bool true"),
    ];
    for (source, expected) in table {
        assert_eq!(run(source), expected, "{source}");
    }
}

#[test]
fn bad_documents_are_quoted_in_the_error() {
    assert!(
        run("'[1]'.parseJSON()")
            .starts_with("failed to decode '[1]' in parseJSON: json: cannot unmarshal array")
    );
    assert!(run("'{'.parseJSON()").starts_with("failed to decode '{' in parseJSON: "));
    assert!(run("'a: ['.parseYAML()").starts_with("failed to decode 'a: [' in parseYAML: "));
    assert!(run("'%zz'.parseURL()").starts_with("failed to decode '%zz' in parseURL: "));
}

#[test]
fn kubernetes_functions_are_not_tekton_s() {
    assert!(run("body.?ref").contains("unsupported syntax '.?'"));
    assert!(run("cel.bind(x, 1, x)").contains("undeclared reference to 'cel'"));
    assert_eq!(run("'abc'.reverse()"), "string cba");
    assert_eq!(run("'%e'.format([1200])"), "string 1.200000e+03");
    assert!(run("quantity('1')").contains("undeclared reference to 'quantity' (in container '')"));
}

#[test]
fn secrets_are_compared_by_the_caller_s_code() {
    let program =
        Environment::triggers().compile("'token'.compareSecret('key', 'name')", &[]).expect("compiles");
    let without = program.evaluate(&[], &Limits::default()).expect_err("has no secrets");
    assert!(without.to_string().starts_with("failed to find secret"));
    let compare = Extension::new("compareSecret", |arguments| {
        let texts: Vec<&str> = arguments.iter().filter_map(Value::as_str).collect();
        Ok(Value::from(texts == ["token", "key", "name"]))
    });
    let evaluation = program.evaluate_traced(&[], &Limits::default(), &[compare]);
    assert_eq!(evaluation.result.map(|value| value.as_bool()), Ok(Some(true)));
}

#[test]
fn a_trace_tells_what_was_seen() {
    let source =
        "header.match('X-GitHub-Event', 'push') && body.ref.startsWith('refs/tags/') && has(body.skipped)";
    let program = Environment::triggers().compile(source, &["body", "header"]).expect("compiles");
    let evaluation = program.evaluate_traced(&bindings(), &Limits::default(), &[]);
    assert_eq!(evaluation.result.map(|value| value.as_bool()), Ok(Some(false)));
    let seen: Vec<(String, String)> =
        evaluation.observations.into_iter().map(|seen| (seen.path, seen.value)).collect();
    let expected = [
        ("header.match(\"X-GitHub-Event\", \"push\")", "true"),
        ("body.ref", "refs/heads/main"),
        ("body.ref.startsWith(\"refs/tags/\")", "false"),
    ];
    let expected: Vec<(String, String)> =
        expected.iter().map(|(path, value)| ((*path).into(), (*value).into())).collect();
    assert_eq!(seen, expected);
}

#[test]
fn results_become_json_as_cel_go_s_do() {
    let tried = |source: &str| {
        let program = Environment::triggers().compile(source, &[]).expect("compiles");
        program.evaluate(&[], &Limits::default()).expect("evaluates").to_json()
    };
    let json = |source: &str| tried(source).expect("has a form");
    assert_eq!(json("1.0"), json!(1));
    assert_eq!(json("1.5"), json!(1.5));
    assert_eq!(json("b'hi'"), json!("aGk="));
    assert_eq!(json("9007199254740993"), json!("9007199254740993"));
    assert_eq!(json("timestamp('2020-01-02T03:04:05Z')"), json!("2020-01-02T03:04:05Z"));
    assert_eq!(json("duration('1.5s')"), json!("1.5s"));
    assert_eq!(json("{'b': true, 'a': null}"), json!({"b": true, "a": null}));
    assert_eq!(json("-9223372036854775808.0").to_string(), "-9.223372036854776e+18");
    assert_eq!(json("-0.0").to_string(), "-0.0");
    for none in ["1.0 / 0.0", "[-1.0 / 0.0]", "{'a': 0.0 / 0.0}", "{1: true}", "[{true: 1}]"] {
        assert!(tried(none).is_err(), "{none}");
    }
}

/// What is wrong with an expression before it runs.
fn wrong(source: &str) -> Option<String> {
    let object = || Type::map(Type::String, Type::Dyn);
    let declarations = Declarations::new()
        .with("body", object())
        .with("header", object())
        .with("extensions", object())
        .with("requestURL", Type::String);
    match Environment::triggers().check(source, &declarations) {
        Ok(checked) => checked.doomed().map(str::to_owned),
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn types_that_cel_go_takes_are_taken() {
    for source in [
        "body.number == 1",
        "body.ref + 1 == 2",
        "[1, 'a'].exists(x, x == 1)",
        "{'a': 1, 'b': 'c'}.a == 'x'",
        "(body.flag ? body.ref : 'x') == 'x'",
        "header['X'][0] == 'a' || header.exists(h, h.startsWith('X'))",
        "body.commits.map(c, c.id).sortBy(x, x)",
        "math.greatest(1, 2.5, body.number) == math.least([1, 2u])",
        "[1].first() + [2].last() == body.list.reverse()",
        "'%d %s'.format([1.5, body.number]) == 'x'.reverse()",
        "requestURL.parseURL().query.a == 1",
        "true || 'a'.translate('[z-a]', '') == ''",
        "true || [1, 2][5] == 1 / 0",
        "true || timestamp('9999-12-31T23:59:59Z') == timestamp(1)",
    ] {
        assert_eq!(wrong(source), None, "{source}");
    }
}

#[test]
fn types_that_cel_go_refuses_are_refused() {
    for (source, words) in [
        ("true || 'a' == 1", "found no matching overload for '_==_' applied to '(string, int)'"),
        ("size(body.list) > 2.5", "found no matching overload for '_>_' applied to '(int, double)'"),
        ("body.match('a')", "found no matching overload for 'match'"),
        ("'a'.marshalJSON()", "found no matching overload for 'marshalJSON' applied to 'string.()'"),
        ("[1].existsOne(x, x == 1)", "undeclared reference to 'existsOne'"),
        ("[?body.a]", "unsupported syntax '?'"),
        ("{?'a': body.a}", "unsupported syntax '?'"),
        ("net.IP", "undeclared reference to 'net'"),
        ("math.greatest('a')", "math.greatest() invalid single argument value"),
        ("math.least(1, 'a')", "math.least() simple literal arguments must be numeric"),
        (
            "'%d'.format(['x'])",
            "decimal clause can only be used on ints, uints, and doubles, was given string",
        ),
        ("'%s'.format(['x', 1])", "too many arguments supplied to string.format (expected 1, got 2)"),
        ("true || int('x') == 1", "type conversion error from 'string' to 'int'"),
        ("true || int(null) == 1", "no such overload: int(null_type)"),
        ("true || body.ref.matches('[z-a]')", "error parsing regexp"),
        ("true || body.ref[null] == 1", "invalid qualifier type: types.Null"),
    ] {
        let found = wrong(source).unwrap_or_default();
        assert!(found.contains(words), "{source}: {found}");
    }
}
