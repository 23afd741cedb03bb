//! Logins for machines without a browser (RFC 8628): the device shows a short code, a person types it in elsewhere.
//!
//! ```text
//! device ── /device/code ──► device code + user code ──► polls /token
//! person ── /device, logs in, types the user code, says yes or no
//! ```

mod page;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aphex_runtime::proxies::network;
use http::StatusCode;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) use self::page::{PATH, decide, show};
use crate::issuer::Issuer;
use crate::oauth::{Code, Error, Scopes};
use crate::secrets;
use crate::settings::Lifetimes;
use crate::storage::{Expires, Record};
use crate::token;
use crate::web::{self, Request, Response};

/// Between two polls of a device.
const INTERVAL: Duration = Duration::from_secs(5);
/// Letters that are not taken for each other and make no words (RFC 8628 section 6.1).
const LETTERS: [u8; 20] = *b"BCDFGHJKLMNPQRSTVWXZ";
/// Eight of them: 34 bits, guessed at under the throttle of sources, for ten minutes.
const LENGTH: usize = 8;
/// Devices that wait at once; anybody may begin one.
const MOST_WAITING: usize = 1000;
/// Of these from one source: a stranger leaves room for others.
const MOST_OF_ONE: usize = 50;

/// A device's wish, kept under the fingerprint of its device code.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DeviceGrant {
    pub(crate) client_id: String,
    pub(crate) issuer: String,
    pub(crate) scopes: Scopes,
    pub(crate) expires: Timestamp,
    pub(crate) answer: Answer,
}

/// What the person said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Pending,
    Denied,
    Allowed { uid: String, epoch: u64, authenticated: Timestamp },
}

/// Which device a user code is for; kept under the code's fingerprint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UserCode {
    device: String,
    expires: Timestamp,
    /// Who asked for it, as the throttle sees them; unknown of those from before this was kept.
    #[serde(default)]
    source: Option<IpAddr>,
}

impl Record for DeviceGrant {
    const KIND: &'static str = "device";
}

impl Expires for DeviceGrant {
    fn expires(&self) -> Timestamp {
        self.expires
    }
}

impl Record for UserCode {
    const KIND: &'static str = "user-code";
}

impl Expires for UserCode {
    fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// Answers `POST /device/code`.
pub(crate) async fn begin(issuer: &Issuer, request: &Request) -> Response {
    match codes(issuer, request).await {
        Ok(value) => web::private_json(StatusCode::OK, &value),
        Err(error) => error.into_response(),
    }
}

async fn codes(issuer: &Issuer, request: &Request) -> Result<Value, Error> {
    let form = token::form(request)?;
    let client = token::authenticate(issuer, request, &form)?;
    let scopes = Scopes::parse(form.get("scope").unwrap_or_default())?;
    issuer.audiences(&client, &scopes)?;
    let waiting = issuer.storage.list::<UserCode>().map_err(Error::failed("count waiting devices"))?;
    let source = Some(network(request.source));
    let of_one = waiting.iter().filter(|kept| kept.value.source == source).count();
    if waiting.len() >= MOST_WAITING || of_one >= MOST_OF_ONE {
        let text = "Too many devices are waiting for their users; try again in a few minutes.";
        return Err(Error::refused(Code::TooManyRequests, text));
    }
    let expires = issuer.clock.now().saturating_add(Lifetimes::DEVICE).unwrap_or(Timestamp::MAX);
    let (device_code, user_code) = (secrets::random(), random_user_code());
    let device = secrets::fingerprint(device_code.expose_secret());
    let record = DeviceGrant {
        client_id: client.id.clone(),
        issuer: client.issuer.clone(),
        scopes,
        expires,
        answer: Answer::Pending,
    };
    let keep = Error::failed("keep a device code");
    let mut transaction = issuer.storage.transaction();
    transaction.create(&device, &record).map_err(Error::failed("keep a device code"))?;
    let name = user_code_id(&user_code).unwrap_or_default();
    transaction
        .create(&name, &UserCode { device, expires, source })
        .map_err(Error::failed("keep a device code"))?;
    transaction.commit().await.map_err(keep)?;
    let page = issuer.settings.url.join(PATH);
    Ok(json!({
        "device_code": device_code.expose_secret(),
        "user_code": user_code,
        // Not beside Google's older `verification_url`, as Dex has it: clients that know both names refuse two.
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={user_code}"),
        "expires_in": Lifetimes::DEVICE.as_secs(),
        "interval": INTERVAL.as_secs(),
    }))
}

/// Such as `BDWP-HQLK`.
fn random_user_code() -> String {
    use rand::seq::IndexedRandom as _;
    let mut random = rand::rng();
    let mut code: String =
        (0..LENGTH).filter_map(|_| LETTERS.choose(&mut random).map(|letter| char::from(*letter))).collect();
    code.insert(LENGTH / 2, '-');
    code
}

/// The id of a user code, however it was typed; none for what cannot be one.
fn user_code_id(typed: &str) -> Option<String> {
    let letters: String =
        typed.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_uppercase()).collect();
    let plausible = letters.len() == LENGTH && letters.bytes().all(|letter| LETTERS.contains(&letter));
    plausible.then(|| secrets::fingerprint(&letters))
}

/// When devices asked last, and how fast they may ask: forgotten at restart.
#[derive(Debug, Default)]
pub(crate) struct Polls(Mutex<HashMap<String, Poll>>);

#[derive(Debug)]
struct Poll {
    last: Timestamp,
    interval: Duration,
    expires: Timestamp,
}

/// Whether a device keeps to its interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Good,
    TooFast,
}

impl Polls {
    /// Notes that a device asks; one that asks too fast has to wait five seconds longer from then on (RFC 8628
    /// section 3.5).
    pub(crate) fn ask(&self, device: &str, now: Timestamp, expires: Timestamp) -> Pace {
        let mut polls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(poll) = polls.get_mut(device) else {
            polls.insert(device.to_owned(), Poll { last: now, interval: INTERVAL, expires });
            return Pace::Good;
        };
        let good = poll.last.saturating_add(poll.interval).is_ok_and(|next| next <= now);
        poll.last = now;
        if good {
            return Pace::Good;
        }
        poll.interval += INTERVAL;
        Pace::TooFast
    }

    /// Drops what is known of devices whose codes have expired.
    pub(crate) fn forget_before(&self, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, poll| poll.expires > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_code_is_read_however_it_is_typed() {
        let code = random_user_code();
        assert_eq!((code.len(), code.as_bytes()[4]), (9, b'-'));
        let id = user_code_id(&code).unwrap();
        for typed in [code.to_lowercase(), code.replace('-', " "), format!(" {} ", code.replace('-', ""))] {
            assert_eq!(user_code_id(&typed).as_deref(), Some(id.as_str()), "{typed}");
        }
        for wrong in ["", "BCDF-GHJ", "BCDF-GHJKL", "AAAA-AAAA", "1234-5678"] {
            assert_eq!(user_code_id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_device_that_asks_too_fast_is_slowed_down() {
        let (polls, at) = (Polls::default(), |second| Timestamp::from_second(second).unwrap());
        let paces: Vec<Pace> = [0, 5, 6, 11, 26].map(|second| polls.ask("one", at(second), at(600))).into();
        assert_eq!(paces, [Pace::Good, Pace::Good, Pace::TooFast, Pace::TooFast, Pace::Good]);
        polls.forget_before(at(600));
        assert!(polls.0.lock().unwrap().is_empty());
    }
}
