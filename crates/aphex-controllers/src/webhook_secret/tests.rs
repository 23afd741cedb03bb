use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn request(value: &str, seconds: i64) -> Request {
    Request { value: value.into(), grace: SignedDuration::from_secs(seconds) }
}

#[test]
fn secrets_are_long_and_each_is_new() {
    let (one, two) = (generate().unwrap(), generate().unwrap());
    assert_ne!(one, two);
    let hex = one.strip_prefix("whsec_").unwrap();
    assert!(hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()));
}

#[test]
fn an_empty_or_missing_key_is_no_secret() {
    let with = |value: &str| Kept::new(value).into_secret(Secret::default());
    assert_eq!(read(&with("whsec_x")).as_deref(), Some("whsec_x"));
    assert_eq!(read(&with("")), None);
    assert_eq!(read(&Secret::default()), None);
}

#[test]
fn what_is_kept_is_read_back_and_never_shown() {
    let previous = Some(("whsec_old".to_owned(), at(100)));
    let kept = Kept { previous, request: Some("may".into()), ..Kept::new("whsec_new") };
    let secret = kept.clone().into_secret(Secret::default());
    assert_eq!(Kept::read(&secret), Some(kept.clone()));
    assert!(!format!("{kept:?}").contains("whsec_"));
    let keys: Vec<&String> = secret.data.as_ref().unwrap().keys().collect();
    assert_eq!(keys, ["secret", "secret.previous", "secret.previous-until"]);
}

#[test]
fn a_request_is_carried_out_once() {
    let (first, turned) = turn(None, Some(&request("a", 60)), at(1)).unwrap();
    // There is nothing before the first.
    assert_eq!((turned, &first.previous, first.request.as_deref()), (Turn::Same, &None, Some("a")));
    let (same, turned) = turn(Some(first.clone()), Some(&request("a", 60)), at(2)).unwrap();
    assert_eq!((turned, &same), (Turn::Same, &first));
    let (second, turned) = turn(Some(same), Some(&request("b", 60)), at(3)).unwrap();
    assert_eq!(turned, Turn::Rotated);
    assert_ne!(second.current, first.current);
    assert_eq!(second.previous, Some((first.current, at(63))));
    // Taking the annotation away asks for nothing.
    assert_eq!(turn(Some(second.clone()), None, at(4)).unwrap(), (second, Turn::Same));
}

#[test]
fn a_predecessor_goes_when_its_time_is_over() {
    let previous = Some(("whsec_old".to_owned(), at(100)));
    let kept = Kept { previous, ..Kept::new("whsec_new") };
    assert!(turn(Some(kept.clone()), None, at(99)).unwrap().0.previous.is_some());
    assert_eq!(turn(Some(kept.clone()), None, at(100)).unwrap().0, Kept::new("whsec_new"));
    // Without grace it goes at once.
    let (kept, _) = turn(Some(kept), Some(&request("now", 0)), at(50)).unwrap();
    assert_eq!(kept.previous, None);
}

#[test]
fn a_request_has_a_grace_that_is_a_duration() {
    let object = |annotations: &[(&str, &str)]| Secret {
        metadata: kube::core::ObjectMeta {
            annotations: Some(annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            ..kube::core::ObjectMeta::default()
        },
        ..Secret::default()
    };
    let day = SignedDuration::from_hours(24);
    let rotate = (labels::ROTATE_WEBHOOK_SECRET, "x");
    let of = |annotations: &[(&str, &str)]| Request::of(&object(annotations), day);
    assert_eq!(of(&[]).unwrap(), None);
    assert_eq!(of(&[(labels::ROTATE_WEBHOOK_SECRET, "")]).unwrap(), None);
    assert_eq!(of(&[rotate]).unwrap(), Some(Request { value: "x".into(), grace: day }));
    let short = of(&[rotate, (labels::ROTATION_GRACE, "90m")]).unwrap().unwrap();
    assert_eq!(short.grace, SignedDuration::from_mins(90));
    for none in ["0", "0s"] {
        let request = of(&[rotate, (labels::ROTATION_GRACE, none)]).unwrap().unwrap();
        assert_eq!(request.grace, SignedDuration::ZERO, "{none}");
    }
    for bad in ["soon", "-1h", "721h", ""] {
        let message = of(&[rotate, (labels::ROTATION_GRACE, bad)]).unwrap_err().message;
        assert!(message.contains("between 0 and 720h"), "{bad}: {message}");
    }
}
