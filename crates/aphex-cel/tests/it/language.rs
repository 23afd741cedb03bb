//! The language itself: operators, conversions, macros, optionals, errors.

use aphex_cel::{Environment, Limits, Value};
use serde_json::json;

/// The value as text and type, or the error's text.
pub(crate) fn run(source: &str) -> String {
    let body = json!({
        "ref": "refs/heads/main", "count": 3, "big": 9_007_199_254_740_993_i64, "huge": u64::MAX,
        "ratio": 1.5, "tags": ["a", "b"], "nested": {"deep": {"x": 1}}, "none": null, "items": [{"n": 1}, {"n": 2}],
    });
    let program = match Environment::kubernetes().compile(source, &["body", "unset"]) {
        Ok(program) => program,
        Err(error) => return error.to_string(),
    };
    match program.evaluate(&[("body", Value::from_json(&body))], &Limits::default()) {
        Ok(value) => format!("{} {value}", value.type_name()),
        Err(error) => error.to_string(),
    }
}

pub(crate) fn check(table: &[(&str, &str)]) {
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(source, expected)| {
            let actual = run(source);
            (actual != *expected).then(|| format!("{source}\n  expected {expected}\n  actual   {actual}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

pub(crate) fn holds(sources: &[&str]) {
    let table: Vec<(&str, &str)> = sources.iter().map(|source| (*source, "bool true")).collect();
    check(&table);
}

#[test]
fn arithmetic_keeps_types_and_refuses_overflow() {
    check(&[
        ("1 + 2 * 3 - 4 / 2 % 3", "int 5"),
        ("1u + 2u", "uint 3"),
        ("1.5 * 2.0", "double 3"),
        ("-7 / 2", "int -3"),
        ("-7 % 2", "int -1"),
        ("'a' + 'b'", "string ab"),
        ("[1] + [2]", "list [1, 2]"),
        ("b'a' + b'b' == b'ab'", "bool true"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("-9223372036854775808 - 1", "integer overflow"),
        ("-(-9223372036854775808)", "integer overflow"),
        ("0u - 1u", "unsigned integer overflow"),
        ("1 / 0", "division by zero"),
        ("1 % 0", "modulus by zero"),
        ("1.0 / 0.0 > 1.0", "bool true"),
        ("body.count + 'a'", "no such overload"),
        ("body.count + 1u", "no such overload"),
    ]);
}

#[test]
fn comparisons_go_across_number_types() {
    holds(&[
        "1 == dyn(1u)",
        "dyn(1) == 1.0",
        "1 < 1.5",
        "2u > 1.5",
        "dyn(9007199254740993) == 9007199254740992.0",
        "1 != 'a'",
        "dyn([1, 2]) == [1.0, 2.0]",
        "{'a': 1} == {'a': 1.0}",
        "!(0.0 / 0.0 == 0.0 / 0.0)",
        "'a' < 'b' && b'a' < b'b' && false < true",
        "null == null",
        "duration('1h') > duration('59m')",
        "2 in dyn([1.0, 2.0])",
        "'a' in {'a': 1}",
        "!('b' in {'a': 1})",
        "dyn(1.0) in {1: 'x'}",
    ]);
    check(&[
        ("body.count < 'a'", "no such overload"),
        ("body.tags < [2]", "no such overload"),
        ("1 in body.count", "no such overload"),
    ]);
}

#[test]
fn json_numbers_are_integers_where_they_can_be() {
    check(&[
        ("body.count + 1", "int 4"),
        ("body.big", "int 9007199254740993"),
        ("body.huge", "uint 18446744073709551615"),
        ("body.ratio", "double 1.5"),
        ("body.none", "null_type null"),
    ]);
}

#[test]
fn paths_fail_in_cel_go_s_words() {
    check(&[
        ("body.ref", "string refs/heads/main"),
        ("body['ref']", "string refs/heads/main"),
        ("body.items[1].n", "int 2"),
        ("body.missing", "no such key: missing"),
        ("body.items[2]", "index out of bounds: 2"),
        ("body.items[-1]", "index out of bounds: -1"),
        ("body.tags['a']", "unsupported index type 'string' in list"),
        ("body.ref.x", "no such key: x"),
        ("body.ref[0]", "no such key: 0"),
        ("body.tags.x", "unsupported index type 'string' in list"),
        ("has(body.ref.x)", "bool false"),
        ("unset.x", "no such attribute(s): unset"),
        ("has(body.ref) && !has(body.nested.y)", "bool true"),
        ("has(body.missing.x)", "no such key: missing"),
        ("{'a': 1}[1]", "no such key: 1"),
        ("{'a': 1, 'a': 2}", "Failed with repeated key: a"),
    ]);
}

#[test]
fn logic_absorbs_errors_the_other_side_decides() {
    check(&[
        ("true || 1 / 0 == 1", "bool true"),
        ("1 / 0 == 1 || true", "bool true"),
        ("1 / 0 == 1 && false", "bool false"),
        ("1 / 0 == 1 || false", "division by zero"),
        ("1 / 0 == 1 && 1 % 0 == 1", "division by zero"),
        ("true && body.count", "no such overload"),
        ("1 ? 2 : 3", "no such overload"),
        ("true ? 1 : 1 / 0", "int 1"),
        ("!body.count", "no such overload"),
    ]);
}

#[test]
fn macros_walk_lists_and_maps() {
    check(&[
        ("[1, 2, 3].all(x, x > 0)", "bool true"),
        ("[1, 2, 3].exists(x, x > 2)", "bool true"),
        ("[1, 2, 3].exists_one(x, x > 2)", "bool true"),
        ("[1, 2, 3].exists_one(x, x > 1)", "bool false"),
        ("[1, 2, 3].map(x, x * 2)", "list [2, 4, 6]"),
        ("[1, 2, 3].map(x, x > 1, x * 2)", "list [4, 6]"),
        ("[1, 2, 3].filter(x, x > 1)", "list [2, 3]"),
        ("{'a': 1, 'b': 2}.map(k, k)", "list [a, b]"),
        ("[].all(x, 1 / 0 == 1)", "bool true"),
        ("[0, 1].exists(x, 1 / x == 1)", "bool true"),
        ("[1, 0].all(x, 1 / x == 2)", "bool false"),
        ("[0, 1].all(x, 1 / x == 1)", "division by zero"),
        ("[1, 2].all(x, x)", "no such overload"),
        ("body.count.all(x, true)", "got 'types.Int', expected iterable type"),
        ("[[1, 2], [3]].all(x, x.all(y, y < 4))", "bool true"),
        ("[1].map(x, [2].map(x, x))", "list [[2]]"),
        ("cel.bind(x, 2, x * x)", "int 4"),
        ("cel.bind(x, 2, cel.bind(y, x, x + y)) + 1", "int 5"),
        ("[3, 4].all(i, v, i < v)", "bool true"),
        ("{'a': 1}.exists(k, v, k == 'a' && v == 1)", "bool true"),
        ("[3, 4].existsOne(i, v, i + v == 5)", "bool true"),
        ("[3, 4].transformList(i, v, i * v)", "list [0, 4]"),
        ("[3, 4].transformList(i, v, i > 0, v)", "list [4]"),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v + 1)", "map {a: 2, b: 3}"),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v)", "map {b: 2}"),
        ("{'a': 'x'}.transformMapEntry(k, v, {v: k})", "map {x: a}"),
        ("['a', 'a'].transformMapEntry(i, v, {v: i})", "insert failed: key a already exists"),
        ("[{'n': 2}, {'n': 1}].sortBy(x, x.n)[0].n", "int 1"),
    ]);
}

#[test]
fn optionals_carry_absence() {
    check(&[
        ("body.?ref.orValue('x')", "string refs/heads/main"),
        ("body.?missing.orValue('x')", "string x"),
        ("body.?nested.deep.?x.orValue(0)", "int 1"),
        ("body.?missing.deep.x.hasValue()", "bool false"),
        ("body[?'ref'].value()", "string refs/heads/main"),
        ("body.items[?5].hasValue()", "bool false"),
        ("optional.none().value()", "optional.none() dereference"),
        ("optional.of(1).or(optional.of(2)).value()", "int 1"),
        ("optional.none().or(optional.of(2)).value()", "int 2"),
        ("optional.of(1).orValue(1 / 0)", "int 1"),
        ("optional.ofNonZeroValue('').hasValue()", "bool false"),
        ("optional.of(2).optMap(x, x * 2).value()", "int 4"),
        ("optional.of(2).optFlatMap(x, optional.none()).hasValue()", "bool false"),
        ("optional.none().optMap(x, 1 / 0).hasValue()", "bool false"),
        ("[?body.?missing, ?body.?count]", "list [3]"),
        ("{?'a': body.?missing, 'b': 1}", "map {b: 1}"),
        ("optional.unwrap([optional.of(1), optional.none()])", "list [1]"),
        ("has(body.?missing.x)", "bool false"),
    ]);
}

#[test]
fn conversions_read_what_go_reads() {
    check(&[
        ("int('42')", "int 42"),
        ("int('x')", "type conversion error from 'string' to 'int'"),
        ("int('9223372036854775808')", "type conversion error from 'string' to 'int'"),
        ("int(1.9)", "int 1"),
        ("int(1e30)", "integer overflow"),
        ("int(18446744073709551615u)", "integer overflow"),
        ("uint(-1)", "unsigned integer overflow"),
        ("uint('7')", "uint 7"),
        ("double('1.5')", "double 1.5"),
        ("string(1.0)", "string 1"),
        ("string(1e21)", "string 1e+21"),
        ("string(1e-7)", "string 1e-07"),
        ("string(b'ab')", "string ab"),
        ("string(b'\\xff')", "invalid UTF-8 in bytes, cannot convert to string"),
        ("string(duration('90s'))", "string 90s"),
        ("string(true)", "string true"),
        ("bool('true')", "bool true"),
        ("bool('yes')", "type conversion error from 'string' to 'bool'"),
        ("bytes('ab') == b'ab'", "bool true"),
        ("type(1) == int && type('a') == string && type([]) == list", "bool true"),
        ("type(duration('1s')) == google.protobuf.Duration", "bool true"),
        ("type(type(1)) == type", "bool true"),
        ("size('äö') + size([1]) + size({'a': 1}) + 'abc'.size()", "int 7"),
        ("size(body.count)", "no such overload"),
    ]);
}

#[test]
fn times_have_parts_and_distances() {
    check(&[
        ("timestamp('2023-05-28T10:20:30.5Z').getFullYear()", "int 2023"),
        ("timestamp('2023-05-28T10:20:30.5Z').getMonth()", "int 4"),
        ("timestamp('2023-05-28T10:20:30.5Z').getDate()", "int 28"),
        ("timestamp('2023-05-28T10:20:30.5Z').getDayOfMonth()", "int 27"),
        ("timestamp('2023-05-28T10:20:30.5Z').getDayOfYear()", "int 147"),
        ("timestamp('2023-05-28T10:20:30.5Z').getDayOfWeek()", "int 0"),
        ("timestamp('2023-05-28T10:20:30.5Z').getHours('+02:30')", "int 12"),
        ("timestamp('2023-05-28T10:20:30.5Z').getHours('-02:30')", "int 7"),
        ("timestamp('2023-05-28T10:20:30.5Z').getHours('America/New_York')", "int 6"),
        (
            "timestamp('2023-05-28T10:20:30.5Z').getHours('Nowhere/At_All')",
            "unknown time zone Nowhere/At_All",
        ),
        ("timestamp('2023-05-28T10:20:30.5Z').getMilliseconds()", "int 500"),
        (
            "timestamp('2023-05-28T10:20:30Z') + duration('1h')",
            "google.protobuf.Timestamp 2023-05-28T11:20:30Z",
        ),
        (
            "timestamp('2023-05-28T10:20:30Z') - timestamp('2023-05-28T10:20:00Z')",
            "google.protobuf.Duration 30s",
        ),
        ("timestamp('9999-12-30T21:59:59Z') + duration('1h')", "timestamp overflow"),
        ("timestamp(0)", "google.protobuf.Timestamp 1970-01-01T00:00:00Z"),
        ("int(timestamp('1970-01-01T00:01:00Z'))", "int 60"),
        ("duration('1h30m').getMinutes()", "int 90"),
        ("duration('1.5s').getMilliseconds()", "int 1500"),
        ("duration(body.ref)", "type conversion error from 'string' to 'google.protobuf.Duration'"),
        ("timestamp(body.ref)", "type conversion error from 'string' to 'google.protobuf.Timestamp'"),
        ("duration('-1.5h')", "google.protobuf.Duration -5400s"),
        ("duration('x')", "ERROR: <input>:1:10: invalid duration argument\n | duration('x')\n | .........^"),
        ("duration('1')", "ERROR: <input>:1:10: invalid duration argument\n | duration('1')\n | .........^"),
        (
            "timestamp('2023-05-28')",
            "ERROR: <input>:1:11: invalid timestamp argument\n | timestamp('2023-05-28')\n | ..........^",
        ),
    ]);
}

#[test]
fn unknown_names_are_refused_with_their_place() {
    check(&[
        ("foo.x", "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo.x\n | ^"),
        ("1 +\n bar", "ERROR: <input>:2:2: undeclared reference to 'bar' (in container '')\n |  bar\n | .^"),
        (
            "body.nothing()",
            "ERROR: <input>:1:13: undeclared reference to 'nothing' (in container '')\n | body.nothing()\n | ............^",
        ),
        (
            "[1].all(x, y > 0)",
            "ERROR: <input>:1:12: undeclared reference to 'y' (in container '')\n | [1].all(x, y > 0)\n | ...........^",
        ),
        (
            "'a'.contains()",
            "ERROR: <input>:1:13: found no matching overload for 'contains' applied to 'string.()'\n | 'a'.contains()\n | ............^",
        ),
        (
            "[1].all(x.y, true)",
            "ERROR: <input>:1:10: argument must be a simple name\n | [1].all(x.y, true)\n | .........^",
        ),
        ("has(body)", "ERROR: <input>:1:5: invalid argument to has() macro\n | has(body)\n | ....^"),
        (
            "a + b",
            "ERROR: <input>:1:1: undeclared reference to 'a' (in container '')\n | a + b\n | ^\nERROR: <input>:1:5: undeclared reference to 'b' (in container '')\n | a + b\n | ....^",
        ),
    ]);
}

#[test]
fn literals_that_can_only_fail_are_refused() {
    check(&[
        (
            "1 + 'a'",
            "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'\n | 1 + 'a'\n | ..^",
        ),
        ("[1, 'a']", "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"),
        (
            "1.all(x, true)",
            "ERROR: <input>:1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)\n | 1.all(x, true)\n | ^",
        ),
        (
            "[].all(i, i, true)",
            "ERROR: <input>:1:11: duplicate variable name: i\n | [].all(i, i, true)\n | ..........^",
        ),
    ]);
}

#[test]
fn a_program_knows_its_source_and_its_variables() {
    let program = Environment::kubernetes().compile("[1].all(b, a > b)", &["a", "b"]).expect("compiles");
    assert_eq!(program.source(), "[1].all(b, a > b)");
    assert!(program.uses("a"));
    assert!(!program.uses("b"), "the macro's own name is another one");
}
