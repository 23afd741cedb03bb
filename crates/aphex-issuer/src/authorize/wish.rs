//! What a client asks for, checked in the order in which it may be trusted.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;

use super::Back;
use crate::clients::Client;
use crate::connector::Manner;
use crate::issuer::Issuer;
use crate::oauth::{Code, Error, Parameters, Scopes};
use crate::sessions::Login;

/// The length of a SHA-256 in base64url (RFC 7636 section 4.2).
const CHALLENGE: usize = 43;
/// Longer values of `state` and `nonce` are no one-time values; they would only be carried around.
const MOST_CARRIED: usize = 4096;

/// A client's wish, checked.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) client: Arc<Client>,
    pub(super) back: Back,
    pub(super) scopes: Scopes,
    pub(super) nonce: Option<String>,
    pub(super) challenge: Option<String>,
    /// No page may be shown (`prompt=none`).
    pub(super) silent: bool,
    /// The person has to log in again (`prompt=login`, `select_account`).
    again: bool,
    max_age: Option<i64>,
    pub(super) hint: Option<String>,
}

/// Why there is no wish.
pub(super) enum Problem {
    /// It is not known whom to tell: a person reads it.
    Page(Cow<'static, str>),
    /// The client reads it.
    Client(Back, Error),
}

impl Wish {
    /// Reads it. Until client and redirect URI are known to belong together, nothing is sent anywhere (RFC 6749
    /// section 4.1.2.1).
    pub(super) fn read(issuer: &Issuer, parameters: &Parameters) -> Result<Self, Problem> {
        let page = |text| Problem::Page(Cow::Borrowed(text));
        let id = parameters.get("client_id").ok_or_else(|| page("The application did not say who it is."))?;
        let client =
            issuer.client(id).map_err(|error| Problem::Page(Cow::Owned(error.tell().1.to_owned())))?;
        let client = client.ok_or_else(|| page("The application is not known here."))?;
        let uri = parameters
            .get("redirect_uri")
            .ok_or_else(|| page("The application did not say where to go back to."))?;
        if !client.allows_redirect(uri) {
            return Err(page("The application wants to go back to a place that is not among its own."));
        }
        let back = Back {
            uri: uri.to_owned(),
            state: parameters.get("state").map(str::to_owned),
            issuer: client.issuer.clone(),
        };
        Self::details(issuer, client, back.clone(), parameters).map_err(|error| Problem::Client(back, error))
    }

    fn details(
        issuer: &Issuer,
        client: Arc<Client>,
        back: Back,
        parameters: &Parameters,
    ) -> Result<Self, Error> {
        let refuse = |code, text: &'static str| Err(Error::refused(code, text));
        for (name, code) in [
            ("request", Code::RequestNotSupported),
            ("request_uri", Code::RequestUriNotSupported),
            ("registration", Code::RegistrationNotSupported),
        ] {
            if parameters.get(name).is_some() {
                return refuse(code, "Parameters must be in the query.");
            }
        }
        if parameters.required("response_type")? != "code" {
            return refuse(Code::UnsupportedResponseType, "Only response_type=code is supported.");
        }
        if parameters.get("response_mode").is_some_and(|mode| mode != "query") {
            return refuse(Code::InvalidRequest, "Only response_mode=query is supported.");
        }
        let carried = |name| parameters.get(name).is_some_and(|value: &str| value.len() > MOST_CARRIED);
        if carried("state") || carried("nonce") {
            return refuse(Code::InvalidRequest, "state and nonce may have 4096 bytes at most.");
        }
        let scopes = Scopes::parse(parameters.get("scope").unwrap_or_default())?;
        issuer.audiences(&client, &scopes)?;
        let challenge = challenge(&client, parameters)?;
        let (silent, mut again) = prompt(parameters.get("prompt").unwrap_or_default())?;
        let max_age = match parameters.get("max_age").map(str::parse::<i64>) {
            None => None,
            Some(Ok(age)) if age >= 0 => Some(age),
            Some(_) => return refuse(Code::InvalidRequest, "max_age must be a number of seconds."),
        };
        // Within the same second, too (OpenID Connect Core section 15.1).
        again = again || max_age == Some(0);
        let text = |name| parameters.get(name).map(str::to_owned);
        Ok(Self {
            client,
            back,
            scopes,
            nonce: text("nonce"),
            challenge,
            silent,
            again,
            max_age,
            hint: text("login_hint"),
        })
    }

    /// What a login at another provider is told of it.
    pub(super) fn manner(&self) -> Manner<'_> {
        // How long ago somebody logged in there is not known here: with `max_age` they log in anew.
        Manner { again: self.again || self.max_age.is_some(), hint: self.hint.as_deref() }
    }

    /// Whether an earlier login will do.
    pub(super) fn accepts(&self, login: &Login, now: Timestamp) -> bool {
        let age = now.as_second().saturating_sub(login.authenticated.as_second());
        !self.again && self.max_age.is_none_or(|most| age <= most)
    }
}

/// The PKCE challenge: S256 alone, and a must for clients that have no secret (RFC 9700 section 2.1.1).
fn challenge(client: &Client, parameters: &Parameters) -> Result<Option<String>, Error> {
    let refuse = |text: &'static str| Err(Error::refused(Code::InvalidRequest, text));
    let method = parameters.get("code_challenge_method");
    match parameters.get("code_challenge") {
        None if client.is_public() => refuse("A public client must send a code_challenge (PKCE)."),
        None if method.is_some() => refuse("A code_challenge_method needs a code_challenge."),
        None => Ok(None),
        // Without a method, plain would be meant (RFC 7636 section 4.3).
        Some(_) if method != Some("S256") => refuse("Only code_challenge_method=S256 is supported."),
        Some(challenge) if challenge.len() == CHALLENGE && challenge.bytes().all(is_base64url) => {
            Ok(Some(challenge.to_owned()))
        }
        Some(_) => refuse("The code_challenge is no SHA-256 in base64url."),
    }
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Whether no page may be shown, and whether the person has to log in again.
fn prompt(text: &str) -> Result<(bool, bool), Error> {
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    // Consent is given by whoever configures a client: every client is the platform's own.
    let known = |word: &&str| ["none", "login", "consent", "select_account"].contains(word);
    if !words.iter().all(known) {
        return Err(Error::refused(Code::InvalidRequest, "The prompt is not known."));
    }
    let silent = words.contains(&"none");
    if silent && words.len() > 1 {
        return Err(Error::refused(Code::InvalidRequest, "prompt=none excludes every other prompt."));
    }
    Ok((silent, words.contains(&"login") || words.contains(&"select_account")))
}
