//! Flags of what the program tells about itself.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Args, Clone, Debug)]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// A shell that can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash 4.4 and later
    Bash,
    /// Z shell
    Zsh,
    /// Fish
    Fish,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Version {
    /// Ask whether there is a newer release, and say how to get it
    #[arg(long)]
    pub(crate) check: bool,
    /// Where releases are listed, as GitHub's REST API has them
    #[arg(
        long,
        value_name = "URL",
        env = "APHEX_RELEASES_URL",
        default_value = "https://api.github.com/repos/bdchatham/AphexPlatformInfrastructure/releases/latest"
    )]
    pub(crate) releases_url: String,
    /// Only this program's own version; ask no server
    #[arg(long)]
    pub(crate) client: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Man {
    /// Folder to write into; it is made where it is missing
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Pages,
}

/// A form of the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pages {
    /// A manual page a command
    #[default]
    Man,
    /// One page of Markdown, cli.md
    Markdown,
}
