//! Running the program on a terminal, with somebody who answers.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use super::program::aphex;

const PATIENCE: Duration = Duration::from_secs(30);

/// The program on a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    pub(crate) fn start(kubeconfig: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_as(aphex(), kubeconfig, arguments)
    }

    /// The same with an environment of its own.
    pub(crate) fn start_as(
        mut program: Command,
        kubeconfig: &Path,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        program.arg("--kubeconfig").arg(kubeconfig).args(arguments);
        Self::of(program)
    }

    /// Any program on a terminal of its own.
    pub(crate) fn of(mut program: Command) -> anyhow::Result<Self> {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&controller)?;
        unlockpt(&controller)?;
        let name = ptsname(&controller, Vec::new())?.into_string()?;
        // It must not become the terminal of the tests themselves.
        let flags = i32::try_from(OpenptFlags::NOCTTY.bits())?;
        let open = || {
            let terminal = File::options().read(true).write(true).custom_flags(flags).open(&name);
            terminal.context("cannot open the terminal")
        };
        let child = program
            .env("TERM", "xterm")
            .stdin(Stdio::from(open()?))
            .stdout(Stdio::from(open()?))
            .stderr(Stdio::from(open()?))
            .spawn()?;
        let keyboard = File::from(controller);
        let mut reader = keyboard.try_clone()?;
        let (sender, screen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, keyboard, screen, shown: String::new() })
    }

    /// Types, without waiting for anything.
    pub(crate) fn keys(&mut self, keys: &str) -> anyhow::Result<()> {
        Ok(self.keyboard.write_all(keys.as_bytes())?)
    }

    /// Waits until the text is on the screen, then types a line.
    pub(crate) fn answer(&mut self, question: &str, line: &str) -> anyhow::Result<()> {
        self.wait_for(question)?;
        self.keyboard.write_all(format!("{line}\r").as_bytes())?;
        Ok(())
    }

    /// The same once what is typed is not shown any more.
    pub(crate) fn answer_unseen(&mut self, question: &str, line: &str) -> anyhow::Result<()> {
        self.wait_for(question)?;
        let deadline = Instant::now() + PATIENCE;
        while tcgetattr(&self.keyboard)?.local_modes.contains(LocalModes::ECHO) {
            anyhow::ensure!(Instant::now() < deadline, "what is typed is shown:\n{}", self.shown);
            std::thread::yield_now();
        }
        self.keyboard.write_all(format!("{line}\r").as_bytes())?;
        Ok(())
    }

    /// Waits until a text comes that was not on the screen before; gives all that came.
    pub(crate) fn wait_for(&mut self, question: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let from = self.shown.len();
        while !self.shown[from..].contains(question) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(bytes) = self.screen.recv_timeout(left) else {
                anyhow::bail!("{question:?} was not asked; on the screen is:\n{}", self.shown);
            };
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        Ok(self.shown[from..].to_owned())
    }

    /// Waits for the end; gives the exit code and all that was shown.
    pub(crate) fn end(mut self) -> anyhow::Result<(Option<i32>, String)> {
        let status = self.child.wait()?;
        // The reader ends with the terminal's last user.
        drop(self.keyboard);
        while let Ok(bytes) = self.screen.recv_timeout(PATIENCE) {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        Ok((status.code(), self.shown))
    }
}
