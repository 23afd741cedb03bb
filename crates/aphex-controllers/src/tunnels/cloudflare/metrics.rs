//! Counts of requests to Cloudflare.

use aphex_runtime::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::calls::Call;
use super::error::Error;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    call: &'static str,
    answer: &'static str,
}

/// Requests by operation and answer.
#[derive(Clone, Debug)]
pub(super) struct Requests(Family<Labels, Counter>);

impl Requests {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let requests = Family::default();
        metrics.register(|registry| {
            registry.register(
                "aphex_cloudflare_requests",
                "Requests to Cloudflare by operation and answer: ok, refused, rate_limited, failed, unreadable, unreachable",
                requests.clone(),
            );
        });
        Self(requests)
    }

    pub(super) fn count<T>(&self, call: Call, result: &Result<T, Error>) {
        let answer = match result {
            Ok(_) => "ok",
            Err(Error::Refused { .. } | Error::NoZone { .. }) => "refused",
            Err(Error::RateLimited { .. }) => "rate_limited",
            Err(Error::Failed { .. }) => "failed",
            Err(Error::Unreadable { .. }) => "unreadable",
            Err(Error::Unreachable { .. }) => "unreachable",
            // Nothing was sent.
            Err(Error::Token { .. } | Error::TokenForm | Error::Setup(_) | Error::Random(_)) => return,
        };
        self.0.get_or_create(&Labels { call: call.as_str(), answer }).inc();
    }
}
