//! `aphex doctor`: whether everything that the platform needs is there, before anything is created.
//!
//! It reads, and asks what may be done; it writes nothing. On a cluster the platform's own configuration (ConfigMap
//! `aphex-config`, Secret `aphex-cloudflare`) stands in for flags that are not given.

mod cloudflare;
mod cluster;
mod configuration;
mod gateway;

use aphex_runtime::errors;
use kube::Client;

use crate::cli::{Choice, Doctor, Exposure, Global};
use crate::exposure::{self, Way};
use crate::{connect, exit};

use super::report::{Check, Report};
use super::settings::Token;

pub(crate) async fn run(global: &Global, mut arguments: Doctor) -> anyhow::Result<()> {
    let mut report = Report::default();
    let client = reach(global, &mut report).await;
    let mut token = Token::Known;
    if let Some(client) = &client {
        token = configuration::complete(client, &mut arguments).await;
        cluster::kinds(client, &mut report).await;
        cluster::namespaces(client, &mut report).await;
        cluster::permissions(client, &mut report).await;
        cluster::workloads(client, &mut report).await;
    }
    gateway::answers(client.as_ref(), arguments.gateway_url.as_deref(), &mut report).await;
    way_in(client.as_ref(), &arguments.exposure, token, &mut report).await?;
    report.print(&global.output)?;
    match report.failed() {
        0 => Ok(()),
        failed => {
            let message = format!("{failed} of {} checks failed: each says what to do", report.len());
            Err(exit::Coded { code: exit::FAILURE, message }.into())
        }
    }
}

/// A client of an engine that answers.
async fn reach(global: &Global, report: &mut Report) -> Option<Client> {
    match connect::client(global).await {
        Ok(client) => cluster::version(&client, report).await.then_some(client),
        Err(error) => {
            let remedy = "start one with `aphex up`, or give --kubeconfig FILE";
            report.add(Check::fail("kubernetes", &errors::chain(error.as_ref()), remedy));
            None
        }
    }
}

/// How webhooks reach organizations, and whether they can.
async fn way_in(
    client: Option<&Client>,
    exposure: &Exposure,
    token: Token,
    report: &mut Report,
) -> anyhow::Result<()> {
    const CHECK: &str = "exposure";
    let way = match exposure::way(exposure) {
        Ok(way) => way,
        Err(_) if token == Token::Hidden && exposure.choice == Choice::Cloudflare => {
            let found = "cloudflare, with an API token that may not be read here";
            let remedy =
                "to examine it, run this as somebody who may get Secret platform-system/aphex-cloudflare";
            report.add(Check::warn(CHECK, found, remedy));
            return Ok(());
        }
        Err(error) => {
            let remedy = "give what is missing, or --exposure local";
            report.add(Check::fail(CHECK, &errors::chain(error.as_ref()), remedy));
            return Ok(());
        }
    };
    report.add(Check::ok(CHECK, way.as_str()));
    match (way, client) {
        (Way::Cloudflare { connection, places }, _) => {
            cloudflare::examine(connection, &places, exposure, report).await
        }
        (Way::Ingress { .. }, Some(client)) => {
            cluster::ingress_class(client, exposure, report).await;
            Ok(())
        }
        (Way::Ingress { .. } | Way::Local { .. }, _) => Ok(()),
    }
}
