//! Where built programs lie.
//!
//! ```text
//! $XDG_CACHE_HOME/aphex/engines/
//!   kubernetes/v1.35.4-3f0c9a1b22d4-go1.26.8-linux-amd64/kubelet    by version, module and toolchain
//!   sets/8c1d…/kubelet -> …                                         all of one checkout's, by name
//! ```

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::catalog::{self, Program};
use super::pins::Pins;
use super::toolchain;
use crate::run::note;
use crate::{digest, folders};

/// The folder of all engines.
fn folder() -> anyhow::Result<PathBuf> {
    Ok(folders::cache()?.join("engines"))
}

/// The start of the name of a build's folder: all but the toolchain.
fn key(pins: &Pins, program: &Program) -> anyhow::Result<String> {
    Ok(format!("{}-{}", pins.version(program.module)?, &pins.digest[..12]))
}

/// Where a program is put by a toolchain.
pub(super) fn place(pins: &Pins, program: &Program, toolchain: &str) -> anyhow::Result<PathBuf> {
    let build = format!("{}-{toolchain}", key(pins, program)?);
    Ok(folder()?.join(pins.engine).join(build).join(program.name))
}

/// The built program; without a toolchain any build of the same pins will do.
pub(super) fn find(
    pins: &Pins,
    program: &Program,
    toolchain: Option<&str>,
) -> anyhow::Result<Option<PathBuf>> {
    if let Some(toolchain) = toolchain {
        let place = place(pins, program, toolchain)?;
        return Ok(place.exists().then_some(place));
    }
    let start = format!("{}-", key(pins, program)?);
    let Ok(builds) = fs::read_dir(folder()?.join(pins.engine)) else { return Ok(None) };
    let mut found: Vec<PathBuf> = builds
        .filter_map(|build| Some(build.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start)))
        .map(|path| path.join(program.name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    Ok(found.pop())
}

/// One folder with a link to every built program of this checkout.
pub(super) fn linked() -> anyhow::Result<PathBuf> {
    let mut links = Vec::new();
    let mut keys = Vec::new();
    for engine in catalog::ENGINES {
        let pins = Pins::read(engine)?;
        let toolchain = toolchain::version(engine).ok();
        keys.push(format!("{} {} {}", engine.name, pins.digest, toolchain.as_deref().unwrap_or_default()));
        for program in engine.programs {
            if let Some(path) = find(&pins, program, toolchain.as_deref())? {
                links.push((program.name, path));
            }
        }
    }
    let set = folder()?.join("sets").join(&digest::sha256(keys.join("\n").as_bytes())[..12]);
    fs::create_dir_all(&set).with_context(|| format!("cannot create {}", set.display()))?;
    for (name, target) in links {
        link(&set, name, &target)?;
    }
    Ok(set)
}

/// Makes or moves a link; others never see it missing.
fn link(set: &Path, name: &str, target: &Path) -> anyhow::Result<()> {
    let place = set.join(name);
    if fs::read_link(&place).is_ok_and(|now| now == target) {
        return Ok(());
    }
    let beside = set.join(format!(".{name}.{}", std::process::id()));
    symlink(target, &beside)
        .and_then(|()| fs::rename(&beside, &place))
        .with_context(|| format!("cannot make the link {}", place.display()))
}

/// Held while one engine is built, so that two runs do not build the same.
pub(super) fn lock(pins: &Pins) -> anyhow::Result<File> {
    let folder = folder()?.join(pins.engine);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join(".lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    if file.try_lock().is_err() {
        note(&format!("another run builds {}: waiting for it", pins.engine));
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(file)
}
