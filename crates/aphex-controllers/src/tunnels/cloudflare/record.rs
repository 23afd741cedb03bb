//! The DNS record of an organization: whose it is, and what it has to be.

use super::super::{Claim, TunnelError};
use super::api::{Cname, DnsRecord};
use super::client::Client;
use super::error::{Error, code};
use super::place::Place;
use crate::outcome::Waiting;

/// What hosts of tunnels end in.
const TUNNEL_DOMAIN: &str = "cfargotunnel.com";
/// What our notes begin with; the organization's unique id follows.
const MARK: &str = "aphex organization ";

/// The host name that leads to a tunnel.
pub(super) fn target(tunnel: &str) -> String {
    format!("{tunnel}.{TUNNEL_DOMAIN}")
}

/// The note on an organization's record.
fn mark(uid: &str) -> String {
    format!("{MARK}{uid}")
}

/// Whether a record was written for an organization.
pub(super) fn is_marked(record: &DnsRecord, uid: &str) -> bool {
    record.comment.as_deref() == Some(&mark(uid))
}

/// What has to be done with the records of a host name.
#[derive(Debug, PartialEq, Eq)]
enum Plan<'a> {
    Nothing,
    Create,
    Update(&'a DnsRecord),
    /// Ours if the tunnel that it leads to is no more.
    UpdateIfDead(&'a DnsRecord, &'a str),
    Refuse(&'a DnsRecord),
}

/// Compares what is there with what is wanted.
fn plan<'a>(records: &'a [DnsRecord], uid: &str, target: &str) -> Plan<'a> {
    let Some(first) = records.first() else { return Plan::Create };
    let [only] = records else {
        let foreign = records.iter().find(|record| !is_marked(record, uid) && record.content != target);
        return Plan::Refuse(foreign.unwrap_or(first));
    };
    let cname = only.kind == "CNAME";
    match (cname && only.content.eq_ignore_ascii_case(target), is_marked(only, uid)) {
        (true, true) if only.proxied => Plan::Nothing,
        (true, _) | (false, true) => Plan::Update(only),
        (false, false) => {
            let written_by_us = only.comment.as_deref().is_some_and(|comment| comment.starts_with(MARK));
            let tunnel = only.content.strip_suffix(TUNNEL_DOMAIN).and_then(|rest| rest.strip_suffix('.'));
            match tunnel.filter(|_| cname && written_by_us) {
                Some(tunnel) => Plan::UpdateIfDead(only, tunnel),
                None => Plan::Refuse(only),
            }
        }
    }
}

/// Makes the organization's host name lead to its tunnel; tells whether that needed doing.
pub(super) async fn write(
    client: &Client,
    claim: &Claim<'_>,
    place: &Place,
    domain: &str,
    tunnel: &str,
) -> Result<bool, TunnelError> {
    let (host, target, comment) = (claim.organization.host(domain), target(tunnel), mark(claim.uid));
    let wanted = Cname { host: &host, target: &target, comment: &comment };
    let records = client.records(&place.zone, &host).await?;
    let refused = match plan(&records, claim.uid, &target) {
        Plan::Nothing => return Ok(false),
        Plan::Create => return create(client, claim, place, &wanted).await.map(|()| true),
        Plan::Update(record) => {
            client.update_record(&place.zone, &record.id, &wanted).await?;
            tracing::info!(organization.name = %claim.organization, host, "DNS record repaired");
            return Ok(true);
        }
        Plan::UpdateIfDead(record, old) => {
            if !client.has_tunnel(&place.account, old).await? {
                client.update_record(&place.zone, &record.id, &wanted).await?;
                tracing::info!(organization.name = %claim.organization, host, "DNS record of a deleted tunnel taken over");
                return Ok(true);
            }
            record
        }
        Plan::Refuse(record) => record,
    };
    Err(taken(&host, refused))
}

async fn create(
    client: &Client,
    claim: &Claim<'_>,
    place: &Place,
    wanted: &Cname<'_>,
) -> Result<(), TunnelError> {
    match client.create_record(&place.zone, wanted).await {
        // It came into being after it was looked for: by an earlier try of ours whose answer was lost, or by somebody else.
        Err(error) if error.says(&code::RECORD_EXISTS) => {
            let records = client.records(&place.zone, wanted.host).await?;
            match plan(&records, claim.uid, wanted.target) {
                Plan::Nothing => Ok(()),
                Plan::Update(record) => Ok(client.update_record(&place.zone, &record.id, wanted).await?),
                Plan::Create => Err(error.into()),
                Plan::UpdateIfDead(record, _) | Plan::Refuse(record) => Err(taken(wanted.host, record)),
            }
        }
        created => {
            created?;
            tracing::info!(organization.name = %claim.organization, host = wanted.host, "DNS record written");
            Ok(())
        }
    }
}

fn taken(host: &str, record: &DnsRecord) -> TunnelError {
    TunnelError::Taken(format!(
        "DNS name {host} is in use: it has a {} record to {} that this Organization did not write. Delete that record at \
         Cloudflare, or choose another name for the Organization",
        record.kind, record.content
    ))
}

/// Deletes the organization's records; tells what is still there.
pub(super) async fn remove(
    client: &Client,
    claim: &Claim<'_>,
    zone: &str,
    host: &str,
    targets: &[String],
) -> Result<Option<Waiting>, Error> {
    let own = |record: &DnsRecord| is_marked(record, claim.uid) || targets.contains(&record.content);
    let found: Vec<DnsRecord> = client.records(zone, host).await?.into_iter().filter(own).collect();
    if found.is_empty() {
        return Ok(None);
    }
    for record in &found {
        client.delete_record(zone, &record.id).await?;
    }
    let left = client.records(zone, host).await?.iter().any(own);
    Ok(left.then(|| Waiting(format!("Waiting for DNS record {host} to be deleted"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: &str, content: &str, proxied: bool, comment: Option<&str>) -> DnsRecord {
        DnsRecord {
            id: "1".to_owned(),
            kind: kind.to_owned(),
            name: "acme.example.com".to_owned(),
            content: content.to_owned(),
            proxied,
            comment: comment.map(str::to_owned),
        }
    }

    #[test]
    fn a_record_is_repaired_when_it_is_ours_and_left_alone_when_it_is_not() {
        let target = target("t1");
        let ours = mark("u1");
        let check = |record: DnsRecord| match plan(std::slice::from_ref(&record), "u1", &target) {
            Plan::Nothing => "nothing",
            Plan::Create => "create",
            Plan::Update(_) => "update",
            Plan::UpdateIfDead(_, tunnel) => {
                assert_eq!(tunnel, "t0");
                "update if dead"
            }
            Plan::Refuse(_) => "refuse",
        };
        assert_eq!(plan(&[], "u1", &target), Plan::Create);
        assert_eq!(check(record("CNAME", "t1.cfargotunnel.com", true, Some(&ours))), "nothing");
        assert_eq!(check(record("CNAME", "T1.cfargotunnel.com", false, Some(&ours))), "update");
        assert_eq!(check(record("CNAME", "t1.cfargotunnel.com", true, None)), "update");
        assert_eq!(check(record("A", "192.0.2.1", true, Some(&ours))), "update");
        assert_eq!(check(record("CNAME", "elsewhere.example.net", true, None)), "refuse");
        let other = mark("u2");
        assert_eq!(check(record("CNAME", "t0.cfargotunnel.com", true, Some(&other))), "update if dead");
        assert_eq!(check(record("CNAME", "elsewhere.example.net", true, Some(&other))), "refuse");
        assert_eq!(check(record("CNAME", "t0.cfargotunnel.com", true, None)), "refuse");
    }

    #[test]
    fn of_several_records_the_foreign_one_is_named() {
        let records =
            [record("A", "192.0.2.1", true, Some(&mark("u1"))), record("AAAA", "2001:db8::1", true, None)];
        assert_eq!(plan(&records, "u1", "t1.cfargotunnel.com"), Plan::Refuse(&records[1]));
    }
}
