//! Clusters as the command raises and ends them, with real engines.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Clusters of one test, in a folder of their own, ended with the test whatever its outcome.
struct Clusters {
    state: tempfile::TempDir,
}

impl Clusters {
    fn new() -> Self {
        Self { state: tempfile::tempdir().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("cluster").args(arguments).env("XDG_STATE_HOME", self.state.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.state.path().join("aphex/clusters").join(name)
    }

    /// Processes that were started for the cluster.
    fn processes(&self, name: &str) -> usize {
        let mark = format!("APHEX_CLUSTER_STARTED_FROM={}", self.folder(name).display());
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| fs::read(entry.ok()?.path().join("environ")).ok())
            .filter(|environment| environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes()))
            .count()
    }
}

impl Drop for Clusters {
    fn drop(&mut self) {
        let Ok(clusters) = fs::read_dir(self.folder("")) else { return };
        for cluster in clusters.flatten().filter(|cluster| cluster.path().is_dir()) {
            let name = cluster.file_name();
            let _ = self.command(&["down", "--name"]).arg(name).output();
        }
    }
}

/// What the API alone needs.
const API: &[&str] = &["etcd", "kube-apiserver", "kubectl"];
/// What a node needs besides; not built for tests, so they may be missing.
const NODE: &[&str] = &["kube-controller-manager", "kubelet", "kube-proxy", "kube-scheduler", "coredns"];

/// The folder of engines, when it has all of these. Where engines are required, the API's must be there.
fn engines(test: &str, names: &[&str]) -> Option<PathBuf> {
    let folder = std::env::var_os("APHEX_ENGINES").map(PathBuf::from);
    let missing = |name: &&&str| !folder.as_ref().is_some_and(|folder| folder.join(name).exists());
    let missing: Vec<&str> = names.iter().filter(missing).copied().collect();
    if missing.is_empty() {
        return folder;
    }
    let required = std::env::var_os("APHEX_REQUIRE_ENGINES").is_some();
    let of_api = missing.iter().any(|name| API.contains(name));
    assert!(!(required && of_api), "run `cargo xtask engines`: $APHEX_ENGINES lacks {}", missing.join(", "));
    left_out(test, &format!("needs the engines {}", missing.join(", ")))
}

/// Says that a test did not run; past the harness, which swallows what is printed.
fn left_out<T>(test: &str, why: &str) -> Option<T> {
    writeln!(std::io::stdout().lock(), "left out: {test}: {why}").unwrap();
    None
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn apis_of_two_clusters_run_at_once_and_end_without_a_trace() {
    let Some(engines) = engines("two API clusters", API) else { return };
    let clusters = Clusters::new();
    for name in ["one", "two"] {
        clusters.succeed(&["up", "--api-only", "--name", name]);
    }
    let get = |name: &str, what: &str| {
        let config = clusters.succeed(&["kubeconfig", "--name", name]);
        let mut kubectl = Command::new(engines.join("kubectl"));
        kubectl.args(["get", what, "-o", "name", "--kubeconfig", config.trim()]).output().unwrap()
    };
    let config = clusters.succeed(&["kubeconfig", "--name", "one"]);
    let made = Command::new(engines.join("kubectl"))
        .args(["create", "namespace", "mine", "--kubeconfig", config.trim()])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(get("one", "namespace/mine").status.success());
    assert!(!get("two", "namespace/mine").status.success(), "clusters share their objects");
    assert!(clusters.succeed(&["status", "--name", "one"]).contains("kube-apiserver"));
    clusters.succeed(&["down", "--name", "one"]);
    assert_eq!(clusters.processes("one"), 0);
    assert!(!clusters.folder("one").exists());
    assert!(get("two", "namespaces").status.success(), "ending one cluster ended the other");
}

#[test]
fn a_cluster_that_was_left_half_way_is_cleaned_by_the_next_up() {
    if engines("a killed run", API).is_none() {
        return;
    }
    let clusters = Clusters::new();
    let up = ["up", "--api-only", "--name", "cut"];
    let child = clusters.command(&up).stderr(Stdio::null()).spawn().unwrap();
    let record = clusters.folder("cut").join("processes/kube-apiserver.json");
    wait_for("the API server to be started", || record.exists());
    kill(child);
    assert!(clusters.processes("cut") > 0, "nothing was left to clean");
    let before = fs::read(&record).unwrap();
    clusters.succeed(&up);
    assert_ne!(fs::read(&record).unwrap(), before);
    assert_eq!(clusters.processes("cut"), 2, "etcd and kube-apiserver, and nothing of the killed run");
    clusters.succeed(&["down", "--name", "cut"]);
    assert_eq!(clusters.processes("cut"), 0);
}

#[test]
fn a_log_is_named_when_a_cluster_does_not_come_up() {
    if engines("a cluster that fails", API).is_none() {
        return;
    }
    let clusters = Clusters::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = clusters.run(&["up", "--api-only", "--name", "one", "--port", &port]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains(&format!("port {port} is taken")), "{said}");
    assert_eq!(clusters.processes("one"), 0);
    let output = clusters.run(&["kubeconfig", "--name", "one"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cluster up --name one"), "{said}");
}

#[test]
fn a_node_runs_pods_and_leaves_nothing_behind() {
    let test = "a node";
    let Some(engines) = engines(test, &[API, NODE].concat()) else { return };
    if !Path::new("/usr/bin/containerd").exists() || !rustix::process::geteuid().is_root() {
        left_out::<()>(test, "needs root and containerd");
        return;
    }
    let clusters = Clusters::new();
    // Control groups are named after the cluster, and someone else may have a node as well.
    let name = format!("node-{}", std::process::id());
    clusters.succeed(&["up", "--name", &name]);
    let config = clusters.succeed(&["kubeconfig", "--name", &name]);
    let kubectl = |arguments: &[&str]| {
        let mut command = Command::new(engines.join("kubectl"));
        let output = command.args(["--kubeconfig", config.trim()]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let asker = ["run", "asker", "--image=localhost/busybox:1", "--restart=Never", "--command", "--"];
    kubectl(&[asker.as_slice(), &["nslookup", "kubernetes.default.svc.cluster.local"]].concat());
    kubectl(&["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/asker", "--timeout=60s"]);
    assert!(kubectl(&["logs", "asker"]).contains("10.96.0.1"), "the pod did not find the API's service");
    let record = fs::read_to_string(clusters.folder(&name).join("cluster.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let interface = PathBuf::from("/sys/class/net").join(record["network"]["interface"].as_str().unwrap());
    assert!(interface.exists() && !groups(&name).is_empty(), "what is not seen now cannot be missed later");
    clusters.succeed(&["down", "--name", &name]);
    assert_eq!(clusters.processes(&name), 0);
    assert_eq!(groups(&name), [] as [PathBuf; 0]);
    assert!(!interface.exists() && !clusters.folder(&name).exists());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(clusters.state.path().to_str().unwrap()), "{mounts}");
}

/// The control groups of a node.
fn groups(name: &str) -> Vec<PathBuf> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap();
    hierarchies
        .map(|hierarchy| hierarchy.unwrap().path().join(format!("aphex-{name}")))
        .chain([PathBuf::from(format!("/sys/fs/cgroup/aphex-{name}"))])
        .filter(|group| group.exists())
        .collect()
}
