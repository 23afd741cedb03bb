//! The first process of a node, in namespaces of its own: prepares mounts and network, starts what it is asked to, and
//! looks after processes that lost their parent.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use rustix::process::{WaitOptions, WaitStatus, wait};

use super::node_files::{ENGINES_INSIDE, INSIDE};
use super::requirements::system;
use super::sandbox::{Answer, SOCKET};
use super::services::Service;
use super::{control_groups, network};
use crate::run::note;

/// What the first process is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The cluster's folder.
    #[arg(long)]
    folder: PathBuf,
    /// The folder of all engines.
    #[arg(long)]
    engines: PathBuf,
    /// The machine's address.
    #[arg(long)]
    host: Ipv4Addr,
    /// The node's address.
    #[arg(long)]
    node: Ipv4Addr,
}

/// Settings of the whole machine that the kubelet changes without being asked.
const SETTINGS: &[&str] = &[
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Names of running services, by process id.
type Services = Arc<Mutex<HashMap<i32, String>>>;

/// Never returns while the node is there.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    anyhow::ensure!(std::process::id() == 1, "this is started by `cargo xtask cluster up`");
    mounts(arguments)?;
    network::inside(arguments.host, arguments.node)?;
    let name =
        arguments.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    control_groups::create(&name)?;
    let listener =
        UnixListener::bind(Path::new(INSIDE).join(SOCKET)).context("cannot listen for requests")?;
    let services = Services::default();
    let known = Arc::clone(&services);
    std::thread::spawn(move || serve(&listener, &known));
    reap(&services)
}

/// Gives the node its own view of the folders that Kubernetes writes to whatever it is told, so that none of it stays
/// on this machine, and puts the cluster's folder where its configuration says.
fn mounts(arguments: &Arguments) -> anyhow::Result<()> {
    let run = arguments.folder.join("run");
    fs::create_dir_all(&run).context("cannot create the node's /run")?;
    mount(&["-t", "tmpfs", "tmpfs"], &run)?;
    let below = |path: &str| run.join(path.trim_start_matches("/run/"));
    for (source, target) in [(&arguments.folder, below(INSIDE)), (&arguments.engines, below(ENGINES_INSIDE))]
    {
        fs::create_dir_all(&target).with_context(|| format!("cannot create {}", target.display()))?;
        mount(&["--bind", &source.to_string_lossy()], &target)?;
    }
    // Moved only now, because the cluster's folder may itself lie below /run.
    mount(&["--move", &run.to_string_lossy()], Path::new("/run"))?;
    for path in ["/var/log", "/var/lib"] {
        mount(&["-t", "tmpfs", "tmpfs"], Path::new(path))?;
    }
    settings()?;
    // Pods may ask to see mounts that appear later.
    mount(&["--make-rshared"], Path::new("/"))
}

/// Lets the kubelet change files that look like the machine's settings, so that the machine keeps its own.
fn settings() -> anyhow::Result<()> {
    for setting in SETTINGS {
        let real = Path::new("/proc/sys").join(setting);
        let Ok(value) = fs::read(&real) else { continue };
        let copy = Path::new("/run/settings").join(setting.replace('/', "."));
        fs::create_dir_all("/run/settings").context("cannot create /run/settings")?;
        fs::write(&copy, value).with_context(|| format!("cannot write {}", copy.display()))?;
        mount(&["--bind", &copy.to_string_lossy()], &real)?;
    }
    Ok(())
}

fn mount(arguments: &[&str], target: &Path) -> anyhow::Result<()> {
    // Without a note in /run/mount, which is this machine's or, once moved over, not there.
    network::run(system("mount").arg("--no-mtab").args(arguments).arg(target))
}

/// Answers requests, one at a time.
fn serve(listener: &UnixListener, services: &Services) {
    for stream in listener.incoming() {
        let answered = stream.map_err(anyhow::Error::from).and_then(|stream| answer(stream, services));
        if let Err(error) = answered {
            note(&format!("a request failed: {error:#}"));
        }
    }
}

fn answer(mut stream: UnixStream, services: &Services) -> anyhow::Result<()> {
    let mut request = Vec::new();
    stream.read_to_end(&mut request).context("cannot read a request")?;
    if request.is_empty() {
        // Someone looked whether we are there.
        return Ok(());
    }
    let started = serde_json::from_slice(&request)
        .context("cannot understand a request")
        .and_then(|service: Service| start(&service, services));
    let answer = match started {
        Ok(()) => Answer::Started,
        Err(error) => Answer::Failed(format!("{error:#}")),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    stream.write_all(&line).context("cannot answer a request")
}

fn start(service: &Service, services: &Services) -> anyhow::Result<()> {
    let log = Path::new(INSIDE).join("log").join(format!("{}.log", service.name));
    let output = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    let errors = output.try_clone().context("cannot share a log")?;
    let mut command = Command::new(&service.program);
    command
        .args(&service.arguments)
        .current_dir(INSIDE)
        .env("TMPDIR", Path::new(INSIDE).join("tmp"))
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    // Held over the start, so that an end right after it finds the name.
    let mut known = services.lock().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn().with_context(|| format!("cannot run {}", service.program.display()))?;
    known.insert(
        i32::try_from(child.id()).context("a process id is a positive number")?,
        service.name.clone(),
    );
    Ok(())
}

/// Waits for every process that ends, and writes down how services did.
fn reap(services: &Services) -> anyhow::Result<()> {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) => {
                let name = {
                    let mut known = services.lock().unwrap_or_else(PoisonError::into_inner);
                    known.remove(&pid.as_raw_nonzero().get())
                };
                if let Some(name) = name {
                    let file = Path::new(INSIDE).join("ended").join(&name);
                    fs::write(&file, how(status))
                        .with_context(|| format!("cannot write {}", file.display()))?;
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            // No process yet.
            Err(rustix::io::Errno::CHILD) => std::thread::sleep(std::time::Duration::from_millis(20)),
            Err(error) => return Err(error).context("cannot wait for processes"),
        }
    }
}

fn how(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
