//! Processes, known by id and start time, so that another one that got the same id later is never ended.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::wait;

/// Every process of a cluster has this variable, naming the cluster's folder. It finds those that were started right
/// before a run was killed, whose ids were not yet written down.
pub(super) const MARK: &str = "APHEX_CLUSTER_STARTED_FROM";
/// A killed process is gone after this, unless the machine is in trouble.
const PATIENCE: Duration = Duration::from_secs(30);

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    /// Its id.
    pid: u32,
    /// When it started, in clock ticks after the machine did (proc_pid_stat(5), field 22).
    start: u64,
}

impl Process {
    /// The process that has an id now.
    pub(super) fn now(pid: u32) -> Option<Self> {
        let (start, ended) = stat(pid)?;
        (!ended).then_some(Self { pid, start })
    }

    /// Its id.
    pub(super) fn pid(self) -> u32 {
        self.pid
    }

    /// Whether it runs: the same process, not only the same id.
    pub(super) fn is_alive(self) -> bool {
        Self::now(self.pid) == Some(self)
    }

    /// Ends it, without giving it a say, and waits until it is gone.
    pub(super) fn end(self) -> anyhow::Result<()> {
        self.signal()?;
        wait::until(
            &format!("process {} to end", self.pid),
            PATIENCE,
            || Ok((!self.is_alive()).then_some(())),
        )
    }

    fn signal(self) -> anyhow::Result<()> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
        if !self.is_alive() {
            return Ok(());
        }
        match kill_process(pid, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot end process {}", self.pid)),
        }
    }

    /// The processes it started that run now.
    pub(super) fn children(self) -> Vec<Self> {
        let path = format!("/proc/{pid}/task/{pid}/children", pid = self.pid);
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().filter_map(|word| Self::now(word.parse().ok()?)).collect()
    }
}

/// Every process that was started for the cluster of a folder.
pub(super) fn marked(folder: &Path) -> Vec<Process> {
    let mark = format!("{MARK}={}", folder.display());
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own)
        .filter_map(Process::now)
        .filter(|process| {
            let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        })
        .collect()
}

/// When a process started, and whether it has ended and only waits to be looked after.
fn stat(pid: u32) -> Option<(u64, bool)> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in parentheses may have spaces and parentheses itself, so fields count from its end.
fn parse(stat: &str) -> Option<(u64, bool)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    // The state is field 3, the start time field 22.
    let start = fields.nth(18)?.parse().ok()?;
    Some((start, matches!(state, "Z" | "X")))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_start_time_is_read_past_any_name() {
        let line = |name: &str, state: &str| {
            format!(
                "7 ({name}) {state} 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 8192 1 18446744073709551615"
            )
        };
        assert_eq!(parse(&line("etcd", "S")), Some((4242, false)));
        assert_eq!(parse(&line("a) b (c", "Z")), Some((4242, true)));
        assert_eq!(parse("7 (etcd) S 1"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_the_process_that_was_meant_is_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::now(child.id()).unwrap();
        let recycled = Process { start: process.start - 1, ..process };
        recycled.end().unwrap();
        assert!(process.is_alive(), "another process with the same id was ended");
        process.end().unwrap();
        assert!(!process.is_alive());
        child.wait().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn processes_are_found_by_their_mark() {
        let folder = Path::new("/nowhere/marked");
        let mut child = Command::new("sleep").arg("60").env(MARK, folder).spawn().unwrap();
        let found = wait::until("the mark", Duration::from_secs(10), || {
            let found = marked(folder);
            Ok((!found.is_empty()).then_some(found))
        });
        assert_eq!(found.unwrap(), [Process::now(child.id()).unwrap()]);
        assert_eq!(marked(Path::new("/nowhere/else")), []);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
