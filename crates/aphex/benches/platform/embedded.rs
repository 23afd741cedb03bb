//! The built program, as `aphex up` runs it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// A running platform; killed when dropped.
pub struct Up {
    child: Child,
    pub kubeconfig: PathBuf,
}

impl Up {
    /// Starts it; gives the time until it said that it is ready.
    pub fn start(data: &Path) -> anyhow::Result<(Self, Duration)> {
        Self::start_program(Path::new(env!("CARGO_BIN_EXE_aphex")), data)
    }

    /// The same with another build of the program.
    pub fn start_program(program: &Path, data: &Path) -> anyhow::Result<(Self, Duration)> {
        let since = Instant::now();
        let mut child = Command::new(program)
            .args(["up", "--api-port", "0", "--gateway-port", "0", "--issuer-port", "0", "--data-dir"])
            .arg(data)
            .env("NO_COLOR", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().context("no output")?;
        let mut lines = BufReader::new(output).lines();
        let ready = lines.any(|line| line.is_ok_and(|line| line.contains("ready")));
        anyhow::ensure!(ready, "up did not become ready");
        Ok((Self { child, kubeconfig: data.join("kubeconfig") }, since.elapsed()))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Runs a command of the program against it; gives the time it took.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Duration> {
        let since = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_aphex"));
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments).stdout(Stdio::null());
        let status = command.status()?;
        anyhow::ensure!(status.success(), "aphex {arguments:?} ended with {status}");
        Ok(since.elapsed())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of processes together, MiB.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn resident(processes: &[u32]) -> anyhow::Result<f64> {
    let mut pages = 0_u64;
    for id in processes {
        let text = std::fs::read_to_string(format!("/proc/{id}/statm"))?;
        pages += text.split_whitespace().nth(1).context("no statm")?.parse::<u64>()?;
    }
    Ok((pages * 4096) as f64 / f64::from(1 << 20))
}

/// Seconds of the processor that a process has had, its own and the kernel's for it.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn processor(process: u32) -> anyhow::Result<f64> {
    /// Linux counts in hundredths, whatever the kernel's own tick (`USER_HZ`).
    const HERTZ: f64 = 100.0;
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in brackets may hold spaces; `utime` and `stime` are the 14th and 15th fields.
    let (_, rest) = text.rsplit_once(") ").context("no stat")?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || anyhow::Ok(fields.next().context("a short stat")?.parse::<u64>()?);
    Ok((ticks()? + ticks()?) as f64 / HERTZ)
}
