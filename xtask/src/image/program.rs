//! `cargo xtask image`: the image of the `aphex` program, which has the program, certificates and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{Image, Layer, Reference, archive};
use crate::progress::Step;
use crate::run::{cargo, note, root, say};

/// Where Linux distributions keep the certificate authorities they trust, most common first.
const AUTHORITIES: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What `cargo xtask image` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The image's name and tag [default: localhost/aphex and the version]
    #[arg(long)]
    reference: Option<Reference>,
    /// The archive to write [default: aphex-image.tar in the target folder]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Build twice, in folders of their own, and compare: the same source must give the same image
    #[arg(long)]
    twice: bool,
}

/// How the program in an image is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// As it is shipped; takes minutes.
    Release,
    /// As tests are built, in a fraction of the time: for tests of everything around it.
    Quick,
}

/// Builds the program and its image; says where it is and what its digest is.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let out =
        arguments.out.clone().map_or_else(|| target().map(|target| target.join("aphex-image.tar")), Ok)?;
    let (reference, digest) = build(arguments.reference.clone(), &out, Build::Release)?;
    if arguments.twice {
        let folder = tempfile::tempdir_in(target()?).context("cannot make a folder to build in")?;
        let again = Program { folder: folder.path().to_owned(), build: Build::Release };
        let (_, second) = pack(Some(reference.clone()), &folder.path().join("image.tar"), &again)?;
        if digest != second {
            bail!("two builds of the same source differ: {reference} is {digest}, and then {second}");
        }
        note("built twice, the digests are the same");
    }
    let size = std::fs::metadata(&out).with_context(|| format!("cannot read {}", out.display()))?.len();
    say(&format!("{reference}@{digest}\n{} ({:.1} MB)", out.display(), bytes_to_megabytes(size)));
    Ok(())
}

/// Builds the program and writes its image; the reference and the digest of the manifest.
pub(crate) fn build(
    reference: Option<Reference>,
    out: &Path,
    build: Build,
) -> anyhow::Result<(Reference, String)> {
    pack(reference, out, &Program { folder: target()?, build })
}

fn pack(reference: Option<Reference>, out: &Path, program: &Program) -> anyhow::Result<(Reference, String)> {
    let facts = Facts::read()?;
    let reference = match reference {
        Some(reference) => reference,
        None => format!("localhost/aphex:{}", facts.version).parse().map_err(anyhow::Error::msg)?,
    };
    let program = program.compile()?;
    let step = Step::start(format!("pack {reference}"));
    let layer = Layer::new()
        .compressed()
        .program("aphex", &program)?
        .file("etc/passwd", 0o644, "nonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n")
        .file("etc/group", 0o644, "nonroot:x:65532:\n")
        .file("etc/nsswitch.conf", 0o644, "hosts: files dns\n")
        .file("etc/ssl/certs/ca-certificates.crt", 0o644, authorities()?);
    let image = Image {
        environment: vec!["PATH=/".to_owned(), "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt".to_owned()],
        created: facts.time.clone(),
        labels: facts.labels(),
        ..Image::new(reference.clone(), &["/aphex"], layer)
    };
    let digest = archive::write(out, vec![image])?.pop().context("an archive has an image")?;
    step.done();
    Ok((reference, digest))
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn bytes_to_megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// What labels tell of the source.
#[derive(Debug)]
struct Facts {
    version: String,
    description: String,
    license: String,
    repository: String,
    revision: String,
    /// Of the commit, so that the same source gives the same image.
    time: String,
}

impl Facts {
    fn read() -> anyhow::Result<Self> {
        let metadata = cargo()
            .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
            .output()
            .context("cannot run cargo metadata")?;
        let metadata: Value =
            serde_json::from_slice(&metadata.stdout).context("cannot read cargo's metadata")?;
        let packages = metadata["packages"].as_array().context("cargo's metadata has no packages")?;
        let package =
            packages.iter().find(|package| package["name"] == "aphex").context("no package aphex")?;
        let text = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            version: text("version"),
            description: text("description"),
            license: text("license"),
            // Not of the package, which is not published and so names none.
            repository: env!("CARGO_PKG_REPOSITORY").to_owned(),
            revision: git(&["rev-parse", "HEAD"]).unwrap_or_default(),
            time: git(&["log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"])
                .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned()),
        })
    }

    /// The pre-defined annotation keys of the OCI image specification.
    fn labels(&self) -> BTreeMap<String, String> {
        [
            ("title", "aphex"),
            ("description", &self.description),
            ("version", &self.version),
            ("licenses", &self.license),
            ("source", &self.repository),
            ("revision", &self.revision),
            ("created", &self.time),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned()))
        .collect()
    }
}

/// What git says; nothing outside of a repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).env("TZ", "UTC").current_dir(root()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// The program to be built for an image.
struct Program {
    /// The folder that cargo builds into.
    folder: PathBuf,
    build: Build,
}

impl Program {
    /// Builds it so that it needs no library and tells no path of this machine.
    fn compile(&self) -> anyhow::Result<PathBuf> {
        if !cfg!(target_os = "linux") {
            bail!("images are for Linux, so the program that goes into one is built there");
        }
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let paths = self.paths();
        let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
        flags.extend(
            paths.iter().map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())),
        );
        // C sources tell their paths as well.
        let c: Vec<String> =
            paths.iter().map(|(path, name)| format!("-ffile-prefix-map={}={name}", path.display())).collect();
        let (profile, below, strip) = match self.build {
            Build::Release => ("release", "release", false),
            Build::Quick => ("dev", "debug", true),
        };
        let step = Step::start(format!(
            "build aphex for its image, profile {profile} (the first time takes minutes)"
        ));
        let output = cargo()
            // With --target, flags go to the program and not to build scripts and macros, which cannot be static.
            .args([
                "build",
                "--profile",
                profile,
                "--locked",
                "--quiet",
                "--package",
                "aphex",
                "--target",
                &triple,
            ])
            .env("CARGO_TARGET_DIR", &self.folder)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .env(format!("CFLAGS_{}", triple.replace('-', "_")), c.join(" "))
            .envs(strip.then_some(("CARGO_PROFILE_DEV_STRIP", "true")))
            .output()
            .context("cannot run cargo build")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("cargo build ended with {}:\n{}", output.status, said.trim());
        }
        step.done();
        Ok(self.folder.join(triple).join(below).join("aphex"))
    }

    /// Folders of this machine, and what they are called in the program. Where several fit, the last one counts.
    fn paths(&self) -> Vec<(PathBuf, &'static str)> {
        let folder = |variable: &str, below: &str| {
            std::env::var_os(variable).map(PathBuf::from).or_else(|| home(below))
        };
        let mut paths = vec![(root(), "/source"), (self.folder.clone(), "/target")];
        paths.extend(folder("CARGO_HOME", ".cargo").map(|path| (path, "/cargo")));
        paths.extend(folder("RUSTUP_HOME", ".rustup").map(|path| (path, "/rustup")));
        paths
    }
}

fn home(below: &str) -> Option<PathBuf> {
    Some(PathBuf::from(std::env::var_os("HOME")?).join(below))
}

/// Where cargo builds into.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    let set = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    std::path::absolute(set.unwrap_or_else(|| root().join("target"))).context("cannot find the target folder")
}

fn authorities() -> anyhow::Result<Vec<u8>> {
    let found = AUTHORITIES.iter().find_map(|path| std::fs::read(path).ok());
    found.with_context(|| {
        format!(
            "no file with trusted certificate authorities: install the package ca-certificates ({})",
            AUTHORITIES.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_tell_what_the_source_is() {
        let labels = Facts::read().unwrap().labels();
        let get = |key: &str| labels.get(&format!("org.opencontainers.image.{key}")).cloned();
        assert_eq!(get("version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(get("licenses").as_deref(), Some("Apache-2.0"));
        assert!(get("source").unwrap().starts_with("https://"));
        assert!(get("created").unwrap().ends_with('Z'));
    }
}
