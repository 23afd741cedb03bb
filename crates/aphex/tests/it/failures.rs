//! `aphex up` that cannot start says what is wrong, with what, and what to do.

use std::net::TcpListener;
use std::path::Path;

use super::program::{Up, aphex};

fn refusal(data: &Path, more: &[&str]) -> anyhow::Result<String> {
    let output = aphex()
        .args(["up", "--api-port", "0", "--gateway-port", "0", "--issuer-port", "0", "--data-dir"])
        .arg(data)
        .args(more)
        .output()?;
    anyhow::ensure!(output.status.code() == Some(1), "ended with {}", output.status);
    anyhow::ensure!(output.stdout.is_empty(), "an error is no answer");
    Ok(String::from_utf8(output.stderr)?)
}

#[test]
fn a_busy_port_is_named_with_the_flag_that_helps() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let busy = TcpListener::bind("127.0.0.1:0")?;
    let port = busy.local_addr()?.port().to_string();
    let output = aphex()
        .args(["up", "--gateway-port", "0", "--issuer-port", "0", "--api-port", &port, "--data-dir"])
        .arg(folder.path())
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains(&format!("127.0.0.1:{port}")) && said.contains("--api-port"), "{said}");
    Ok(())
}

#[test]
fn a_second_up_on_the_same_folder_says_who_holds_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let first = Up::start(folder.path())?;
    let said = refusal(folder.path(), &[])?;
    assert!(said.contains(&format!("process {}", first.id())), "{said}");
    Ok(())
}

#[test]
fn a_damaged_store_is_named_and_left_as_it_is() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let store = folder.path().join("store.redb");
    std::fs::write(&store, vec![7; 10_000])?;
    let said = refusal(folder.path(), &[])?;
    assert!(said.contains("store.redb") && said.contains("damaged"), "{said}");
    assert_eq!(std::fs::read(&store)?, vec![7; 10_000]);
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_made_is_named() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file");
    std::fs::write(&file, "")?;
    let said = refusal(&file.join("data"), &[])?;
    assert!(said.contains("file/data") && said.contains("--data-dir"), "{said}");
    Ok(())
}

#[test]
fn an_unreachable_server_and_a_missing_object_have_their_own_exit_codes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut up = Up::start(folder.path())?;
    assert_eq!(up.run(&["org", "get", "nobody"])?.status.code(), Some(4));
    up.kill();
    assert_eq!(up.run(&["org", "list"])?.status.code(), Some(6));
    Ok(())
}
