//! People log in at our issuer with our command line, and a real kube-apiserver lets their groups decide.
//!
//! ```text
//! aphex issuer (TLS) ◄── browser.sh ◄── aphex login        aphex pipeline …, kubectl
//!        ▲                                                        │ ID token
//!        └──────────── keys ──────────── cluster up --oidc ◄──────┘
//! ```
//!
//! Needs no root. Everything is ended and removed again, however it goes.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use aphex_auth::pki::Authority;

use crate::cluster::{Cluster, Kind, Oidc, Options};
use crate::progress::Step;
use crate::run::{built, cargo, note, root, succeed};

const CLUSTER: &str = "logins";
const BROWSER: &str = include_str!("logins/browser.sh");
const PASSWORD: &str = "a kestrel over wet slate roofs";
/// What `aphex issuer` prints once it serves.
const READY: &str = "The issuer is ready.";
const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(200);
/// A Tekton Pipeline, as a developer has it.
const TASKS: &str =
    "tasks: [{name: say, taskSpec: {steps: [{name: say, image: busybox, script: 'echo hello'}]}}]\n";

/// Raises issuer and cluster, plays the session, and takes all of it down.
pub(crate) fn run() -> anyhow::Result<()> {
    succeed(cargo().args(["build", "--package", "aphex"]))?;
    let scene = Scene::new()?;
    let played = play(&scene);
    if played.is_err() {
        note(&format!("the issuer said:\n{}", scene.said()));
    }
    drop(scene);
    Cluster::down(CLUSTER).with_context(|| format!("cannot take down cluster {CLUSTER}"))?;
    played
}

fn play(scene: &Scene) -> anyhow::Result<()> {
    for (name, group) in [("ann", "platform-engineering"), ("oscar", "platform-operators")] {
        scene.person(name, group)?;
    }
    let oidc = Oidc { issuer: scene.url.clone(), ca: Some(fs::read_to_string(scene.ca())?) };
    let kind = Kind::Api { controllers: false };
    let cluster = Cluster::up(&Options { name: CLUSTER.to_owned(), kind, port: None, oidc: Some(oidc) })?;
    let kubectl = |arguments: &[&str]| {
        succeed(cluster.kubectl()?.args(arguments).current_dir(root()).stdout(Stdio::null()))
    };
    kubectl(&["apply", "--server-side", "-f", "platform/crds/platform.dev_pipelines.yaml"])?;
    kubectl(&["wait", "--for=condition=Established", "crd/pipelines.platform.dev"])?;
    kubectl(&["apply", "--server-side", "-f", "platform/bootstrap/namespace.yaml"])?;
    kubectl(&["apply", "--server-side", "-k", "platform/rbac"])?;
    kubectl(&["create", "namespace", "team-shop"])?;

    let step = Step::start("people log in with aphex, and kube-apiserver lets their groups decide");
    let ann = scene.logged_in("ann", &cluster)?;
    ann.eventually("kube-apiserver takes her token", &["whoami"], "ann@acme.example")?;
    ann.says(0, &["whoami", "-n", "team-shop"], "platform-engineering")?;
    let build = scene.path("build.yaml");
    fs::write(&build, TASKS)?;
    let build = build.to_string_lossy().into_owned();
    let create = [
        "pipeline",
        "create",
        "shop",
        "-n",
        "team-shop",
        "--org",
        "acme",
        "--repo",
        "acme/shop",
        "--pipeline",
        &build,
    ];
    ann.says(0, &create, "pipeline.platform.dev/shop created")?;
    ann.says(0, &["pipeline", "list", "-A", "-o", "name"], "pipeline.platform.dev/shop")?;
    ann.says(5, &["pipeline", "delete", "shop", "-n", "team-shop", "--yes"], "platform-operators")?;
    // kubectl, with the same context: `aphex token` is its credential plugin.
    let mut command = Command::new(cluster.kubectl()?.get_program());
    let seen =
        ann.dress(&mut command).args(["--context", "aphex", "auth", "whoami", "-o", "name"]).output()?;
    ensure!(seen.status.success(), "kubectl: {}", String::from_utf8_lossy(&seen.stderr));

    let oscar = scene.logged_in("oscar", &cluster)?;
    oscar.says(
        0,
        &["pipeline", "delete", "shop", "-n", "team-shop", "--yes"],
        "pipeline.platform.dev/shop deleted",
    )?;
    oscar.says(0, &["logout"], "Logged out oscar@acme.example")?;
    oscar.says(5, &["pipeline", "list", "-n", "team-shop"], "aphex login")?;
    ann.says(0, &["pipeline", "list", "-n", "team-shop"], "No pipelines found")?;
    step.done();
    Ok(())
}

/// A running issuer over TLS, in a folder of its own; ended when dropped.
struct Scene {
    folder: tempfile::TempDir,
    issuer: Child,
    url: String,
}

impl Scene {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let pki = folder.path().join("pki");
        let now = jiff::Timestamp::now();
        let authority = Authority::load_or_create(&pki, now)?;
        // Writes the server's certificate and key beside the authority's.
        authority.server_config(&["127.0.0.1".to_owned()], now)?;
        fs::write(folder.path().join("password"), PASSWORD)?;
        let browser = folder.path().join("browser.sh");
        fs::write(&browser, BROWSER)?;
        fs::set_permissions(&browser, fs::Permissions::from_mode(0o755))?;
        // The cluster's configuration has the address before the issuer runs, so the port is chosen here.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let url = format!("https://127.0.0.1:{port}");
        let log = File::create(folder.path().join("issuer.log"))?;
        let issuer = Command::new(built("aphex"))
            .args(["issuer", "--listen", &format!("127.0.0.1:{port}"), "--issuer-url", &url, "--data-dir"])
            .arg(folder.path())
            .arg("--tls-cert")
            .arg(pki.join("server.crt"))
            .arg("--tls-key")
            .arg(pki.join("server.key"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run aphex issuer")?;
        let mut scene = Self { folder, issuer, url };
        let deadline = Instant::now() + PATIENCE;
        while !scene.said().contains(READY) {
            let ended = scene.issuer.try_wait()?.is_some();
            ensure!(
                !ended && Instant::now() < deadline,
                "aphex issuer does not answer; it said:\n{}",
                scene.said()
            );
            std::thread::sleep(PAUSE);
        }
        Ok(scene)
    }

    /// What the issuer has printed.
    fn said(&self) -> String {
        fs::read_to_string(self.path("issuer.log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ca(&self) -> PathBuf {
        self.path("pki/ca.crt")
    }

    /// Adds somebody to the issuer's directory.
    fn person(&self, name: &str, group: &str) -> anyhow::Result<()> {
        let mut add = Command::new(built("aphex"))
            .args([
                "user",
                "add",
                name,
                "--email",
                &format!("{name}@acme.example"),
                "--group",
                group,
                "--data-dir",
            ])
            .arg(self.folder.path())
            .arg("--issuer-ca")
            .arg(self.ca())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        add.stdin.take().context("a pipe")?.write_all(PASSWORD.as_bytes())?;
        ensure!(add.wait()?.success(), "cannot add {name}");
        Ok(())
    }

    /// Logs somebody in, in a home of their own.
    fn logged_in(&self, name: &str, cluster: &Cluster) -> anyhow::Result<Person> {
        let home = self.path(name);
        fs::create_dir(&home)?;
        fs::write(home.join("config"), "apiVersion: v1\nkind: Config\n")?;
        // A copy: it says which context is the current one, and that changes.
        fs::copy(cluster.kubeconfig(), home.join("cluster"))?;
        let paths = [home.join("config"), home.join("cluster")];
        let person = Person {
            kubeconfig: std::env::join_paths(paths)?,
            home,
            environment: vec![
                ("LOGIN_FOLDER", self.folder.path().to_owned()),
                ("LOGIN_USER", name.into()),
                ("LOGIN_ISSUER", self.url.clone().into()),
                ("LOGIN_CA", self.ca()),
                ("BROWSER", self.path("browser.sh")),
            ],
        };
        let ca = self.ca().to_string_lossy().into_owned();
        let login =
            ["login", "--with", "aphex", "--issuer", &self.url, "--certificate-authority", &ca, "--use"];
        person.says(0, &login, &format!("as {name}@acme.example"))?;
        Ok(person)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.issuer.kill();
        let _ = self.issuer.wait();
    }
}

/// Somebody at a command line.
struct Person {
    home: PathBuf,
    kubeconfig: std::ffi::OsString,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Person {
    fn dress<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let set = |name: &str, folder: &Path| (name.to_owned(), folder.to_owned());
        command
            .envs([
                set("HOME", &self.home),
                set("XDG_CONFIG_HOME", &self.home),
                set("XDG_DATA_HOME", &self.home),
            ])
            .env("KUBECONFIG", &self.kubeconfig)
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().map(|(name, value)| (*name, value.as_path())))
            .stdin(Stdio::null())
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<(Output, String)> {
        let output = self.dress(&mut Command::new(built("aphex"))).args(arguments).output()?;
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok((output, said))
    }

    /// Runs a command that must end so and say so.
    fn says(&self, code: i32, arguments: &[&str], part: &str) -> anyhow::Result<()> {
        let (output, said) = self.run(arguments)?;
        let right = output.status.code() == Some(code) && said.contains(part);
        ensure!(right, "aphex {arguments:?} ended with {} and did not say {part:?}:\n{said}", output.status);
        note(&format!("    aphex {} -> {code}, {part:?}", arguments.join(" ")));
        Ok(())
    }

    /// The same for what takes a moment: the API server asks for the issuer's keys by itself.
    fn eventually(&self, what: &str, arguments: &[&str], part: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (output, said) = self.run(arguments)?;
            if output.status.success() && said.contains(part) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{what}: aphex {arguments:?} says:\n{said}");
            }
            std::thread::sleep(PAUSE);
        }
    }
}
