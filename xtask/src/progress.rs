//! Progress for people: a spinner on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::run::note;

/// One piece of work that takes a while.
#[derive(Debug)]
pub(crate) struct Step {
    what: String,
    since: Instant,
    bar: ProgressBar,
}

impl Step {
    /// Says what is being done, from now on.
    pub(crate) fn start(what: impl Into<String>) -> Self {
        let what = what.into();
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target).with_prefix(what.clone());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg:.dim}") {
            bar.set_style(style);
        }
        if terminal {
            bar.enable_steady_tick(Duration::from_millis(100));
        } else {
            note(&format!("..  {what}"));
        }
        Self { what, since: Instant::now(), bar }
    }

    /// What of it happens now; seen on a terminal only.
    pub(crate) fn tell(&self, detail: &str) {
        self.bar.set_message(detail.to_owned());
    }

    /// It is done.
    pub(crate) fn done(self) {
        self.bar.finish_and_clear();
        note(&format!("ok  {} ({:.1} s)", self.what, self.since.elapsed().as_secs_f32()));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
