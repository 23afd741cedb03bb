//! Waiting for a condition, and what to show when it does not come.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(50);
/// So many last lines of a log are shown.
const LINES: usize = 15;

/// Looks until there is a value; an error ends the waiting.
pub(super) fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = look()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("waited {} s for {what}", patience.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
}

/// The name of a log and its last lines.
pub(super) fn tail(log: &Path) -> String {
    let text = match std::fs::read(log) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return format!("{}: {error}", log.display()),
    };
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join("\n  ");
    format!("{}, last lines:\n  {last}", log.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_shown_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("etcd.log");
        assert!(tail(&log).contains("etcd.log"));
        let lines: Vec<String> = (0..40).map(|number| format!("line {number}")).collect();
        std::fs::write(&log, lines.join("\n")).unwrap();
        let shown = tail(&log);
        assert!(shown.contains("etcd.log") && shown.ends_with("line 39"), "{shown}");
        assert!(!shown.contains("line 24\n"), "{shown}");
    }

    #[test]
    fn waiting_ends_with_what_was_waited_for() {
        let error = until::<()>("the end", Duration::ZERO, || Ok(None)).unwrap_err();
        assert_eq!(error.to_string(), "waited 0 s for the end");
    }
}
