//! Starting `aphex up` and running commands against it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use anyhow::Context as _;

/// What `up` prints once it serves.
const READY: &str = "Aphex is ready.";
const PATIENCE: Duration = Duration::from_mins(1);

/// The program under test.
pub(crate) fn aphex() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aphex"));
    command
        .env_remove("KUBECONFIG")
        .env_remove("APHEX_DATA_DIR")
        .env_remove("CLOUDFLARE_API_TOKEN")
        .env("NO_COLOR", "1");
    command
}

/// The repository's examples.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// A running `aphex up`; killed when dropped.
pub(crate) struct Up {
    child: Child,
    pub(crate) kubeconfig: PathBuf,
    said: Arc<Mutex<Vec<String>>>,
}

impl Up {
    /// Starts on free ports and waits until it serves.
    pub(crate) fn start(data: &Path) -> anyhow::Result<Self> {
        Self::start_with(data, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(data: &Path, more: &[&str]) -> anyhow::Result<Self> {
        let mut child = aphex()
            .args(["up", "--api-port", "0", "--gateway-port", "0", "--issuer-port", "0", "--data-dir"])
            .arg(data)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("no standard output")?;
        let mut errors = child.stderr.take().context("no standard error")?;
        let (sender, ready) = mpsc::channel();
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if line == READY {
                    let _ = sender.send(());
                }
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        let mut up = Self { child, kubeconfig: data.join("kubeconfig"), said };
        if ready.recv_timeout(PATIENCE).is_err() {
            up.kill();
            anyhow::bail!("`aphex up` did not become ready; it said:\n{}", errors.join().unwrap_or_default());
        }
        Ok(up)
    }

    /// What the first screen says behind a word.
    pub(crate) async fn told(&self, word: &str) -> anyhow::Result<String> {
        let look = || async {
            let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(said.iter().find_map(|line| Some(line.trim().strip_prefix(word)?.trim().to_owned())))
        };
        aphex_testkit::eventually(&format!("`aphex up` says {word:?}"), look).await
    }

    /// Runs a command of the program against it.
    pub(crate) fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        aphex().arg("--kubeconfig").arg(&self.kubeconfig).args(arguments).output().context("cannot run aphex")
    }

    /// Runs a command that must succeed; gives what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::ensure!(
            output.status.success(),
            "aphex {arguments:?} ended with {}: {errors}",
            output.status
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// A kubeconfig for somebody else, by impersonation.
    pub(crate) fn kubeconfig_as(&self, name: &str, groups: &[&str]) -> anyhow::Result<PathBuf> {
        let mut config: serde_json::Value =
            serde_saphyr::from_str(&std::fs::read_to_string(&self.kubeconfig)?)?;
        config["users"][0]["user"]["as"] = name.into();
        config["users"][0]["user"]["as-groups"] = groups.into();
        let path = self.kubeconfig.with_file_name(format!("kubeconfig-{name}"));
        std::fs::write(&path, config.to_string())?;
        Ok(path)
    }

    /// Runs a command as the owner of another kubeconfig.
    pub(crate) fn run_with(kubeconfig: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
        aphex().arg("--kubeconfig").arg(kubeconfig).args(arguments).output().context("cannot run aphex")
    }

    /// Runs a command that is given something to read.
    pub(crate) fn feed(&self, arguments: &[&str], input: &[u8]) -> anyhow::Result<Output> {
        let mut child = aphex()
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("no standard input")?.write_all(input)?;
        Ok(child.wait_with_output()?)
    }

    /// Ends it at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end and waits; gives the exit code.
    pub(crate) fn terminate(&mut self) -> anyhow::Result<Option<i32>> {
        let status = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status()?;
        anyhow::ensure!(status.success(), "cannot send SIGTERM");
        Ok(self.child.wait()?.code())
    }

    /// The most memory that the process ever had, in bytes.
    pub(crate) fn most_memory(&self) -> anyhow::Result<usize> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the most memory it had")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.kill();
    }
}
