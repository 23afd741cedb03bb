//! Logging set-up: `tracing` to standard error.
//!
//! Standard output belongs to the answers of commands; everything said along the way goes to standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The environment variable that sets the filter, in `tracing`'s directive syntax.
pub const FILTER_VARIABLE: &str = "APHEX_LOG";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One readable line an event; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object an event, for collectors.
    Json,
}

/// Starts logging for the process; later calls do nothing.
///
/// `default` is the filter used when `APHEX_LOG` is not set or not understood.
pub fn init(format: Format, default: &str) {
    let filter = std::env::var(FILTER_VARIABLE)
        .ok()
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error here means that logging was started before, which is what the caller wants.
    let _ = match format {
        Format::Text => builder
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .with_target(false)
            .try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
}
