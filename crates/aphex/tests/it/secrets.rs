//! `aphex secret`: values go in by standard input, and never come out.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::program::{Up, aphex, example};
use super::terminal::Terminal;

const VALUE: &str = "ghp_not-to-be-seen";

fn scene() -> anyhow::Result<(tempfile::TempDir, Up)> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(folder.path())?;
    up.ok(&["apply", "-f", &example("organization.yaml").to_string_lossy(), "--wait"])?;
    Ok((folder, up))
}

/// The value of a key, as whoever may read Secrets sees it.
fn kept(up: &Up, key: &str) -> anyhow::Result<Option<String>> {
    use base64::Engine as _;
    let runtime = tokio::runtime::Runtime::new()?;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let secret = runtime.block_on(async {
        let kubeconfig = kube::config::Kubeconfig::read_from(&up.kubeconfig)?;
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
                .await?;
        let client = kube::Client::try_from(config)?;
        let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> =
            kube::Api::namespaced(client, "org-acme-corp");
        anyhow::Ok(serde_json::to_value(secrets.get("org-secrets").await?)?)
    })?;
    let encoded = secret["data"][key].as_str();
    let decoded = encoded.map(|text| base64::engine::general_purpose::STANDARD.decode(text)).transpose()?;
    Ok(decoded.map(String::from_utf8).transpose()?)
}

#[test]
fn values_are_set_from_standard_input_and_never_shown() -> anyhow::Result<()> {
    let (folder, up) = scene()?;
    let mut all = String::new();
    for (key, input) in [("github-token", format!("{VALUE}\n")), ("other", "two\nlines\n\n".to_owned())] {
        let output = up.feed(&["secret", "set", "acme-corp", key], input.as_bytes())?;
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        all.push_str(&String::from_utf8(output.stdout)?);
    }
    assert_eq!(
        all,
        "github-token set in org-acme-corp/org-secrets\nother set in org-acme-corp/org-secrets\n"
    );
    assert_eq!(
        kept(&up, "github-token")?.as_deref(),
        Some(VALUE),
        "one line break at the end is not the value's"
    );
    assert_eq!(kept(&up, "other")?.as_deref(), Some("two\nlines\n"));
    let file = folder.path().join("key");
    std::fs::write(&file, "in a file\n")?;
    up.ok(&["secret", "set", "acme-corp", "deploy-key", "--from-file", &file.to_string_lossy()])?;
    assert_eq!(kept(&up, "deploy-key")?.as_deref(), Some("in a file\n"));

    for format in ["table", "wide", "json", "yaml", "name", "jsonpath={.keys[*].key}"] {
        let listed = up.ok(&["secret", "list", "acme-corp", "-o", format])?;
        assert!(listed.contains("github-token") && !listed.contains("ghp_"), "{format}: {listed}");
    }
    let listed = up.ok(&["secret", "list", "acme-corp"])?;
    let row: Vec<&str> = listed.lines().nth(2).unwrap_or_default().split_whitespace().collect();
    assert!(row[0] == "github-token" && row[1].ends_with('s'), "key and age: {listed}");

    assert_eq!(
        up.run(&["secret", "rm", "acme-corp", "other"])?.status.code(),
        Some(2),
        "nobody can be asked"
    );
    up.ok(&["secret", "rm", "acme-corp", "other", "--yes"])?;
    assert_eq!(up.ok(&["secret", "list", "acme-corp", "-o", "name"])?, "deploy-key\ngithub-token\n");
    let missing = up.run(&["secret", "rm", "acme-corp", "github-tokn", "--yes"])?;
    assert_eq!(missing.status.code(), Some(4));
    assert!(String::from_utf8(missing.stderr)?.contains("did you mean \"github-token\"?"));
    Ok(())
}

#[test]
fn a_terminal_is_asked_for_the_value_and_does_not_show_it() -> anyhow::Result<()> {
    let (_folder, up) = scene()?;
    let mut terminal = Terminal::start(&up.kubeconfig, &["secret", "set", "acme-corp", "typed"])?;
    terminal.answer_unseen("Value of typed", VALUE)?;
    let (code, shown) = terminal.end()?;
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains(VALUE), "{shown}");
    assert_eq!(kept(&up, "typed")?.as_deref(), Some(VALUE));
    Ok(())
}

#[test]
fn what_cannot_be_set_is_told_without_the_value() -> anyhow::Result<()> {
    let (_folder, up) = scene()?;
    let refused = |arguments: &[&str], input: &str, code: i32, part: &str| -> anyhow::Result<()> {
        let output = up.feed(arguments, input.as_bytes())?;
        let told = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(part) && !told.contains("ghp_"), "{told}");
        Ok(())
    };
    refused(&["secret", "set", "acme-corp", "token=ghp_x"], "", 2, "standard input")?;
    refused(&["secret", "set", "acme-corp", "empty"], "\n", 2, "is empty")?;
    refused(&["secret", "set", "nobody", "token"], VALUE, 4, "no namespace org-nobody")?;

    let ann = up.kubeconfig_as("ann", &["platform-engineering", "system:authenticated"])?;
    let output = Up::run_with(&ann, &["secret", "set", "acme-corp", "token"])?;
    let told = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(5), "{told}");
    assert!(told.contains("may not patch secrets \"org-secrets\" in namespace org-acme-corp"), "{told}");
    assert!(told.contains("administrators of organization acme-corp"), "{told}");
    Ok(())
}

#[test]
fn keys_of_all_organizations_are_listed_and_watched() -> anyhow::Result<()> {
    let (_folder, up) = scene()?;
    let mut watching = aphex()
        .arg("--kubeconfig")
        .arg(&up.kubeconfig)
        .args(["secret", "list", "-A", "--watch", "-o", "name"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = watching.stdout.take().map(|output| BufReader::new(output).lines().map_while(Result::ok));
    let Some(mut lines) = output else { anyhow::bail!("no output") };
    up.feed(&["secret", "set", "acme-corp", "one"], VALUE.as_bytes())?;
    assert!(lines.any(|line| line == "acme-corp/one"), "the first key");
    up.feed(&["secret", "set", "acme-corp", "two"], VALUE.as_bytes())?;
    assert!(lines.any(|line| line == "acme-corp/two"), "the second key");
    watching.kill()?;
    watching.wait()?;
    let all = up.ok(&["secret", "list", "-A"])?;
    assert!(all.starts_with("ORGANIZATION   KEY   AGE\nacme-corp      one   "), "{all}");
    assert!(!up.ok(&["secret", "list", "-A", "-o", "yaml"])?.contains(VALUE));
    assert_eq!(up.run(&["secret", "list"])?.status.code(), Some(2), "one or all");
    assert_eq!(up.run(&["secret", "list", "acme-corp", "-A"])?.status.code(), Some(2), "not both");
    Ok(())
}
