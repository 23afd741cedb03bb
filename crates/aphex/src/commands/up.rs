//! `aphex up`: the whole platform on this machine.

use std::time::Duration;

use aphex_runtime::Shutdown;

use crate::cli::{Global, Part, Up};
use crate::local::authentication::Authentication;
use crate::local::{self, Platform, Settings};
use crate::output::{paint, say};

pub(crate) async fn run(global: &Global, arguments: Up) -> anyhow::Result<()> {
    let data_dir = match arguments.data_dir {
        Some(folder) => folder,
        None => local::default_data_dir()?,
    };
    let settings = Settings {
        data_dir,
        bind: arguments.bind,
        api_port: arguments.api_port,
        gateway_port: arguments.gateway_port,
        kubeconfig: global.kubeconfig.clone(),
        authentication: arguments
            .authentication_config
            .map_or_else(Authentication::local, Authentication::File),
        history: arguments.history.map(Duration::from_secs),
        housekeeping: !arguments.without.contains(&Part::Housekeeping),
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
    format!(
        "{head}\n\n  Kubernetes API   {api}\n  Webhooks         {gateway}/<organization>\n  Data             {data}\n\n\
         In another terminal:\n\n  export KUBECONFIG={kubeconfig}\n  aphex apply -f examples/organization.yaml -f examples/repo-binding.yaml --wait 60\n  \
         aphex repo list\n  aphex push hello-world --payload examples/github-push.json\n  aphex delivery list\n\n\
         kubectl works too: kubectl get organizations,repobindings -A\nCtrl-C stops; everything is kept in the data folder."
    )
}
