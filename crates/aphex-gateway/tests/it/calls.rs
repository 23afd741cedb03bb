//! Where a tenant's address may lead, however it is written, and how much a service may say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aphex_gateway::calls::{Caller, Calls};
use aphex_gateway::inbox::Inbox;
use aphex_gateway::interceptors::outside::{Question, Response, Whom};
use aphex_gateway::reach::Reach;
use aphex_gateway::secrets::SecretCache;
use aphex_testkit::{Cluster, Service};
use kube::Client;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

async fn ask(client: &Client, allowed: &[&str], url: &str) -> Result<Response, String> {
    let allowed = allowed.iter().filter_map(|rule| rule.parse().ok()).collect();
    let secrets = SecretCache::new(client.clone(), Reach::new(Inbox::ENGINE_TIMEOUT));
    let caller = Caller::new(Calls { allowed, ..Calls::default() }, secrets);
    let question = Question {
        whom: Whom::Service,
        url: url.to_owned(),
        ca_bundle: None,
        headers: BTreeMap::new(),
        body: Some("{}".into()),
        token: None,
    };
    let mut answers = caller.ask(vec![question]).await;
    answers.drain().next().map_or_else(|| Err("not asked".to_owned()), |(_, answer)| answer)
}

#[tokio::test]
async fn no_way_of_writing_an_address_leads_to_the_gateways_neighbourhood() -> anyhow::Result<()> {
    let client = Cluster::start().await?.client();
    let service = Service::http(|_| http::Response::new("{}".to_owned())).await?;
    let port = service.url.rsplit(':').next().unwrap_or_default();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "user:pass@127.0.0.1",
        "①②⑦.⓪.⓪.①",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[fe80::1]",
    ] {
        let error = ask(&client, &[], &format!("http://{host}:{port}/")).await.unwrap_err();
        assert!(error.contains("is not allowed"), "{host}: {error}");
    }
    for url in ["file:///etc/passwd", "ftp://localhost/", "http://", "unix:/run/x"] {
        assert!(ask(&client, &["localhost"], url).await.unwrap_err().contains("not an address"), "{url}");
    }
    assert!(service.asked().is_empty());
    // An allowed name is a name: the address behind it is not allowed by that.
    assert!(ask(&client, &["localhost"], &format!("http://127.0.0.1:{port}/")).await.is_err());
    assert_eq!(
        ask(&client, &["localhost"], &format!("http://localhost:{port}/")).await.map(|r| r.status),
        Ok(200)
    );
    Ok(())
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() -> anyhow::Result<()> {
    let client = Cluster::start().await?.client();
    let inner = Service::http(|_| http::Response::new("inner".to_owned())).await?;
    let to = inner.url.replace("localhost", "127.0.0.1");
    let outer = Service::http(move |_| {
        let answer = http::Response::builder().status(307).header("location", &to);
        answer.body(String::new()).unwrap_or_default()
    })
    .await?;
    let answered = ask(&client, &["127.0.0.0/8", "localhost"], &outer.url).await.unwrap();
    assert_eq!((answered.status, answered.body.len()), (307, 0));
    assert!(inner.asked().is_empty());
    Ok(())
}

#[tokio::test]
async fn an_answer_has_a_size_and_a_time() -> anyhow::Result<()> {
    let client = Cluster::start().await?.client();
    let near = ["127.0.0.0/8", "localhost"];
    let size = Arc::new(AtomicUsize::new(8 * 1024 * 1024));
    let said = Arc::clone(&size);
    let service =
        Service::http(move |_| http::Response::new("x".repeat(said.load(Ordering::Relaxed)))).await?;
    assert_eq!(ask(&client, &near, &service.url).await.map(|r| r.body.len()), Ok(8 * 1024 * 1024));
    size.fetch_add(1, Ordering::Relaxed);
    assert!(ask(&client, &near, &service.url).await.unwrap_err().contains("larger than 8 MiB"));

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let silent = format!("http://{}/", listener.local_addr()?);
    let hearing = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        stream.read(&mut [0]).await
    });
    assert!(ask(&client, &near, &silent).await.unwrap_err().contains("no answer"));
    // The connection was ended, not left to wait.
    assert_eq!(hearing.await??, 0);
    Ok(())
}
