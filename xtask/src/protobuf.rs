//! Makes the data that the API server reads protobuf bodies with, and the bodies it is tested with.
//!
//! Both come from the Go types of the pinned Kubernetes modules, by reflection: `engines/client-go` has them compiled in.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use anyhow::Context as _;
use flate2::{Compression, GzBuilder};

use crate::run::{root, succeed};
use crate::{engines, folders};

/// Writes `data/protobuf.json.gz` and `tests/data/protobuf/bodies.jsonl.gz` of the API server.
pub(crate) fn write() -> anyhow::Result<()> {
    let program = engines::program("client-go")?;
    let crate_folder = root().join("crates/aphex-apiserver");
    let cache = folders::cache()?;
    fs::create_dir_all(&cache)?;
    let plain = cache.join(format!("protobuf-{}.json", std::process::id()));
    succeed(Command::new(&program).arg("-messages").arg(&plain))?;
    let text = fs::read(&plain).with_context(|| format!("cannot read {}", plain.display()))?;
    fs::remove_file(&plain)?;
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(&text)?;
    fs::write(crate_folder.join("data/protobuf.json.gz"), encoder.finish()?)?;
    let bodies = crate_folder.join("tests/data/protobuf");
    fs::create_dir_all(&bodies)?;
    succeed(Command::new(&program).arg("-record").arg(&bodies))
}
