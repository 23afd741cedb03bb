use super::*;

fn list(query: &str) -> Result<ListOptions, Status> {
    ListOptions::parse(&Query::parse(Some(query)), false)
}

#[test]
fn query_strings_are_decoded() {
    let query = Query::parse(Some("labelSelector=a%3Db%2Cc&x=1+2&empty="));
    assert_eq!(query.get("labelSelector"), Some("a=b,c"));
    assert_eq!(query.get("x"), Some("1 2"));
    assert_eq!(query.get("empty"), None);
}

#[test]
fn list_options_are_checked_as_kubernetes_checks_them() {
    assert_eq!(list("limit=x").unwrap_err().message, "strconv.ParseInt: parsing \"x\": invalid syntax");
    assert_eq!(
        list("resourceVersionMatch=Exact").unwrap_err().message,
        "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is \
         forbidden unless resourceVersion is provided"
    );
    assert!(list("watch=1&sendInitialEvents=true").is_err());
    assert!(list("watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan").is_ok());
}

#[test]
fn write_options_are_checked_as_kubernetes_checks_them() {
    let parse =
        |query| WriteOptions::parse(&Query::parse(Some(query)), "CreateOptions", "kubectl/v1 (linux)");
    assert_eq!(
        parse("dryRun=Foo").unwrap_err().message,
        "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Foo\"]: supported values: \"All\""
    );
    assert_eq!(parse("").unwrap().field_manager, "kubectl");
    assert!(parse("dryRun=All").unwrap().dry_run);
    assert_eq!(parse("fieldValidation=Strict").unwrap().field_validation, FieldValidation::Strict);
}

#[test]
fn a_body_replaces_the_delete_options_of_the_query() {
    let query = Query::parse(Some("propagationPolicy=Orphan&gracePeriodSeconds=3"));
    assert_eq!(DeleteOptions::parse(&query, None).unwrap().propagation, Some(Propagation::Orphan));
    let body = serde_json::json!({"propagationPolicy": "Foreground", "preconditions": {"uid": "u"}});
    let options = DeleteOptions::parse(&query, Some(&body)).unwrap();
    assert_eq!(options.propagation, Some(Propagation::Foreground));
    assert_eq!((options.grace_period, options.uid.as_deref()), (None, Some("u")));
}
