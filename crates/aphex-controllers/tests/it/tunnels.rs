//! The provider of tunnels alone, against a stand-in for Cloudflare.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aphex_api::names::OrgName;
use aphex_controllers::sensitive::Sensitive;
use aphex_controllers::tunnels::cloudflare::{Client, Connection, Places, Token};
use aphex_controllers::tunnels::{
    Claim, Cloudflare, Connectors, Credentials, Exposure, Local, Path, Record, Successor, ThroughIngress,
    Tunnel, TunnelError, Tunnels,
};
use aphex_runtime::clock::Hand;
use aphex_runtime::{Clock, Metrics};
use aphex_testkit::cloudflare::{self as stand_in, Connector, DOMAIN, Fault, Scope, ZONE};
use http::Method;
use jiff::Timestamp;

const UID: &str = "0b0e9f3c-5c5f-4f0e-9d39-2f6f2a1f8a11";
const HOST: &str = "acme.example.com";
const TUNNEL: &str = "webhooks-acme";
/// More than what was seen is believed for.
const LATER: Duration = Duration::from_mins(11);
/// How long requests may take here; a stand-in that hangs takes longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// How the stand-in is spoken to.
pub(crate) fn connection(cloudflare: &stand_in::Cloudflare) -> Connection {
    let token = Token::Value(Sensitive::new(cloudflare.token()));
    Connection { url: cloudflare.url(), timeout: PATIENCE, ..Connection::new(token) }
}

/// A provider that knows nothing yet.
pub(crate) fn provider(cloudflare: &stand_in::Cloudflare, clock: &Clock) -> anyhow::Result<Cloudflare> {
    let client = Client::new(connection(cloudflare), clock.clone(), &Metrics::default())?;
    Ok(Cloudflare::new(client, Places::new(DOMAIN, None, None), clock.clone()))
}

struct World {
    cloudflare: stand_in::Cloudflare,
    provider: Cloudflare,
    clock: Clock,
    hand: Hand,
    organization: OrgName,
    stored: Option<Credentials>,
    host: Option<String>,
    connectors: Connectors,
    since: Timestamp,
}

impl World {
    async fn start() -> anyhow::Result<Self> {
        let cloudflare = stand_in::Cloudflare::start().await?;
        let since = Timestamp::now();
        let (clock, hand) = Clock::manual(since);
        let provider = provider(&cloudflare, &clock)?;
        let (organization, connectors) = ("acme".parse()?, Connectors::Available);
        Ok(Self {
            provider,
            cloudflare,
            clock,
            hand,
            organization,
            stored: None,
            host: None,
            connectors,
            since,
        })
    }

    fn claim(&self) -> Claim<'_> {
        let stored = self.stored.as_ref();
        Claim {
            organization: &self.organization,
            uid: UID,
            since: Some(self.since),
            stored,
            host: self.host.as_deref(),
            connectors: self.connectors,
        }
    }

    async fn expose(&self) -> Result<Exposure, TunnelError> {
        self.provider.expose(self.claim()).await
    }

    async fn tunnel(&self) -> anyhow::Result<Tunnel> {
        match self.expose().await?.path {
            Path::Tunnel(tunnel) => Ok(tunnel),
            other => anyhow::bail!("no tunnel: {other:?}"),
        }
    }

    /// Both passes: the credentials are kept, the record is written.
    async fn established(&mut self) -> anyhow::Result<Tunnel> {
        self.stored = Some(self.tunnel().await?.credentials);
        let tunnel = self.tunnel().await?;
        anyhow::ensure!(tunnel.record == Record::Written, "{:?}", tunnel.record);
        anyhow::ensure!(tunnel.made, "its name was written just now");
        // From here on it is only looked at.
        Ok(Tunnel { made: false, ..tunnel })
    }

    /// The same as after a restart.
    fn forget(&mut self) -> anyhow::Result<()> {
        self.provider = provider(&self.cloudflare, &self.clock)?;
        Ok(())
    }

    fn record(&self) -> anyhow::Result<stand_in::Record> {
        let mut records = self.cloudflare.records_of(HOST);
        anyhow::ensure!(records.len() == 1, "{records:?}");
        records.pop().context("one")
    }

    async fn taken(&self) -> anyhow::Result<String> {
        match self.expose().await {
            Err(TunnelError::Taken(message)) => Ok(message),
            other => anyhow::bail!("{other:?}"),
        }
    }

    async fn failure(&self) -> anyhow::Result<String> {
        match self.expose().await {
            Err(TunnelError::Provider(error)) => Ok(error.to_string()),
            other => anyhow::bail!("{other:?}"),
        }
    }
}

/// What every provider keeps to, whatever it does outside.
#[tokio::test]
async fn every_provider_says_the_same_twice_and_takes_back_what_is_not_there() -> anyhow::Result<()> {
    let world = World::start().await?;
    let local = Local::new("http://gateway.example");
    let ingress = ThroughIngress::new(DOMAIN);
    let providers: [&dyn Tunnels; 3] = [&local, &ingress, &world.provider];
    let other: OrgName = "other".parse()?;
    for provider in providers {
        assert_eq!(provider.unpublish(world.claim()).await?, None);
        assert_eq!(provider.withdraw(world.claim()).await?, None);
        let first = provider.expose(world.claim()).await?;
        assert_eq!(provider.expose(world.claim()).await?, first);
        let of_other = Claim { organization: &other, uid: "another", ..world.claim() };
        assert_ne!(provider.expose(of_other).await?.webhook_url, first.webhook_url);
    }
    Ok(())
}

#[tokio::test]
async fn a_public_name_is_written_only_once_the_credentials_are_kept() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let first = world.tunnel().await?;
    let made = world.cloudflare.tunnel(TUNNEL).context("a tunnel")?;
    assert_eq!(
        (&first.credentials.tunnel, first.credentials.secret.reveal()),
        (&made.id, made.secret.as_str())
    );
    assert_eq!(first.credentials.account, stand_in::ACCOUNT);
    assert!(!made.remote_config, "connectors bring their configuration along");
    let waits = "Waiting for Secret org-acme/cloudflared-credentials-acme to hold the tunnel's credentials";
    assert_eq!(first.record, Record::Pending(waits.to_owned()));
    assert_eq!(world.tunnel().await?, first, "another pass makes no other tunnel");
    assert_eq!(world.cloudflare.records(), []);

    world.stored = Some(first.credentials);
    let exposure = world.expose().await?;
    assert_eq!(exposure.webhook_url, "https://acme.example.com");
    let record = world.record()?;
    assert_eq!(record.content, format!("{}.cfargotunnel.com", made.id));
    assert_eq!((record.kind.as_str(), record.proxied), ("CNAME", true));
    assert_eq!(record.comment.as_deref(), Some(format!("aphex organization {UID}").as_str()));
    assert_eq!(world.cloudflare.tunnels().len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_is_in_place_is_believed_for_a_while_and_then_only_read() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let tunnel = world.established().await?;
    let (calls, writes) = (world.cloudflare.calls().len(), world.cloudflare.writes());
    for _ in 0..3 {
        assert_eq!(world.tunnel().await?, tunnel);
    }
    assert_eq!(world.cloudflare.calls().len(), calls, "nothing is asked");
    world.hand.advance(LATER);
    assert_eq!(world.tunnel().await?, tunnel);
    assert_eq!(
        world.cloudflare.calls().len(),
        calls + 3,
        "tunnel, its secret, record: {:?}",
        world.cloudflare.calls()
    );
    world.forget()?;
    assert_eq!(world.tunnel().await?, tunnel);
    assert_eq!(world.cloudflare.writes(), writes);
    Ok(())
}

#[tokio::test]
async fn a_tunnel_whose_creation_was_never_answered_is_found_and_used() -> anyhow::Result<()> {
    for fault in [Fault::CutAfter, Fault::HangAfter, Fault::CutBefore, Fault::HangBefore] {
        let mut world = World::start().await?;
        world.cloudflare.inject(&Method::POST, "/cfd_tunnel", 1, fault.clone());
        assert!(world.failure().await?.contains("cannot reach Cloudflare to create the tunnel"), "{fault:?}");
        let tunnel = world.established().await?;
        let made = world.cloudflare.tunnels();
        assert_eq!(made.len(), 1, "{fault:?}");
        assert_eq!(tunnel.credentials.secret.reveal(), made[0].secret);
    }
    Ok(())
}

#[tokio::test]
async fn a_record_whose_creation_was_never_answered_is_found_and_left_as_it_is() -> anyhow::Result<()> {
    for fault in [Fault::CutAfter, Fault::HangAfter] {
        let mut world = World::start().await?;
        world.stored = Some(world.tunnel().await?.credentials);
        world.cloudflare.inject(&Method::POST, "/dns_records", 1, fault);
        let tunnel = world.tunnel().await?;
        let Record::Pending(message) = tunnel.record else { anyhow::bail!("no answer came") };
        assert!(message.contains("cannot reach Cloudflare to create the DNS record"), "{message}");
        let writes = world.cloudflare.writes();
        assert_eq!(world.tunnel().await?.record, Record::Written);
        assert_eq!(world.cloudflare.writes(), writes);
        world.record()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_record_that_appears_after_it_was_looked_for_is_judged_anew() -> anyhow::Result<()> {
    for code in [81053, 81057] {
        let mut world = World::start().await?;
        let credentials = world.tunnel().await?.credentials;
        let target = format!("{}.cfargotunnel.com", credentials.tunnel);
        world.stored = Some(credentials);
        let refusal = Fault::Answer { status: 400, code, message: "exists".to_owned() };
        world.cloudflare.inject(&Method::POST, "/dns_records", 1, refusal);
        assert!(world.failure().await?.contains(&format!("code {code}")), "and is not there after all");
        world.cloudflare.put_record("CNAME", HOST, &target);
        assert_eq!(world.tunnel().await?.record, Record::Written);
        assert!(world.record()?.proxied, "what leads to our tunnel becomes ours");
    }
    Ok(())
}

#[tokio::test]
async fn a_record_of_somebody_else_is_never_overwritten() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    for (kind, content) in
        [("CNAME", "shop.example.net"), ("A", "192.0.2.7"), ("CNAME", "else.cfargotunnel.com")]
    {
        world.cloudflare.put_record(kind, HOST, content);
        world.stored = Some(
            world
                .tunnel()
                .await
                .map(|tunnel| tunnel.credentials)
                .or_else(|_| world.stored.clone().context("stored before"))?,
        );
        let before = world.record()?;
        let said = world.taken().await?;
        assert!(
            said.contains(HOST) && said.contains(content) && said.contains("Delete that record"),
            "{said}"
        );
        assert_eq!(world.record()?, before);
        assert_eq!(world.provider.unpublish(world.claim()).await?, None);
        assert_eq!(world.record()?, before, "deletion leaves it too");
        world.cloudflare.drop_records(HOST);
    }
    assert_eq!(world.tunnel().await?.record, Record::Written, "once it is gone the name is free");
    Ok(())
}

#[tokio::test]
async fn a_record_that_somebody_changed_or_deleted_is_repaired() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    world.established().await?;
    let good = world.record()?;
    let same = |record: stand_in::Record| stand_in::Record { id: good.id.clone(), ..record };
    world.cloudflare.change_records(HOST, |record| record.content = "evil.example.net".to_owned());
    world.hand.advance(LATER);
    world.tunnel().await?;
    assert_eq!(same(world.record()?), good);
    world.cloudflare.change_records(HOST, |record| (record.proxied, record.comment) = (false, None));
    world.hand.advance(LATER);
    world.tunnel().await?;
    assert_eq!(same(world.record()?), good);
    world.cloudflare.drop_records(HOST);
    world.hand.advance(LATER);
    world.tunnel().await?;
    assert_eq!(same(world.record()?), good);
    Ok(())
}

#[tokio::test]
async fn a_tunnel_that_somebody_deleted_is_made_anew_and_its_name_waits_for_the_new_secret()
-> anyhow::Result<()> {
    let mut world = World::start().await?;
    let old = world.established().await?;
    world.cloudflare.change_tunnel(TUNNEL, |tunnel| tunnel.deleted_at = Some(Timestamp::now()));
    world.hand.advance(LATER);
    let new = world.tunnel().await?;
    assert_ne!(new.credentials, old.credentials);
    assert!(matches!(new.record, Record::Pending(_)));
    assert!(world.record()?.content.starts_with(&old.credentials.tunnel));
    world.stored = Some(new.credentials.clone());
    assert_eq!(world.tunnel().await?.record, Record::Written);
    assert!(world.record()?.content.starts_with(&new.credentials.tunnel));
    Ok(())
}

#[tokio::test]
async fn a_secret_that_somebody_rotated_at_cloudflare_is_taken_over() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let old = world.established().await?;
    let rotated = "cm90YXRlZC1yb3RhdGVkLXJvdGF0ZWQtcm90YXRlZC0=";
    world.cloudflare.change_tunnel(TUNNEL, |tunnel| tunnel.secret = rotated.to_owned());
    assert_eq!(world.tunnel().await?, old, "what was seen a moment ago is believed");
    world.hand.advance(LATER);
    let new = world.tunnel().await?;
    assert_eq!(new.credentials.secret.reveal(), rotated);
    assert!(matches!(new.record, Record::Pending(_)), "the engine has yet to hold it");
    let writes = world.cloudflare.writes();
    world.stored = Some(new.credentials);
    assert_eq!(world.tunnel().await?.record, Record::Written);
    assert_eq!((world.cloudflare.writes(), world.cloudflare.tunnels().len()), (writes, 1));
    Ok(())
}

#[tokio::test]
async fn while_the_connectors_do_not_work_a_look_comes_every_minute() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let old = world.established().await?;
    world.cloudflare.change_tunnel(TUNNEL, |tunnel| tunnel.deleted_at = Some(Timestamp::now()));
    world.connectors = Connectors::Unavailable;
    assert_eq!(world.tunnel().await?, old);
    world.hand.advance(Duration::from_secs(61));
    assert_ne!(world.tunnel().await?.credentials, old.credentials, "the tunnel is no more");
    Ok(())
}

#[tokio::test]
async fn below_another_domain_the_former_name_goes_once_the_new_one_leads_to_the_tunnel() -> anyhow::Result<()>
{
    let mut world = World::start().await?;
    let tunnel = world.established().await?;
    world.host = Some(HOST.to_owned());
    let client = Client::new(connection(&world.cloudflare), world.clock.clone(), &Metrics::default())?;
    world.provider =
        Cloudflare::new(client, Places::new("hooks.example.com", None, None), world.clock.clone());
    world.cloudflare.inject(&Method::DELETE, "/dns_records", 1, Fault::Page { status: 502 });
    let Record::Pending(message) = world.tunnel().await?.record else {
        anyhow::bail!("the old one is there")
    };
    assert!(message.contains("delete the DNS record"), "{message}");
    let moved = world.tunnel().await?;
    assert_eq!((moved.record, moved.host.as_str()), (Record::Written, "acme.hooks.example.com"));
    assert_eq!(moved.credentials, tunnel.credentials, "the tunnel stays");
    assert_eq!(world.cloudflare.records_of(HOST), []);
    assert_eq!(world.cloudflare.records_of("acme.hooks.example.com").len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_way_that_takes_the_place_of_tunnels_takes_back_what_the_engine_remembers() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    world.established().await?;
    world.host = Some(HOST.to_owned());
    world.cloudflare.put_record("A", "other.example.com", "192.0.2.1");
    let calls = world.cloudflare.calls().len();
    let local: Arc<dyn Tunnels> = Arc::new(Local::new("http://gateway.example"));
    let blind = Successor::new(Arc::clone(&local), None);
    let said = blind.unpublish(world.claim()).await?.context("it is out of reach")?.to_string();
    assert!(said.contains(TUNNEL) && said.contains(HOST) && said.contains("API token"), "{said}");
    assert_eq!(world.cloudflare.calls().len(), calls);

    // The domain is not configured any more: what the engine noted tells where the record is.
    let client = Client::new(connection(&world.cloudflare), world.clock.clone(), &Metrics::default())?;
    let before = Cloudflare::new(client, Places::new("", None, None), world.clock.clone());
    let successor = Successor::new(local, Some(Arc::new(before)));
    assert_eq!(successor.expose(world.claim()).await?.webhook_url, "http://gateway.example/acme");
    assert_eq!(successor.unpublish(world.claim()).await?, None);
    assert_eq!(successor.withdraw(world.claim()).await?, None);
    assert_eq!(world.cloudflare.records_of(HOST), []);
    assert_eq!((world.cloudflare.tunnels().len(), world.cloudflare.records().len()), (0, 1));
    let calls = world.cloudflare.calls().len();
    world.stored = None;
    assert_eq!(successor.unpublish(world.claim()).await?, None);
    assert_eq!(world.cloudflare.calls().len(), calls, "nothing is remembered, nothing is asked");
    Ok(())
}

#[tokio::test]
async fn a_record_of_an_earlier_life_is_taken_over_once_its_tunnel_is_no_more() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    world.stored = Some(world.tunnel().await?.credentials);
    let other = world.cloudflare.put_tunnel("webhooks-old", |_| {});
    world.cloudflare.put_record("CNAME", HOST, &format!("{}.cfargotunnel.com", other.id));
    world
        .cloudflare
        .change_records(HOST, |record| record.comment = Some("aphex organization earlier".to_owned()));
    assert!(world.taken().await?.contains("in use"), "another platform's tunnel lives");
    world.cloudflare.change_tunnel("webhooks-old", |tunnel| tunnel.deleted_at = Some(Timestamp::now()));
    assert_eq!(world.tunnel().await?.record, Record::Written);
    Ok(())
}

#[tokio::test]
async fn a_tunnel_of_the_name_is_adopted_when_nobody_uses_it_and_refused_when_somebody_does()
-> anyhow::Result<()> {
    let mut world = World::start().await?;
    let old = world.cloudflare.put_tunnel(TUNNEL, |tunnel| tunnel.connector = Connector::Live);
    let said = world.taken().await?;
    assert!(said.contains(&old.id) && said.contains("has live connections"), "{said}");
    world.cloudflare.change_tunnel(TUNNEL, |tunnel| {
        (tunnel.connector, tunnel.remote_config) = (Connector::None, true);
    });
    assert!(world.taken().await?.contains("keeps its configuration at Cloudflare"));
    world.cloudflare.change_tunnel(TUNNEL, |tunnel| tunnel.remote_config = false);
    let adopted = world.established().await?;
    assert_eq!(
        (adopted.credentials.tunnel, adopted.credentials.secret.reveal()),
        (old.id, old.secret.as_str())
    );
    // Its own connectors are no strangers, even when the engine lost the credentials.
    world.cloudflare.change_tunnel(TUNNEL, |tunnel| tunnel.connector = Connector::Live);
    world.stored = None;
    world.forget()?;
    assert!(matches!(world.tunnel().await?.record, Record::Pending(_)));
    assert_eq!(world.cloudflare.tunnels().len(), 1);
    Ok(())
}

#[tokio::test]
async fn after_too_many_requests_nothing_is_asked_until_it_is_time() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.cloudflare.inject(&Method::GET, "/cfd_tunnel", 1, Fault::TooMany { seconds: 30 });
    assert!(world.failure().await?.contains("for 30 s"));
    let calls = world.cloudflare.calls().len();
    world.hand.advance(Duration::from_secs(20));
    assert!(world.failure().await?.contains("for 10 s"));
    assert_eq!(world.cloudflare.calls().len(), calls);
    world.hand.advance(Duration::from_secs(10));
    world.tunnel().await?;
    assert_eq!(world.cloudflare.tunnels().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_token_that_lacks_a_permission_is_told_which_it_needs() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    world.cloudflare.forbid(Scope::ZoneRead);
    let said = world.failure().await?;
    assert!(said.contains("no active zone for example.com") && said.contains("Zone/Zone/Read"), "{said}");
    world.cloudflare.allow_all();
    world.cloudflare.forbid(Scope::TunnelEdit);
    let said = world.failure().await?;
    assert!(
        said.contains("refused to create the tunnel: status 403, Authentication error (code 10000)"),
        "{said}"
    );
    assert!(said.contains("Account/Cloudflare Tunnel/Edit"), "{said}");
    world.cloudflare.allow_all();
    world.cloudflare.forbid(Scope::DnsEdit);
    world.stored = Some(world.tunnel().await?.credentials);
    assert!(world.failure().await?.contains("refused to create the DNS record"));
    world.cloudflare.allow_all();
    assert_eq!(world.tunnel().await?.record, Record::Written);
    Ok(())
}

#[tokio::test]
async fn while_cloudflare_does_not_answer_what_was_in_place_goes_on() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let tunnel = world.established().await?;
    for fault in [Fault::Page { status: 502 }, Fault::HangBefore, Fault::TooMany { seconds: 1 }] {
        world.hand.advance(LATER);
        world.cloudflare.inject(&Method::GET, "/cfd_tunnel", 1, fault);
        // What was asked for without an answer may have been done.
        assert_eq!(world.tunnel().await?, Tunnel { made: true, ..tunnel.clone() });
        world.cloudflare.heal();
    }
    // After a restart nothing was seen yet: the credentials that are kept serve, and the name is not vouched for.
    world.forget()?;
    world.cloudflare.inject(&Method::GET, "/", 9, Fault::Page { status: 503 });
    let after = world.tunnel().await?;
    assert_eq!(after.credentials, tunnel.credentials);
    let Record::Pending(message) = after.record else { anyhow::bail!("nobody looked") };
    assert!(message.contains("status 503"), "{message}");
    // A refusal is another matter.
    world.cloudflare.heal();
    assert_eq!(world.tunnel().await?, tunnel);
    world.hand.advance(LATER);
    world.cloudflare.forbid(Scope::TunnelEdit);
    world.cloudflare.forbid(Scope::TunnelRead);
    assert!(world.failure().await?.contains("refused to list tunnels"));
    Ok(())
}

#[tokio::test]
async fn taking_back_ends_connections_waits_for_live_ones_and_sees_everything_gone() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    world.established().await?;
    world.cloudflare.change_tunnel(TUNNEL, |tunnel| tunnel.connector = Connector::Live);
    assert_eq!(world.provider.unpublish(world.claim()).await?, None);
    assert_eq!(world.cloudflare.records(), []);
    let waiting = world.provider.withdraw(world.claim()).await?.map(|waiting| waiting.to_string());
    assert_eq!(waiting.as_deref(), Some("Waiting for the connections of tunnel webhooks-acme to end"));
    world.cloudflare.change_tunnel(TUNNEL, |tunnel| tunnel.connector = Connector::Stale);
    // A controller that began anew finds the way by what the engine keeps.
    world.forget()?;
    world.cloudflare.inject(&Method::DELETE, "/cfd_tunnel", 1, Fault::CutAfter);
    assert!(world.provider.withdraw(world.claim()).await.is_err());
    assert_eq!(world.provider.withdraw(world.claim()).await?, None);
    assert_eq!(world.cloudflare.tunnels().len(), 0);
    assert_eq!(world.provider.withdraw(world.claim()).await?, None, "nothing is left");
    Ok(())
}

#[tokio::test]
async fn taking_back_leaves_a_tunnel_that_was_never_ours_and_takes_one_that_was_left_behind()
-> anyhow::Result<()> {
    let world = World::start().await?;
    let hour = jiff::SignedDuration::from_hours(1);
    world
        .cloudflare
        .put_tunnel(TUNNEL, |tunnel| tunnel.created_at = world.since.saturating_sub(hour).unwrap());
    assert_eq!(world.provider.withdraw(world.claim()).await?, None);
    assert_eq!(world.cloudflare.tunnels().len(), 1, "it is older than the organization");
    world.cloudflare.change_tunnel(TUNNEL, |tunnel| tunnel.created_at = Timestamp::now());
    assert_eq!(world.provider.withdraw(world.claim()).await?, None);
    assert_eq!(world.cloudflare.tunnels().len(), 0, "it was made for the organization and never used");
    Ok(())
}

#[tokio::test]
async fn long_lists_are_read_to_their_end() -> anyhow::Result<()> {
    let world = World::start().await?;
    for number in 0..120 {
        world.cloudflare.put_record("A", HOST, &format!("192.0.2.{number}"));
    }
    let client = Client::new(connection(&world.cloudflare), world.clock.clone(), &Metrics::default())?;
    assert_eq!(client.records(ZONE, HOST).await?.len(), 120);
    assert_eq!(world.cloudflare.calls().len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_token_in_a_file_is_read_anew_and_its_absence_is_told() -> anyhow::Result<()> {
    let world = World::start().await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("token");
    let connection = Connection { token: Token::File(path.clone()), ..connection(&world.cloudflare) };
    let metrics = Metrics::default();
    let client = Client::new(connection, world.clock.clone(), &metrics)?;
    let missing = client.verify_token().await.unwrap_err().to_string();
    assert!(missing.contains(&path.display().to_string()), "{missing}");
    std::fs::write(&path, "an-old-token")?;
    let refused = client.verify_token().await.unwrap_err();
    assert!(refused.is_not_allowed(), "{refused}");
    assert!(!format!("{refused:?}").contains("an-old-token"));
    std::fs::write(&path, format!("{}\n", world.cloudflare.token()))?;
    assert_eq!(client.verify_token().await?.status, "active");
    let text = metrics.render();
    for line in [
        r#"aphex_cloudflare_requests_total{call="verify_token",answer="ok"} 1"#,
        r#"aphex_cloudflare_requests_total{call="verify_token",answer="refused"} 1"#,
    ] {
        assert!(text.contains(line), "{text}");
    }
    Ok(())
}
