//! `git http-backend`.

use std::time::Duration;

use aphex_git::{Client, Credentials, Policy, RemoteError};
use aphex_testkit::git::{GitServer, READER};

use super::{ask, commits};

fn reader(password: &str) -> Credentials {
    Credentials::Basic { username: READER.0.to_owned(), password: password.to_owned() }
}

#[tokio::test]
async fn branches_are_read_and_their_moves_are_seen() -> anyhow::Result<()> {
    let server = GitServer::start().await?;
    let main = server.repository("app.git").await?;
    let dev = server.commit("app.git", "feature/docs").await?;
    server.commit("app.git", "main-2").await?;
    let url = server.url("app.git");
    let found = ask(&url, None, &["main", "feature/docs", "none"]).await?;
    assert_eq!(found, commits(&[("main", &main), ("feature/docs", &dev)]));
    let moved = server.commit("app.git", "main").await?;
    assert_eq!(ask(&url, None, &["main"]).await?, commits(&[("main", &moved)]));
    Ok(())
}

#[tokio::test]
async fn a_private_repository_wants_credentials_and_nobody_else_gets_them() -> anyhow::Result<()> {
    let server = GitServer::start().await?;
    let main = server.repository("private/app.git").await?;
    let url = server.url("private/app.git");
    assert!(matches!(ask(&url, None, &["main"]).await, Err(RemoteError::Anonymous)));
    let wrong = ask(&url, Some(&reader("wrong")), &["main"]).await.unwrap_err();
    assert!(matches!(wrong, RemoteError::Refused) && !format!("{wrong:?} {wrong}").contains("wrong"));
    let right = reader(READER.1);
    assert_eq!(ask(&url, Some(&right), &["main"]).await?, commits(&[("main", &main)]));
    assert_eq!(format!("{right:?}"), "Credentials::Basic");

    // Another origin, though of the same machine, is sent none of them.
    let other = GitServer::start().await?;
    let main = other.repository("app.git").await?;
    let away = server.url(&format!("away/{}/app.git", other.port()));
    assert_eq!(ask(&away, Some(&right), &["main"]).await?, commits(&[("main", &main)]));
    assert_eq!(other.requests("/app.git"), 2);
    assert_eq!(other.entrusted(), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_repository_that_was_renamed_is_followed_and_a_circle_is_left() -> anyhow::Result<()> {
    let server = GitServer::start().await?;
    let main = server.repository("app.git").await?;
    assert_eq!(ask(&server.url("moved/app.git"), None, &["main"]).await?, commits(&[("main", &main)]));
    let error = ask(&server.url("circle/app.git"), None, &["main"]).await.unwrap_err();
    assert_eq!(error.to_string(), "the server redirects too often");
    assert!(server.requests("/circle") <= 4);
    let error = ask(&server.url("metadata/app.git"), None, &["main"]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "169.254.169.254 is at 169.254.169.254, and the platform asks public addresses alone"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_or_not_git_is_told_in_one_sentence() -> anyhow::Result<()> {
    let server = GitServer::start().await?;
    for (path, told) in [
        ("none.git", "no repository is there, or it is private"),
        ("page/x", "the server's answer is not git's: a packet has no length"),
        ("huge/x", "the server's answer is larger than 4194304 bytes"),
    ] {
        assert_eq!(ask(&server.url(path), None, &["main"]).await.unwrap_err().to_string(), told);
    }
    let busy = ask(&server.url("busy/x"), None, &["main"]).await.unwrap_err();
    assert_eq!((busy.retry_after(), busy.is_of_host()), (Some(Duration::from_secs(7)), true));
    // A port on which nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let error = ask(&format!("http://{free}/x"), None, &["main"]).await.unwrap_err();
    assert!(matches!(error, RemoteError::Connect { .. }) && error.is_of_host(), "{error:?}");
    let error = ask("https://no-such-host.invalid/x", None, &["main"]).await.unwrap_err();
    assert!(matches!(error, RemoteError::Resolve { .. }), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_looked_at_after_dns() -> anyhow::Result<()> {
    let server = GitServer::start().await?;
    server.repository("app.git").await?;
    let strict = Client::new(Policy { hosts: None, allow_private: false })?;
    let branches = ["main".to_owned()];
    let error = strict.branches(&"https://localhost/x".parse()?, None, &branches).await.unwrap_err();
    assert!(matches!(error, RemoteError::Address { .. }), "{error:?}");
    let plain = strict.branches(&server.url("app.git").parse()?, None, &branches).await.unwrap_err();
    assert!(matches!(plain, RemoteError::Plain("http")), "{plain:?}");
    let named = Client::new(Policy { hosts: Some(vec!["github.com".to_owned()]), allow_private: true })?;
    let error = named.branches(&server.url("app.git").parse()?, None, &branches).await.unwrap_err();
    assert_eq!(error.to_string(), "the platform does not ask host 127.0.0.1");
    assert_eq!(server.requests("/"), 0, "nothing was sent");
    Ok(())
}
