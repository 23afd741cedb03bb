use proptest::prelude::*;
use serde_json::{Value, json};

use super::FieldSet;
use crate::path::{PathElement, Scalar};

#[test]
fn fields_v1_comes_out_as_it_went_in() {
    let text = concat!(
        r#"{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:ports":{".":{},"#,
        r#""k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}},"k:{\"port\":443}":{}},"f:set":{"v:\"a\\u0026b\"":{}},"f:x":{"i:1":{}}}}"#
    );
    let set = FieldSet::from_value(&serde_json::from_str(text).unwrap()).unwrap();
    assert_eq!(set.to_json(), text);
    assert_eq!(
        set.to_string().lines().collect::<Vec<_>>(),
        [
            ".metadata.labels",
            ".metadata.labels.app",
            ".spec.ports",
            ".spec.ports[port=80,protocol=\"TCP\"]",
            ".spec.ports[port=443]",
            ".spec.ports[port=80,protocol=\"TCP\"].port",
            ".spec.set[=\"a&b\"]",
            ".spec.x[1]",
        ]
    );
}

#[test]
fn unknown_element_types_are_skipped_and_broken_ones_refused() {
    let set = FieldSet::from_value(&json!({"f:a": {}, "x:later": {"f:b": {}}})).unwrap();
    assert_eq!(set, FieldSet::of_fields(&[&["a"]]));
    assert!(FieldSet::from_value(&json!({"a": {}})).is_err());
    assert!(FieldSet::from_value(&json!({"fa": {}})).is_err());
    assert!(FieldSet::from_value(&json!({"k:[]": {}})).is_err());
    assert!(FieldSet::from_value(&json!({"f:a": 1})).is_err());
}

#[test]
fn taking_away_a_parent_leaves_its_children_unless_recursive() {
    let set = FieldSet::of_fields(&[&["a"], &["a", "b"], &["a", "b", "c"], &["d"]]);
    let away = FieldSet::of_fields(&[&["a"]]);
    assert_eq!(set.difference(&away), FieldSet::of_fields(&[&["a", "b"], &["a", "b", "c"], &["d"]]));
    assert_eq!(set.recursive_difference(&away), FieldSet::of_fields(&[&["d"]]));
    assert_eq!(set.leaves(), FieldSet::of_fields(&[&["a", "b", "c"], &["d"]]));
}

#[test]
fn numbers_are_told_apart_by_value_only() {
    let element = |value: Value| PathElement::Value(Scalar(value));
    assert_eq!(element(json!(1)), element(json!(1.0)));
    assert!(element(json!(80)) < element(json!(443)));
    assert!(element(json!(9)) < element(json!("1")));
    assert!(element(json!("z")) < element(json!(false)));
}

fn element() -> impl Strategy<Value = PathElement> {
    let name = "[a-c<&\"]{1,2}";
    let scalar = prop_oneof![
        name.prop_map(Value::from),
        (0..3i64).prop_map(Value::from),
        any::<bool>().prop_map(Value::from)
    ];
    prop_oneof![
        name.prop_map(PathElement::Field),
        scalar.clone().prop_map(|value| PathElement::Value(Scalar(value))),
        scalar.prop_map(|value| PathElement::Key(vec![("k".to_owned(), Scalar(value))])),
        (0..3i64).prop_map(PathElement::Index),
    ]
}

fn set() -> impl Strategy<Value = FieldSet> {
    let path = proptest::collection::vec(element(), 1..4);
    proptest::collection::vec(path, 0..8).prop_map(|paths| {
        let mut set = FieldSet::new();
        for path in &paths {
            set.insert(path);
        }
        set
    })
}

proptest! {
    #[test]
    fn any_set_survives_being_written(set in set()) {
        prop_assert_eq!(&FieldSet::from_value(&set.to_value()).unwrap(), &set);
        let text: Value = serde_json::from_str(&set.to_json()).unwrap();
        prop_assert_eq!(&FieldSet::from_value(&text).unwrap(), &set);
    }

    #[test]
    fn sets_obey_the_laws_of_sets(a in set(), b in set()) {
        let (both, either) = (a.intersection(&b), a.union(&b));
        prop_assert_eq!(&either, &b.union(&a));
        prop_assert_eq!(&both, &b.intersection(&a));
        prop_assert_eq!(&a.union(&a), &a);
        prop_assert_eq!(a.difference(&b).union(&both), a.clone());
        prop_assert_eq!(a.difference(&b).intersection(&b), FieldSet::new());
        prop_assert_eq!(a.recursive_difference(&a), FieldSet::new());
        for path in either.paths() {
            prop_assert_eq!(a.contains(&path.0) || b.contains(&path.0), true);
            prop_assert_eq!(both.contains(&path.0), a.contains(&path.0) && b.contains(&path.0));
            prop_assert_eq!(a.difference(&b).contains(&path.0), a.contains(&path.0) && !b.contains(&path.0));
        }
    }
}
