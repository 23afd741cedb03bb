//! Tokens are made as kube-apiserver makes them and accepted only when everything holds.

use std::sync::LazyLock;

use aws_lc_rs::hmac;

use super::*;

const ISSUER: &str = "https://kubernetes.default.svc";

/// Making an RSA key takes a while; the tests share one.
static KEYS: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::load_or_create(KEYS.path(), ISSUER).unwrap());

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn issue(bound_to: &BoundTo, audiences: &[String]) -> Issued {
    let account = ObjectRef::new("builder", "uid-1");
    let request = Request {
        namespace: "team",
        account: &account,
        bound_to,
        audiences,
        seconds: 3600,
        warn_after_seconds: None,
    };
    SIGNER.issue(&request, at(1_000_000)).unwrap()
}

fn part(token: &str, number: usize) -> String {
    let part = token.split('.').nth(number).unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn a_token_reads_as_one_of_kubernetes() {
    let issued = issue(&BoundTo::Account, &[]);
    let header = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, SIGNER.key_id);
    assert_eq!(part(&issued.token, 0), header);
    let jti = issued.credential_id.strip_prefix("JTI=").unwrap();
    assert_eq!(
        part(&issued.token, 1),
        format!(
            "{{\"aud\":[\"{ISSUER}\"],\"exp\":1003600,\"iat\":1000000,\"iss\":\"{ISSUER}\",\"jti\":\"{jti}\",\
             \"kubernetes.io\":{{\"namespace\":\"team\",\"serviceaccount\":{{\"name\":\"builder\",\"uid\":\"uid-1\"}}}},\
             \"nbf\":1000000,\"sub\":\"system:serviceaccount:team:builder\"}}"
        )
    );
    assert_eq!(issued.expires, at(1_003_600));
}

#[test]
fn an_accepted_token_gives_the_account_and_what_it_is_bound_to() {
    let bound_to =
        BoundTo::Pod { pod: ObjectRef::new("web-0", "uid-2"), node: Some(ObjectRef::new("node-a", "uid-3")) };
    let issued = issue(&bound_to, &[]);
    let verified = SIGNER.verify(&issued.token, &[], at(1_000_001)).unwrap();
    assert_eq!(verified.user.name, "system:serviceaccount:team:builder");
    assert_eq!(verified.user.uid, "uid-1");
    assert_eq!(verified.user.groups, ["system:serviceaccounts", "system:serviceaccounts:team"]);
    let extra = |key: &str| verified.user.extra[key][0].as_str();
    assert_eq!(extra(POD_NAME), "web-0");
    assert_eq!(extra(POD_UID), "uid-2");
    assert_eq!(extra(NODE_NAME), "node-a");
    assert_eq!(extra(NODE_UID), "uid-3");
    assert_eq!(extra(CREDENTIAL_ID), issued.credential_id);
    assert_eq!(verified.bound_to, bound_to);
    for bound_to in [BoundTo::Secret(ObjectRef::new("s", "4")), BoundTo::Node(ObjectRef::new("n", "5"))] {
        let token = issue(&bound_to, &[]).token;
        assert_eq!(SIGNER.verify(&token, &[], at(1_000_001)).unwrap().bound_to, bound_to);
    }
}

#[test]
fn times_are_held_to_within_a_minute() {
    let token = issue(&BoundTo::Account, &[]).token;
    let at = |second| SIGNER.verify(&token, &[], at(second)).map(|_| ());
    assert_eq!(at(1_000_000 - 61), Err(TokenError::NotYet));
    assert_eq!(at(1_000_000 - 60), Ok(()));
    assert_eq!(at(1_003_600 + 60), Ok(()));
    assert_eq!(at(1_003_600 + 61), Err(TokenError::Expired));
}

#[test]
fn audiences_must_meet() {
    let audiences = ["vault".to_owned(), "registry".to_owned()];
    let token = issue(&BoundTo::Account, &audiences).token;
    let now = at(1_000_001);
    let verified = SIGNER.verify(&token, &["other".into(), "vault".into()], now).unwrap();
    assert_eq!(verified.audiences, ["vault"]);
    assert_eq!(
        SIGNER.verify(&token, &[], now).unwrap_err().to_string(),
        r#"token audiences ["vault" "registry"] is invalid for the target audiences ["https://kubernetes.default.svc"]"#
    );
}

/// A token with another header over the same claims, signed by whatever the test wants.
fn forged(header: &str, sign: impl Fn(&str) -> Vec<u8>) -> String {
    let token = issue(&BoundTo::Account, &[]).token;
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), token.split('.').nth(1).unwrap());
    let signature = URL_SAFE_NO_PAD.encode(sign(&message));
    format!("{message}.{signature}")
}

#[test]
fn forgeries_are_refused() {
    let refused =
        |token: &str| matches!(SIGNER.verify(token, &[], at(1_000_001)), Err(TokenError::Signature(_)));
    assert!(refused(&forged(r#"{"alg":"none"}"#, |_| Vec::new())), "no algorithm");
    let pem = std::fs::read_to_string(KEYS.path().join(KEY_FILE)).unwrap();
    let public = KeyPair::from_pem(&pem).unwrap().public_key_pem();
    let with_public_key = |message: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes());
        hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
    };
    assert!(refused(&forged(r#"{"alg":"HS256"}"#, with_public_key)), "HMAC with the public key");
    assert!(refused(&forged(r#"{"alg":"RS256"}"#, |_| vec![7; 256])), "a made-up signature");
    let token = issue(&BoundTo::Account, &[]).token;
    let (head, signature) = token.rsplit_once('.').unwrap();
    let claims = part(&token, 1).replace("builder", "admin99");
    let changed =
        format!("{}.{}.{signature}", head.split('.').next().unwrap(), URL_SAFE_NO_PAD.encode(claims));
    assert!(refused(&changed), "other claims under a true signature");
}

#[test]
fn another_key_of_the_same_issuer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = Signer::load_or_create(folder.path(), ISSUER).unwrap();
    let token = issue(&BoundTo::Account, &[]).token;
    assert_eq!(other.verify(&token, &[], at(1_000_001)), Err(TokenError::Signature("no keys found".into())));
}

#[test]
fn what_is_no_token_of_ours_is_left_to_others() {
    let foreign = format!("e30.{}.e30", URL_SAFE_NO_PAD.encode(r#"{"iss":"https://elsewhere"}"#));
    for token in ["", "secret", "a.b", "a.b.c", "a.b.c.d", &foreign] {
        assert_eq!(SIGNER.verify(token, &[], at(0)), Err(TokenError::Foreign), "{token}");
    }
}

#[test]
fn the_key_is_kept_and_published() {
    let again = Signer::load_or_create(KEYS.path(), ISSUER).unwrap();
    assert_eq!(SIGNER.jwks(), again.jwks());
    let key = &again.jwks()["keys"][0];
    assert_eq!(
        (&key["kty"], &key["e"], &key["kid"]),
        (&"RSA".into(), &"AQAB".into(), &again.key_id.as_str().into())
    );
    assert_eq!(URL_SAFE_NO_PAD.decode(key["n"].as_str().unwrap()).unwrap().len(), 256);
    let document = again.openid_configuration("https://localhost/openid/v1/jwks");
    assert_eq!(document["issuer"], ISSUER);
    assert_eq!(document["jwks_uri"], "https://localhost/openid/v1/jwks");
}

/// A public key of kube-apiserver 1.35.4 and the id it gave it in its tokens and key set.
#[test]
fn key_ids_are_those_of_kubernetes() {
    let key = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2eakX6FSvoU0Q89nQXyHdt91U/5JzaKOZAsK\
        a6iMVGlkeQPLSIlSMZi3W7caFmEw3UsM9wZQp6o4JMyI3VWLiq4D3NRd4lIIGWBny88SoexuVrD4lojH\
        Scp6adw3IFBptJPvQ/2Dis6xoLatTeJVQsSOhctSZertZcKxT1VgufsveD/uRzJgP7bQTDxe5n7ZRXu5\
        fjjhHR7ZAnwr8ge3VUPkoy5Fkrp7jPa0hLa5YWNPhYFyq81Oe7r1o7PlyBeEngdfOI1hlMsOWSsEUipd\
        /AwTQSgT5e3bXjEC/HZyEKQRC2xtDhxcPoGs3I9pZt0Kia+hsg4dhpzDvhk1ofRwAwIDAQAB";
    let key = base64::engine::general_purpose::STANDARD.decode(key).unwrap();
    assert_eq!(key_id(&key), "dEhHVaZqySbRxMV5moDfReONqh2f2uYZ6iyibzotvIM");
}

#[test]
fn a_damaged_key_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(KEY_FILE), "nonsense").unwrap();
    let text = Signer::load_or_create(folder.path(), ISSUER).unwrap_err().to_string();
    assert!(text.contains(KEY_FILE) && text.contains("restore it"), "{text}");
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let issued = issue(&BoundTo::Account, &[]);
    let signature = issued.token.rsplit('.').next().unwrap();
    assert!(!format!("{issued:?} {:?}", *SIGNER).contains(signature));
}
