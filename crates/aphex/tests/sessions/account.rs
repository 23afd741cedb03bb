//! The account of the sessions in `docs/fidelity.md`: a block that is made from the scripts and the list.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::{known, script};

const BEGIN: &str = "<!-- sessions: made by the test, APHEX_UPDATE=1 writes it -->\n";
const END: &str = "<!-- end of sessions -->\n";

#[test]
fn the_account_in_the_documentation_is_what_the_scripts_say() -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/fidelity.md");
    let page = std::fs::read_to_string(&path)?;
    let (head, rest) = page.split_once(BEGIN).context("docs/fidelity.md has no block for the sessions")?;
    let (block, tail) = rest.split_once(END).context("the block for the sessions does not end")?;
    let account = account()?;
    if std::env::var_os("APHEX_UPDATE").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{account}{END}{tail}"))?;
    } else {
        assert_eq!(block, account, "run this test with APHEX_UPDATE=1");
    }
    Ok(())
}

fn account() -> anyhow::Result<String> {
    let (scripts, list) = (script::all()?, known::read()?);
    let steps: usize = scripts.iter().map(|script| script.steps.len()).sum();
    let mut text = format!(
        "\n{steps} steps in {} sessions, each played on both; {} differences in {} places stay:\n\n",
        scripts.len(),
        list.len(),
        list.iter().map(|known| known.seen.len()).sum::<usize>(),
    );
    for known in &list {
        let mut sessions: Vec<&str> = known.seen.iter().map(|place| place.session.as_str()).collect();
        sessions.sort_unstable();
        sessions.dedup();
        writeln!(text, "- {} ({})", known.reason.trim(), sessions.join(", "))?;
    }
    text += "\n| session | steps | about |\n|---|---|---|\n";
    for script in &scripts {
        writeln!(text, "| {} | {} | {} |", script.name, script.steps.len(), script.about.trim())?;
    }
    Ok(text + "\n")
}
