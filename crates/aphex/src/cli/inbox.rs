//! How the gateway takes events in, as typed.

use std::path::PathBuf;
use std::time::Duration;

use aphex_gateway::Inbox as Settings;
use aphex_gateway::inbox::{Keep, SpoolSettings};
use aphex_runtime::proxies::Proxy;
use clap::Args;

#[derive(Args, Clone, Debug)]
pub(crate) struct Inbox {
    /// Keep events in this folder while the Kubernetes API does not take them; each gateway needs one of its own
    /// [default: `spool` in the data folder of `aphex up`; none for `aphex gateway`, which then refuses them with 503]
    #[arg(long, value_name = "DIR", env = "APHEX_SPOOL_DIR")]
    spool_dir: Option<PathBuf>,
    /// How much may wait there, in bytes or with Ki, Mi, Gi; more is refused with 503, or 429 where one organization has most
    #[arg(long, value_name = "SIZE", env = "APHEX_SPOOL_LIMIT", default_value = "512Mi", value_parser = size)]
    spool_limit: u64,
    /// How long the Kubernetes API may take to store an event; GitHub itself waits for ten seconds
    #[arg(long, value_name = "DURATION", env = "APHEX_ENGINE_TIMEOUT", default_value = "2s", value_parser = patience)]
    engine_timeout: Duration,
    /// How many events of one organization may wait; more are refused with 429
    #[arg(long, value_name = "N", env = "APHEX_QUEUE_LIMIT", default_value_t = Settings::QUEUE_LIMIT, value_parser = at_least_one)]
    queue_limit: usize,
    /// How many finished deliveries of each binding are kept, those that failed counted apart
    #[arg(long, value_name = "N", env = "APHEX_KEEP_DELIVERIES", default_value_t = Keep::LAST)]
    keep_deliveries: usize,
    /// How many deliveries of each binding that failed are kept [default: as many as --keep-deliveries]
    #[arg(long, value_name = "N", env = "APHEX_KEEP_FAILED_DELIVERIES")]
    keep_failed_deliveries: Option<usize>,
    /// For how many days finished deliveries are kept
    #[arg(long, value_name = "N", env = "APHEX_KEEP_DAYS", default_value_t = Keep::DAYS, value_parser = clap::value_parser!(u32).range(1..=3650))]
    keep_days: u32,
    #[command(flatten)]
    proxies: Proxies,
}

/// Who stands in front of what listens.
#[derive(Args, Clone, Debug)]
pub(crate) struct Proxies {
    /// Believe the X-Forwarded-For of a proxy in front: an address or a range; may be repeated
    #[arg(long = "trusted-proxy", value_name = "CIDR", env = "APHEX_TRUSTED_PROXY", value_delimiter = ',')]
    pub(crate) trusted_proxies: Vec<Proxy>,
}

impl Inbox {
    /// The settings, with a folder for those who name none.
    pub(crate) fn settings(self, usual: Option<PathBuf>) -> Settings {
        let limit = self.spool_limit;
        Settings {
            spool: self.spool_dir.or(usual).map(|folder| SpoolSettings { folder, limit }),
            engine_timeout: self.engine_timeout,
            queue_limit: self.queue_limit,
            keep: Keep::new(self.keep_deliveries, self.keep_days)
                .failed(self.keep_failed_deliveries.unwrap_or(self.keep_deliveries)),
            trusted_proxies: self.proxies.trusted_proxies,
        }
    }
}

/// Bytes, as Kubernetes writes them.
fn size(text: &str) -> Result<u64, String> {
    let units = [("Ki", 10_u32), ("Mi", 20), ("Gi", 30), ("", 0)];
    let (number, shift) =
        units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift))).unwrap_or((text, 0));
    let number: u64 =
        number.parse().map_err(|_| "a number, or one with Ki, Mi or Gi behind it".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "that is more than any disk has".to_owned())
}

fn patience(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration such as 2s or 500ms, longer than nothing and no longer than 9s".to_owned();
    let duration: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from(duration).map_err(|_| wrong())?;
    if duration.is_zero() || duration > Duration::from_secs(9) { Err(wrong()) } else { Ok(duration) }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a number from 1 on".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_kubernetes_writes_them() {
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("2Ki"), Ok(2048));
        assert_eq!(size("512Mi"), Ok(SpoolSettings::LIMIT));
        assert_eq!(size("3Gi"), Ok(3 << 30));
        for wrong in ["", "Mi", "-1", "1.5Gi", "1MB", "99999999999999Gi"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn as_many_that_failed_are_kept_as_others_unless_told_otherwise() {
        #[derive(clap::Parser)]
        struct Typed {
            #[command(flatten)]
            inbox: Inbox,
        }
        let kept = |arguments: &[&str]| {
            let typed = <Typed as clap::Parser>::try_parse_from([&["aphex"], arguments].concat()).unwrap();
            let keep = typed.inbox.settings(None).keep;
            (keep.last, keep.failed)
        };
        assert_eq!(kept(&[]), (200, 200));
        assert_eq!(kept(&["--keep-deliveries", "7"]), (7, 7));
        assert_eq!(kept(&["--keep-failed-deliveries", "500"]), (200, 500));
    }

    #[test]
    fn patience_ends_before_githubs() {
        assert_eq!(patience("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(patience("2s"), Ok(Settings::ENGINE_TIMEOUT));
        for wrong in ["", "0s", "-1s", "10s", "soon"] {
            assert!(patience(wrong).is_err(), "{wrong}");
        }
    }
}
