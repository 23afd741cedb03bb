//! `aphex up`: the whole platform on this machine.

use std::time::Duration;

use aphex_runtime::Shutdown;

use crate::cli::{Global, Part, Up};
use crate::local::{self, Platform, Settings};
use crate::output::{paint, say};
use crate::session::LOCAL_ISSUER;

pub(crate) async fn run(global: &Global, arguments: Up) -> anyhow::Result<()> {
    let data_dir = match arguments.data_dir {
        Some(folder) => folder,
        None => local::default_data_dir()?,
    };
    let settings = Settings {
        inbox: arguments.inbox.settings(Some(data_dir.join(local::SPOOL))),
        data_dir,
        bind: arguments.bind,
        api_port: arguments.api_port,
        gateway_port: arguments.gateway_port,
        issuer_port: (!arguments.without.contains(&Part::Issuer)).then_some(arguments.issuer_port),
        upstream: local::issuer::upstream(&arguments.upstream)?,
        kubeconfig: global.kubeconfig.clone(),
        authentication_config: arguments.authentication_config,
        history: arguments.history.map(Duration::from_secs),
        housekeeping: !arguments.without.contains(&Part::Housekeeping),
        calls: arguments.calls.into(),
    };
    let shutdown = Shutdown::on_signals()?;
    let platform = local::start(&settings, shutdown.clone()).await?;
    say(&welcome(&platform));
    shutdown.triggered().await;
    platform.stop().await;
    Ok(())
}

/// One screen of what to do next.
fn welcome(platform: &Platform) -> String {
    let kubeconfig = platform.kubeconfig.display();
    let head = paint("Aphex is ready.", "1;32");
    let (api, gateway, data) = (&platform.api_url, &platform.gateway_url, platform.data_dir.display());
    let issuer = platform.issuer.as_ref().map(issuer).unwrap_or_default();
    let login = platform.issuer.as_ref().map(login).unwrap_or_default();
    format!(
        "{head}\n\n  Kubernetes API   {api}\n  Webhooks         {gateway}/<organization>\n{issuer}  Data             {data}\n\n\
         In another terminal:\n\n  export KUBECONFIG={kubeconfig}\n  aphex apply -f examples/organization.yaml -f examples/repo-binding.yaml --wait 60\n  \
         aphex repo list\n  aphex push hello-world --payload examples/github-push.json\n  aphex delivery list\n{login}\n\
         kubectl works too: kubectl get organizations,repobindings -A\nCtrl-C stops; everything is kept in the data folder."
    )
}

/// How to become somebody else than the administrator.
fn login(issuer: &local::issuer::Running) -> String {
    let at = if issuer.url == LOCAL_ISSUER { String::new() } else { format!(" --issuer {}", issuer.url) };
    format!("  aphex login{at}\n")
}

/// The issuer's lines; the link to make the first administrator is in no log and no file.
fn issuer(issuer: &local::issuer::Running) -> String {
    let setup = issuer.setup_url.as_ref().map(|url| {
        format!("  First login      {url}\n                   makes the administrator, once, within a day\n")
    });
    format!("  Logins           {}\n{}", issuer.url, setup.unwrap_or_default())
}
