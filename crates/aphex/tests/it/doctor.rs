//! `aphex doctor`: what it finds, what it says to do, and that it writes nothing.

use std::process::Output;

use aphex_testkit::cloudflare::{Cloudflare, DOMAIN, Scope};
use serde_json::Value;

use super::program::{Up, aphex};

/// The state, the finding and the remedy of a check.
fn check<'a>(report: &'a Value, name: &str) -> [&'a str; 3] {
    let checks = report["checks"].as_array().into_iter().flatten();
    let found = checks.clone().find(|check| check["check"] == name);
    let text = |field: &str| found.and_then(|check| check[field].as_str()).unwrap_or_default();
    [text("state"), text("found"), text("remedy")]
}

fn report(output: &Output, code: i32) -> anyhow::Result<Value> {
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.code() == Some(code), "ended with {}: {errors}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn a_platform_on_this_machine_is_in_order() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(folder.path())?;
    let report = report(&up.run(&["doctor", "-o", "json"])?, 0)?;
    assert_eq!(report["ok"], true, "{report}");
    for name in
        ["kubernetes", "kinds aphex.io", "kinds tekton.dev", "kinds argoproj.io", "permissions", "gateway"]
    {
        assert_eq!(check(&report, name)[0], "ok", "{name}: {report}");
    }
    assert_eq!(check(&report, "exposure")[1], "local");
    let table = up.ok(&["doctor"])?;
    assert!(
        table.starts_with("CHECK") && table.contains("gateway                     ok      http://127.0.0.1:"),
        "{table}"
    );
    assert!(up.ok(&["doctor", "-o", "name"])?.lines().all(|line| line.starts_with("ok/")));
    Ok(())
}

#[test]
fn a_developer_is_told_what_is_left_to_administrators_and_a_missing_kind_who_brings_it() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let up = Up::start(folder.path())?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(super::leader::forget(&up.kubeconfig, "appprojects.argoproj.io"))?;
    let broken = report(&up.run(&["doctor", "-o", "json"])?, 1)?;
    assert_eq!(check(&broken, "kinds argoproj.io"), ["fail", "not served: AppProject", "install Argo CD"]);

    let mut kubeconfig: Value = serde_saphyr::from_str(&std::fs::read_to_string(&up.kubeconfig)?)?;
    kubeconfig["users"][0]["user"]["as"] = "dev@acme.com".into();
    let developer = folder.path().join("developer");
    std::fs::write(&developer, kubeconfig.to_string())?;
    let output = aphex().arg("--kubeconfig").arg(&developer).args(["doctor", "-o", "json"]).output()?;
    let report = report(&output, 1)?;
    let [state, found, remedy] = check(&report, "permissions");
    assert!(state == "warn" && found.contains("create organizations"), "{report}");
    assert!(remedy.contains("platform-admins"), "{remedy}");
    Ok(())
}

#[test]
fn without_a_cluster_it_says_how_to_get_one() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let output = aphex()
        .args(["doctor", "-o", "json"])
        .env("HOME", folder.path())
        .env_remove("XDG_DATA_HOME")
        .output()?;
    let report = report(&output, 1)?;
    let [state, _, remedy] = check(&report, "kubernetes");
    assert_eq!(state, "fail");
    assert!(remedy.contains("aphex up"), "{remedy}");
    assert_eq!(check(&report, "gateway")[0], "warn");
    Ok(())
}

#[test]
fn cloudflare_is_examined_before_anything_is_made_and_nothing_is_changed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(folder.path())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let cloudflare = runtime.block_on(Cloudflare::start())?;
    cloudflare.put_tunnel("somebodys", |_| {});
    cloudflare.put_record("CNAME", "shop.example.com", "shop.example.net");
    let before = (cloudflare.tunnels().len(), cloudflare.records());
    let url = cloudflare.url();
    let doctor = |token: &str, domain: &str| {
        let mut command = aphex();
        command.arg("--kubeconfig").arg(&up.kubeconfig).env("CLOUDFLARE_API_TOKEN", token);
        command.args(["doctor", "-o", "json", "--cloudflare-url", &url, "--domain", domain]).output()
    };
    let token = cloudflare.token();
    let good = report(&doctor(&token, DOMAIN)?, 0)?;
    for name in ["cloudflare token", "cloudflare zone", "cloudflare tunnels", "cloudflare records"] {
        assert_eq!(check(&good, name)[0], "ok", "{name}: {good}");
    }
    let below = report(&doctor(&token, "hooks.example.com")?, 0)?;
    let [state, _, remedy] = check(&below, "cloudflare zone");
    assert!(state == "warn" && remedy.contains("certificate"), "{below}");
    let elsewhere = report(&doctor(&token, "example.org")?, 1)?;
    assert!(
        check(&elsewhere, "cloudflare zone")[1].contains("no active zone for example.org"),
        "{elsewhere}"
    );

    for (scope, name, permission) in [
        (Scope::TunnelEdit, "cloudflare tunnels", "Account/Cloudflare Tunnel/Edit"),
        (Scope::DnsEdit, "cloudflare records", "Zone/DNS/Edit"),
        (Scope::ZoneRead, "cloudflare zone", "Zone/Zone/Read"),
    ] {
        cloudflare.forbid(scope);
        let output = doctor(&token, DOMAIN)?;
        let lacking = report(&output, 1)?;
        let [state, _, remedy] = check(&lacking, name);
        assert!(state == "fail" && remedy.contains(permission), "{lacking}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("1 of"), "one check fails");
        cloudflare.allow_all();
    }
    let wrong = doctor("not-the-token", DOMAIN)?;
    let report = report(&wrong, 1)?;
    assert_eq!(check(&report, "cloudflare token")[0], "fail");
    let said =
        format!("{}{}", String::from_utf8_lossy(&wrong.stdout), String::from_utf8_lossy(&wrong.stderr));
    assert!(!said.contains("not-the-token"), "{said}");
    assert_eq!((cloudflare.tunnels().len(), cloudflare.records()), before);
    Ok(())
}
