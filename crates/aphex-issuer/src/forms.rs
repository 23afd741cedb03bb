//! Tokens in forms that prove that the form came from this issuer to this browser.
//!
//! A random cookie and a hidden field must belong together: the field is a MAC over the cookie and the session. A page of
//! others can neither read the cookie nor compute the field. The key lives as long as the process; a form that was
//! open across a restart is shown once more.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret as _;

use crate::issuer::Issuer;
use crate::oauth::Parameters;
use crate::secrets;
use crate::sessions;
use crate::web::Request;

/// The hidden field.
pub(crate) const FIELD: &str = "form";

/// Makes and checks the tokens.
#[derive(Debug)]
pub(crate) struct Forms(Key);

/// What a page needs for its form.
pub(crate) struct Token {
    /// Value of the hidden field.
    pub(crate) field: String,
    /// A cookie to set with the page.
    pub(crate) cookie: Option<String>,
}

impl Forms {
    pub(crate) fn new() -> Result<Self, Unspecified> {
        Key::generate(HMAC_SHA256, &SystemRandom::new()).map(Self)
    }

    /// A token for a page that answers this request.
    pub(crate) fn token(&self, issuer: &Issuer, request: &Request) -> Token {
        let name = cookie_name(issuer);
        let known = request.cookie(&name).filter(|value| value.len() == 43);
        let fresh = secrets::random();
        let value = known.unwrap_or_else(|| fresh.expose_secret());
        let field = URL_SAFE_NO_PAD.encode(sign(&self.0, &message(issuer, request, value)));
        let cookie = known.is_none().then(|| sessions::cookie(issuer, &name, value, None));
        Token { field, cookie }
    }

    /// Whether a form came from a page of ours in the same browser.
    pub(crate) fn check(&self, issuer: &Issuer, request: &Request, form: &Parameters) -> bool {
        let (Some(value), Some(field)) = (request.cookie(&cookie_name(issuer)), form.get(FIELD)) else {
            return false;
        };
        let Ok(tag) = URL_SAFE_NO_PAD.decode(field) else { return false };
        verify(&self.0, &message(issuer, request, value), &tag).is_ok()
    }
}

fn cookie_name(issuer: &Issuer) -> String {
    sessions::cookie_name(issuer, "form")
}

/// Both values are cookies, which hold no semicolon.
fn message(issuer: &Issuer, request: &Request, value: &str) -> Vec<u8> {
    let session = request.cookie(&sessions::cookie_name(issuer, "session")).unwrap_or_default();
    format!("{value};{session}").into_bytes()
}
