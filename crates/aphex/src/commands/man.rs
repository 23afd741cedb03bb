//! `aphex man`: the reference of all commands, from the arguments themselves.

use std::path::Path;

use anyhow::Context as _;

use crate::cli::{self, Man, Pages};
use crate::output::note;

pub(crate) fn run(arguments: &Man) -> anyhow::Result<()> {
    let folder = &arguments.folder;
    let cannot = || format!("cannot write into {}", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    match arguments.format {
        Pages::Man => clap_mangen::generate_to(cli::command(), folder).with_context(cannot)?,
        Pages::Markdown => {
            let file = Path::new(folder).join("cli.md");
            std::fs::write(&file, cli::reference()).with_context(cannot)?;
        }
    }
    note(&format!("written to {}", folder.display()));
    Ok(())
}
