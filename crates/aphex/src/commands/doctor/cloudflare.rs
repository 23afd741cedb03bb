//! Cloudflare: the API token, what it may do, the account and the zone.
//!
//! Whether something may be written is found out by deleting what cannot exist: permission is looked at first.

use aphex_controllers::tunnels::cloudflare::{Client, Connection, Error, Place, Places, TokenStatus};
use aphex_runtime::{Clock, Metrics, errors};
use jiff::{SignedDuration, Timestamp};

use crate::cli::Exposure;
use crate::commands::report::{Check, Report};

/// Ids that nothing has.
const NO_TUNNEL: &str = "00000000-0000-0000-0000-000000000000";
const NO_RECORD: &str = "00000000000000000000000000000000";
/// A token that ends sooner than this should be replaced.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Where the permissions of a token are changed.
const TOKENS: &str = "at Cloudflare, My Profile, API Tokens";

pub(super) async fn examine(
    connection: Connection,
    places: &Places,
    exposure: &Exposure,
    report: &mut Report,
) -> anyhow::Result<()> {
    let client = Client::new(connection, Clock::system(), &Metrics::default())?;
    let status = verify(&client, exposure.cloudflare_account.as_deref()).await;
    let valid = status.is_ok();
    report.add(token(status));
    if !valid {
        return Ok(());
    }
    match places.find(&client).await {
        Ok(place) => {
            zone(&client, &place, places.domain(), report).await;
            scopes(&client, &place, places.domain(), report).await;
        }
        Err(error) => report.add(failed("cloudflare zone", &error, "Zone/Zone/Read")),
    }
    Ok(())
}

/// Tokens belong to a user or to an account, and each is asked about elsewhere.
async fn verify(client: &Client, account: Option<&str>) -> Result<TokenStatus, Error> {
    match (client.verify_token().await, account.filter(|account| !account.is_empty())) {
        (Err(error), Some(account)) if error.is_not_allowed() => client.verify_account_token(account).await,
        (answer, _) => answer,
    }
}

fn token(status: Result<TokenStatus, Error>) -> Check {
    const CHECK: &str = "cloudflare token";
    match status {
        Ok(TokenStatus { status, expires_on }) if status == "active" => match expires_on {
            Some(end) if end < Timestamp::now().saturating_add(SOON).unwrap_or(Timestamp::MAX) => {
                Check::warn(
                    CHECK,
                    &format!("active until {end}"),
                    "make a new one in time and put it into the Secret",
                )
            }
            _ => Check::ok(CHECK, "active"),
        },
        Ok(TokenStatus { status, .. }) => Check::fail(CHECK, &status, &format!("make a new one {TOKENS}")),
        Err(error) if error.is_passing() => Check::fail(
            CHECK,
            &errors::chain(&error),
            "see that this machine reaches Cloudflare's API, and try again",
        ),
        Err(error) => {
            let remedy = format!(
                "make a new one {TOKENS}; for a token that an account owns, give --cloudflare-account as well"
            );
            Check::fail(CHECK, &errors::chain(&error), &remedy)
        }
    }
}

async fn zone(client: &Client, place: &Place, domain: &str, report: &mut Report) {
    const CHECK: &str = "cloudflare zone";
    match client.zone(&place.zone).await {
        Ok(zone) if domain == zone.name => {
            report.add(Check::ok(CHECK, &format!("{} of account {}", zone.name, place.account)));
        }
        Ok(zone) if domain.ends_with(&format!(".{}", zone.name)) => report.add(Check::warn(
            CHECK,
            &format!("{domain} is below zone {}", zone.name),
            "names two levels below a zone need a certificate of their own: order one for the domain, or use the zone itself",
        )),
        Ok(zone) => report.add(Check::fail(
            CHECK,
            &format!("{domain} is not in zone {}", zone.name),
            "set the id of the domain's own zone (APHEX_CLOUDFLARE_ZONE_ID), or leave it out",
        )),
        // The ids are configured: that is all the controllers need.
        Err(error) if error.is_not_allowed() => {
            report.add(Check::warn(CHECK, "the token may not read it", "add Zone/Zone/Read to see that the ids are right"));
        }
        Err(error) => report.add(failed(CHECK, &error, "Zone/Zone/Read")),
    }
}

async fn scopes(client: &Client, place: &Place, domain: &str, report: &mut Report) {
    let (account, zone) = (&place.account, &place.zone);
    let tunnels = async {
        client.tunnel_named(account, "aphex-doctor").await?;
        allowed(client.delete_tunnel(account, NO_TUNNEL).await)
    };
    report.add(match tunnels.await {
        Ok(()) => Check::ok("cloudflare tunnels", "may be read and written"),
        Err(error) => failed("cloudflare tunnels", &error, "Account/Cloudflare Tunnel/Edit"),
    });
    let records = async {
        client.records(zone, &format!("aphex-doctor.{domain}")).await?;
        allowed(client.delete_record(zone, NO_RECORD).await)
    };
    report.add(match records.await {
        Ok(()) => Check::ok("cloudflare records", "may be read and written"),
        Err(error) => failed("cloudflare records", &error, "Zone/DNS/Edit"),
    });
}

/// Whether what cannot exist might have been deleted: any other refusal comes after the one for want of permission.
fn allowed(answer: Result<(), Error>) -> Result<(), Error> {
    match answer {
        Err(error) if error.is_passing() || error.is_not_allowed() => Err(error),
        _ => Ok(()),
    }
}

fn failed(check: &str, error: &Error, permission: &str) -> Check {
    let remedy = if error.is_passing() {
        "see that this machine reaches Cloudflare's API, and try again".to_owned()
    } else {
        format!("give the token the permission {permission} {TOKENS}")
    };
    Check::fail(check, &errors::chain(error), &remedy)
}
