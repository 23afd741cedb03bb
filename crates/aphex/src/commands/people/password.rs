//! Where a new password is from: a hidden prompt, or standard input; never the command line.

use std::io::{IsTerminal as _, Read as _};

use anyhow::Context as _;
use dialoguer::Password;
use secrecy::SecretString;

use super::coded;
use crate::exit;

/// More than any password has.
const MOST_BYTES: u64 = 4096;

/// Asks for the password twice on a terminal, else reads all of standard input but for the last line's end.
pub(super) fn read(user: &str) -> anyhow::Result<SecretString> {
    if std::io::stdin().is_terminal() {
        let prompt = format!("New password for {user}");
        let password = Password::new()
            .with_prompt(prompt)
            .with_confirmation("The same again", "They differ: once more, please.")
            .interact()
            .context("no password was given")?;
        return Ok(SecretString::from(password));
    }
    let mut text = String::new();
    std::io::stdin()
        .take(MOST_BYTES + 1)
        .read_to_string(&mut text)
        .context("cannot read the password from standard input")?;
    let password =
        text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if password.is_empty() || text.len() as u64 > MOST_BYTES || password.contains(['\n', '\r']) {
        let message =
            "standard input must hold the password, one line; on a terminal it is asked for".to_owned();
        return Err(coded(exit::USAGE, message));
    }
    Ok(SecretString::from(password))
}
