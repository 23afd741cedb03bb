//! Builds one program of an engine with Go.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::cache;
use super::catalog::{Form, Program};
use super::pins::{Pins, counterpart};
use crate::progress::Step;

/// So much of what Go said is shown when it fails.
const SHOWN: usize = 20;

/// Builds a program into the cache, unless another run was faster.
pub(super) fn build(pins: &Pins, program: &Program, toolchain: &str) -> anyhow::Result<PathBuf> {
    let place = cache::place(pins, program, toolchain)?;
    let _lock = cache::lock(pins)?;
    if place.exists() {
        return Ok(place);
    }
    let folder = place.parent().context("a program has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let version = pins.version(program.module)?;
    let step = Step::start(format!("build {} {version} ({} {toolchain})", program.name, program.package));
    // Written beside and renamed, so that an interrupted build leaves no half a program under the name.
    let beside = folder.join(format!(".{}", program.name));
    go(&mut command(pins, program, version, &beside), &step)
        .with_context(|| format!("cannot build {} from engines/{}", program.name, pins.engine))?;
    fs::rename(&beside, &place).with_context(|| format!("cannot put {} into its place", place.display()))?;
    step.done();
    Ok(place)
}

fn command(pins: &Pins, program: &Program, version: &str, output: &Path) -> Command {
    let mut command = Command::new("go");
    match program.form {
        Form::Tests => command.args(["test", "-c"]),
        Form::Plain | Form::Static => command.arg("build"),
    };
    if program.form == Form::Static {
        command.env("CGO_ENABLED", "0");
    }
    let mut flags = OsString::from("-ldflags=");
    flags.push(linker_flags(program.module, version));
    command
        .args(["-v", "-mod=readonly", "-trimpath", "-buildvcs=false"])
        .arg(flags)
        .arg("-o")
        .arg(output)
        .arg(program.package)
        .current_dir(&pins.folder);
    command
}

/// No symbols, and the version that Kubernetes' programs tell: upstream's release scripts set it the same way.
fn linker_flags(module: &str, version: &str) -> String {
    let told = match module {
        "k8s.io/kubernetes" => Some(version.to_owned()),
        "k8s.io/kubectl" => counterpart(version),
        _ => None,
    };
    let Some(told) = told else { return "-s -w".to_owned() };
    let minor = told.split('.').nth(1).unwrap_or_default();
    let set = |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
    format!("-s -w{}{}{}", set("gitVersion", &told), set("gitMajor", "1"), set("gitMinor", minor))
}

/// Runs Go, telling of each package it compiles.
fn go(command: &mut Command, step: &Step) -> anyhow::Result<()> {
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot run go")?;
    let mut said = Vec::new();
    let mut packages = 0;
    for line in child.stderr.take().map(BufReader::new).into_iter().flat_map(BufReader::lines) {
        let line = line.context("cannot read what go says")?;
        if is_package(&line) {
            packages += 1;
            step.tell(&format!("{packages} packages compiled, now {line}"));
        } else {
            step.tell(&line);
            said.push(line);
        }
    }
    let status = child.wait().context("cannot wait for go")?;
    if !status.success() {
        bail!("go ended with {status}:\n{}", said[said.len().saturating_sub(SHOWN)..].join("\n"));
    }
    Ok(())
}

/// Whether a line of `go build -v` is the name of a package, rather than a download or an error.
fn is_package(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#') && !line.contains([' ', ':', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_kubernetes_tell_their_version() {
        let flags = linker_flags("k8s.io/kubectl", "v0.36.6");
        assert!(flags.contains("version.gitVersion=v1.36.6 "), "{flags}");
        assert!(flags.ends_with("version.gitMinor=36"), "{flags}");
        assert_eq!(linker_flags("go.etcd.io/etcd/server/v3", "v3.6.8"), "-s -w");
    }

    #[test]
    fn packages_are_told_from_messages() {
        assert!(is_package("k8s.io/api/core/v1"));
        assert!(!is_package("go: downloading k8s.io/api v0.35.4"));
        assert!(!is_package("main.go:3:1: syntax error"));
        assert!(!is_package("# k8s.io/api"));
    }
}
