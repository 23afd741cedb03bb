//! Flags of what the program tells about itself.

use clap::Args;

#[derive(Args, Clone, Debug)]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}
