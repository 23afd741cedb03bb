//! `aphex version` and `aphex man`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use serde_json::Value;

use super::program::{Up, aphex};

const OWN: &str = env!("CARGO_PKG_VERSION");

/// A list of releases that answers once; gives its address.
pub(crate) fn releases(status: &'static str, body: &'static str) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/latest", listener.local_addr()?);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let asked =
                BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let _ = asked.count();
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    Ok(url)
}

#[test]
fn versions_of_both_sides_are_told_and_a_newer_release_is_named() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut up = Up::start(folder.path())?;
    let said = up.ok(&["version"])?;
    assert_eq!(said, format!("aphex    {OWN}\nserver   v1.35.4\n"));
    assert_eq!(up.ok(&["version", "--client"])?, format!("aphex    {OWN}\n"));

    let newer = releases("200 OK", r#"{"tag_name":"v99.1.0"}"#)?;
    let said = up.ok(&["version", "--check", "--releases-url", &newer])?;
    assert!(said.contains("latest   99.1.0\nThere is a newer release. Get it with"), "{said}");
    let asked = ["version", "--check", "--client", "-o", "json", "--releases-url", &newer];
    let document: Value = serde_json::from_str(&up.ok(&asked)?)?;
    assert_eq!((document["latest"].as_str(), document["current"].as_bool()), (Some("99.1.0"), Some(false)));
    let same = releases("200 OK", concat!(r#"{"tag_name":"v"#, env!("CARGO_PKG_VERSION"), r#""}"#))?;
    assert!(
        up.ok(&["version", "--check", "--releases-url", &same])?.ends_with("This is the latest release.\n")
    );

    for (status, body, code) in [
        ("404 Not Found", "{}", 4),
        ("403 Forbidden", "{}", 6),
        ("200 OK", r#"{"tag_name":"nightly"}"#, 6),
        ("200 OK", "<html>", 6),
    ] {
        let url = releases(status, body)?;
        let output = up.run(&["version", "--check", "--client", "--releases-url", &url])?;
        assert_eq!(output.status.code(), Some(code), "{status} {body}: {output:?}");
    }
    up.kill();
    let alone = up.run(&["version"])?;
    let said = String::from_utf8(alone.stdout)?;
    assert!(alone.status.success() && said.contains("server   none: "), "no server is no failure: {said}");
    Ok(())
}

#[test]
fn there_is_a_manual_page_for_every_command() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let output = aphex().arg("man").arg(folder.path().join("man1")).output()?;
    assert!(output.status.success(), "{output:?}");
    for page in ["aphex.1", "aphex-pipeline-create.1", "aphex-secret-set.1", "aphex-logs.1"] {
        let text = std::fs::read_to_string(folder.path().join("man1").join(page))?;
        assert!(text.contains(".TH") && text.contains("SYNOPSIS"), "{page}: {text}");
    }
    let taken = folder.path().join("file");
    std::fs::write(&taken, "")?;
    let output = aphex().arg("man").arg(&taken).output()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr)?.contains("cannot write into"));
    Ok(())
}
