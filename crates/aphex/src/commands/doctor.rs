//! `aphex doctor`: whether everything that the platform needs is there, before anything is created.
//!
//! It reads, and asks what may be done; it writes nothing. On a cluster the platform's own configuration (ConfigMap
//! `aphex-config`, Secret `aphex-cloudflare`) stands in for flags that are not given.

mod cloudflare;
mod cluster;
mod configuration;
mod gateway;
mod report;

use crate::cli::{Doctor, Global};
use crate::exposure::{self, Way};
use crate::{connect, exit};

use report::{Check, Report};

pub(crate) async fn run(global: &Global, mut arguments: Doctor) -> anyhow::Result<()> {
    let mut report = Report::default();
    let mut client = None;
    match connect::client(global).await {
        Ok(connected) => {
            if cluster::version(&connected, &mut report).await {
                client = Some(connected);
            }
        }
        Err(error) => {
            let remedy = "start one with `aphex up`, or give --kubeconfig FILE";
            report.add(Check::fail("kubernetes", &chain(&error), remedy));
        }
    }
    if let Some(client) = &client {
        configuration::complete(client, &mut arguments).await;
        cluster::kinds(client, &mut report).await;
        cluster::namespaces(client, &mut report).await;
        cluster::permissions(client, &mut report).await;
    }
    gateway::answers(client.as_ref(), arguments.gateway_url.as_deref(), &mut report).await;
    match exposure::way(&arguments.exposure) {
        Err(error) => {
            report.add(Check::fail("exposure", &chain(&error), "give what is missing, or --exposure local"));
        }
        Ok(way) => {
            report.add(Check::ok("exposure", way.as_str()));
            match way {
                Way::Cloudflare { connection, places } => {
                    cloudflare::examine(connection, &places, &arguments.exposure, &mut report).await?;
                }
                Way::Ingress { .. } => {
                    if let Some(client) = &client {
                        cluster::ingress_class(client, &arguments.exposure, &mut report).await;
                    }
                }
                Way::Local => {}
            }
        }
    }
    report.print(global.output)?;
    match report.failed() {
        0 => Ok(()),
        failed => {
            let message = format!("{failed} of {} checks failed: each line says what to do", report.len());
            Err(exit::Coded { code: exit::FAILURE, message }.into())
        }
    }
}

fn chain(error: &anyhow::Error) -> String {
    aphex_runtime::errors::chain(error.as_ref())
}
