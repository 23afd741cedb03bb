//! Questions to whoever sits at a terminal; nothing is asked where nobody does.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use dialoguer::{Confirm, Input, Password};

use crate::exit;

/// Whether somebody can answer: the questions go to standard error.
pub(crate) fn is_possible() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for a text until it is one that `check` takes.
pub(crate) fn text(
    prompt: &str,
    usual: Option<String>,
    check: impl Fn(&str) -> Result<(), String>,
) -> anyhow::Result<String> {
    let mut input =
        Input::<String>::new().with_prompt(prompt).validate_with(|text: &String| check(text.trim()));
    if let Some(usual) = usual {
        input = input.default(usual);
    }
    Ok(input.interact_text().context("no answer")?.trim().to_owned())
}

/// Asks for a text that is not shown.
pub(crate) fn hidden(prompt: &str) -> anyhow::Result<String> {
    Password::new().with_prompt(prompt).interact().context("no answer")
}

/// Goes on only when whoever is asked agrees; `agreed` stands for an answer given in advance.
pub(crate) fn consent(question: &str, agreed: bool) -> anyhow::Result<()> {
    if agreed {
        return Ok(());
    }
    if !is_possible() {
        let message = format!("{question} Nobody can be asked here: give --yes");
        return Err(exit::Coded { code: exit::USAGE, message }.into());
    }
    if Confirm::new().with_prompt(question).default(false).interact().context("no answer")? {
        return Ok(());
    }
    Err(exit::Coded { code: exit::FAILURE, message: "nothing was done".to_owned() }.into())
}
