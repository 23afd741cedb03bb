//! Health, version and metrics, and the two plain answers to paths that lead nowhere.

use std::fmt::Write as _;

use http::{HeaderMap, Response};
use serde_json::{Value, json};

use crate::body::Body;
use crate::request::{Encoding, Query};
use crate::respond;
use crate::server::ApiServer;

const TEXT: &str = "text/plain; charset=utf-8";
/// The version of Kubernetes that this server behaves as.
pub const VERSION: &str = "v1.35.4";

/// Whether a path is a probe.
pub fn is_probe(path: &[&str]) -> bool {
    matches!(path.first(), Some(&("healthz" | "livez" | "readyz")))
}

/// Answers health, version and metrics paths.
pub fn answer(
    server: &ApiServer,
    path: &[&str],
    query: &Query,
    headers: &HeaderMap,
) -> Option<Response<Body>> {
    match path {
        [probe @ ("healthz" | "livez" | "readyz")] => Some(health(server, probe, query)),
        ["healthz" | "livez" | "readyz", check] if checks(server).iter().any(|(name, _)| name == check) => {
            Some(respond::plain(200, TEXT, Body::full("ok")))
        }
        ["version"] => {
            let encoding = match ApiServer::plain_output(headers, query).encoding {
                Encoding::Json => Encoding::PrettyJson,
                other => other,
            };
            let bytes = respond::encode(&version(), encoding);
            Some(respond::plain(200, "application/json", Body::full(bytes)))
        }
        ["metrics"] => Some(respond::plain(200, TEXT, Body::full(server.metrics()))),
        _ => None,
    }
}

/// The document at `/version`.
pub fn version() -> Value {
    json!({
        "major": "1",
        "minor": "35",
        "emulationMajor": "1",
        "emulationMinor": "35",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "34",
        "gitVersion": VERSION,
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, platform()),
    })
}

/// The processor as Go names it.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn checks(server: &ApiServer) -> Vec<(&'static str, bool)> {
    vec![("ping", true), ("log", true), ("etcd", true), ("shutdown", !server.stopping.is_cancelled())]
}

fn health(server: &ApiServer, probe: &str, query: &Query) -> Response<Body> {
    let excluded: Vec<&str> = query.all("exclude").collect();
    let mut text = String::new();
    let mut healthy = true;
    for (name, ok) in checks(server) {
        if excluded.contains(&name) {
            let _ = writeln!(text, "[+]{name} excluded: ok");
        } else if ok || probe == "livez" {
            let _ = writeln!(text, "[+]{name} ok");
        } else {
            healthy = false;
            let _ = writeln!(text, "[-]{name} failed: reason withheld");
        }
    }
    let verbose = query.all("verbose").next().is_some();
    match (healthy, verbose) {
        (true, false) => respond::plain(200, TEXT, Body::full("ok")),
        (true, true) => respond::plain(200, TEXT, Body::full(format!("{text}{probe} check passed\n"))),
        (false, _) => respond::plain(500, TEXT, Body::full(format!("{text}{probe} check failed\n"))),
    }
}

/// A path that names nothing.
pub fn not_found() -> Response<Body> {
    respond::plain(404, TEXT, Body::full("404 page not found\n"))
}
