use super::*;

fn document(body: &Value) -> Document {
    let headers =
        [("X-Github-Event".to_owned(), "push".to_owned()), ("One".to_owned(), "one,two".to_owned())];
    let extensions = json!({ "branch": "main", "nested": { "n": 1 } });
    Document::new(body, &headers.into(), extensions.as_object().unwrap(), "1234")
}

fn resolved(value: &str, body: &Value, default: Option<&str>) -> Result<String, BindingError> {
    let declared =
        TemplateParam { name: "p".into(), default: default.map(str::to_owned), ..TemplateParam::default() };
    let params = [Param { name: "p".into(), value: value.into() }];
    resolve(&params, &document(body), &[declared]).map(|mut all| all.remove("p").unwrap())
}

/// The rows are the facts of pkg/template/{event,jsonpath}_test.go.
#[test]
fn expressions_become_what_tekton_makes_of_them() {
    let body = json!({
        "a": "v\r\n烈", "empty": "", "number": 42, "float": 1.0, "half": 0.5, "null": null, "bool": true,
        "quoted": r#"say "hi""#, "html": "<a&b>", "object": { "b": [1], "a": "x" }, "list": ["", null, "thing"],
        "dollar": "$(tt.params.p)",
    });
    let cases = [
        ("static", "static"),
        ("$(body.a)", "v\\r\\n烈"),
        ("$(body.empty)", ""),
        ("$(body.number)", "42"),
        ("$(body.float)", "1"),
        ("$(body.half)", "0.5"),
        ("$(body.null)", "null"),
        ("$(body.bool)", "true"),
        ("$(body.quoted)", "say \\\"hi\\\""),
        ("$(body.html)", "\\u003ca\\u0026b\\u003e"),
        ("$(body.object)", r#"{"a":"x","b":[1]}"#),
        ("$(body.list[:2])", r#"["",null]"#),
        ("$(body.list[5:5])", "[]"),
        ("$(header.x-GITHUB-event)", "push"),
        ("$(header.one)", "one,two"),
        ("$(header)", r#"{"One":"one,two","X-Github-Event":"push"}"#),
        ("$(extensions.branch)-$(extensions.nested)", r#"main-{"n":1}"#),
        ("$(context.eventID)", "1234"),
        ("pre-$(body.number)-$(body.number)", "pre-42-42"),
        ("$(body.number", "$(body.number"),
        ("$($(body.number))", "$(42)"),
    ];
    for (value, expected) in cases {
        assert_eq!(resolved(value, &body, None).as_deref(), Ok(expected), "{value}");
    }
}

#[test]
fn a_missing_value_takes_the_default_or_is_an_error() {
    assert_eq!(resolved("$(body.missing)", &json!({}), Some("fallback")).as_deref(), Ok("fallback"));
    assert_eq!(resolved("$(header.missing)", &json!({}), Some("")).as_deref(), Ok(""));
    let error = resolved("$(body.missing)", &json!({}), None).unwrap_err();
    assert_eq!(
        aphex_runtime::errors::chain(&error),
        "parameter p cannot be read from $(body.missing): missing is not found"
    );
    assert_eq!(resolved("$()", &json!({}), None).as_deref(), Ok(""));
}

#[test]
fn a_default_stands_when_no_binding_names_the_parameter() {
    let declared = [
        TemplateParam { name: "kept".into(), default: Some("default".into()), ..TemplateParam::default() },
        TemplateParam { name: "required".into(), ..TemplateParam::default() },
    ];
    let all = resolve(&[], &document(&json!({})), &declared).unwrap();
    assert_eq!(all, [("kept".to_owned(), "default".to_owned())].into());
}

struct Known;

impl Bindings for Known {
    fn binding(&self, name: &str) -> Option<Vec<Param>> {
        (name == "here").then(|| vec![Param { name: "from".into(), value: "binding".into() }])
    }
    fn cluster_binding(&self, name: &str) -> Option<Vec<Param>> {
        (name == "everywhere").then(|| vec![Param { name: "from".into(), value: "cluster".into() }])
    }
}

fn reference(name: &str, kind: &str) -> Binding {
    Binding { reference: name.into(), kind: kind.into(), ..Binding::default() }
}

#[test]
fn references_are_followed_by_kind() {
    let value = |bindings: &[Binding]| collect(bindings, &Known).map(|params| params[0].value.clone());
    assert_eq!(value(&[reference("here", "")]).as_deref(), Ok("binding"));
    assert_eq!(value(&[reference("everywhere", "ClusterTriggerBinding")]).as_deref(), Ok("cluster"));
    let missing = BindingError::Missing { kind: "TriggerBinding", name: "everywhere".into() };
    assert_eq!(value(&[reference("everywhere", "TriggerBinding")]), Err(missing));
    assert_eq!(value(&[Binding { name: "alone".into(), ..Binding::default() }]), Err(BindingError::Neither));
    let twice = [
        reference("here", ""),
        Binding { name: "from".into(), value: Some(String::new()), ..Binding::default() },
    ];
    assert_eq!(value(&twice), Err(BindingError::Duplicate("from".into())));
}

#[test]
fn header_names_take_gos_canonical_form() {
    for (written, canonical) in [
        ("x-github-event", "X-Github-Event"),
        ("ONE-TWO", "One-Two"),
        ("one", "One"),
        ("a b", "a b"),
        ("*", "*"),
    ] {
        assert_eq!(canonical_header(written), canonical);
    }
}

/// The right side is what Go prints (encoding/json into `any` and back): long numbers are read exactly.
#[test]
fn long_numbers_are_what_go_reads() {
    for (text, expected) in [
        ("4444444444444584444444448444", "4.4444444444445844e+27"),
        ("4444444444458444444444444444", "4.4444444444584443e+27"),
        ("0.1234567890123456789012345", "0.12345678901234568"),
        ("123456789012345678901234567890", "1.2345678901234568e+29"),
    ] {
        let read: Value = serde_json::from_str(text).unwrap();
        assert_eq!(go_json(&read), expected, "{text}");
    }
}
