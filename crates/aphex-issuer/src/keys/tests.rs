use super::*;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

async fn keys(algorithm: Algorithm) -> (Keys, Storage, aphex_runtime::clock::Hand) {
    let (clock, hand) = Clock::manual(Timestamp::from_second(1_800_000_000).unwrap());
    let storage = Storage::memory().unwrap();
    (Keys::load(storage.clone(), algorithm, clock).await.unwrap(), storage, hand)
}

fn ids(keys: &Keys) -> Vec<String> {
    let set = keys.jwks();
    let ids = set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned());
    ids.collect()
}

#[tokio::test]
async fn each_algorithm_verifies_what_it_signed_and_nothing_that_was_changed() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256] {
        let (keys, ..) = keys(algorithm).await;
        let token = keys.sign("JWT", &json!({ "sub": "ada" })).unwrap();
        assert_eq!(keys.verify::<Value>("JWT", &token).unwrap()["sub"], "ada");
        assert!(keys.verify::<Value>("at+jwt", &token).is_none());
        let parts: Vec<&str> = token.split('.').collect();
        let other = keys.sign("JWT", &json!({ "sub": "eve" })).unwrap();
        let other: Vec<&str> = other.split('.').collect();
        let mixed = [parts[0], other[1], parts[2]].join(".");
        assert!(keys.verify::<Value>("JWT", &mixed).is_none(), "{algorithm:?}");
    }
}

#[tokio::test]
async fn unsigned_tokens_and_hmacs_with_the_public_key_are_refused() {
    let (keys, ..) = keys(Algorithm::RS256).await;
    let key = ids(&keys).remove(0);
    let none = |signature: &str| {
        let header = json!({ "alg": "none", "typ": "JWT", "kid": key }).to_string();
        let encode =
            |text: &str| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text);
        format!("{}.{}.{signature}", encode(&header), encode("{\"sub\":\"eve\"}"))
    };
    assert!(keys.verify::<Value>("JWT", &none("")).is_none());
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid = Some(key);
    let modulus = keys.jwks()["keys"][0]["n"].as_str().unwrap().to_owned();
    let secret = jsonwebtoken::EncodingKey::from_secret(modulus.as_bytes());
    let token = jsonwebtoken::encode(&header, &json!({ "sub": "eve" }), &secret).unwrap();
    assert!(keys.verify::<Value>("JWT", &token).is_none());
}

#[tokio::test]
async fn an_old_key_stays_published_until_what_it_signed_has_expired() {
    let (keys, storage, hand) = keys(Algorithm::ES256).await;
    let first = ids(&keys);
    let token = keys.sign("JWT", &json!({})).unwrap();
    assert!(!keys.tend(DAY, HOUR).await.unwrap());
    hand.advance(DAY);
    assert!(keys.tend(DAY, HOUR).await.unwrap());
    let both = ids(&keys);
    assert_eq!((both.len(), &both[1]), (2, &first[0]));
    assert!(keys.verify::<Value>("JWT", &token).is_some());
    hand.advance(HOUR);
    keys.tend(DAY, HOUR).await.unwrap();
    assert_eq!(ids(&keys), both, "within the margin");
    hand.advance(MARGIN);
    keys.tend(DAY, HOUR).await.unwrap();
    assert_eq!(ids(&keys), both[..1]);
    assert!(keys.verify::<Value>("JWT", &token).is_none());
    let clock = Clock::manual(Timestamp::from_second(1_800_200_000).unwrap()).0;
    let again = Keys::load(storage, Algorithm::ES256, clock).await.unwrap();
    assert_eq!(ids(&again), both[..1], "the same after a restart");
}

#[tokio::test]
async fn another_algorithm_takes_effect_at_start_and_old_tokens_still_verify() {
    let (keys, storage, _hand) = keys(Algorithm::RS256).await;
    let token = keys.sign("JWT", &json!({})).unwrap();
    let again = Keys::load(storage, Algorithm::ES256, Clock::system()).await.unwrap();
    assert_eq!((again.algorithm(), ids(&again).len()), (Algorithm::ES256, 2));
    assert!(again.verify::<Value>("JWT", &token).is_some());
}
