//! JSON web tokens and key sets as the API server's authenticator reads them.
#![no_main]

use std::sync::LazyLock;

use aphex_auth::oidc::{Configuration, Issuer, KeySet, Token};
use aphex_fuzz::texts;
use jiff::Timestamp;

static ISSUER: LazyLock<Issuer> = LazyLock::new(|| {
    let configuration = Configuration::of_platform("https://dex.home.local", &["kubernetes"]);
    configuration.issuers(&[]).expect("a good configuration").remove(0)
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some([token, keys]) = texts(data) else { return };
    let keys = KeySet::parse(keys.as_bytes());
    let Some(token) = Token::parse(token) else { return };
    let _ =
        (token.issuer(), token.audiences(), token.time("exp"), token.text("email"), token.texts("groups"));
    if let Ok(keys) = keys {
        assert!(ISSUER.accept(&token, &keys, Timestamp::UNIX_EPOCH).is_err(), "nobody has signed anything");
    }
});
