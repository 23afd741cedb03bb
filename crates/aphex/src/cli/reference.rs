//! The reference of the command line, as one page of Markdown.

use std::fmt::Write as _;

use clap::{Arg, Command};

const HEAD: &str = "# The command line\n\nMade from the program's own arguments by `cargo xtask reference`; `aphex man DIR` \
writes the same as manual pages. Every example below is run by a test.\nExit codes: [exit-codes.md](exit-codes.md).\n";

/// The page.
pub(super) fn page(mut command: Command) -> String {
    // Names with their parents are filled in by this.
    command.build();
    let mut text = HEAD.to_owned();
    text.push_str("\n## Every command that does not say otherwise\n\n");
    options(&mut text, &command, Arg::is_global_set);
    text.push_str("\n## Commands\n\n| command | what it does |\n|---|---|\n");
    let mut leaves = Vec::new();
    collect(&command, "aphex", &mut leaves);
    for (path, command) in &leaves {
        let _ = writeln!(text, "| [`{path}`](#{}) | {} |", path.replace(' ', "-"), about(command));
    }
    for (path, command) in &leaves {
        section(&mut text, path, command);
    }
    text
}

/// Commands that do something themselves, with the words that lead to them.
fn collect<'a>(command: &'a Command, path: &str, into: &mut Vec<(String, &'a Command)>) {
    for child in command.get_subcommands().filter(|child| !child.is_hide_set() && child.get_name() != "help")
    {
        let path = format!("{path} {}", child.get_name());
        if child.has_subcommands() {
            collect(child, &path, into);
        } else {
            into.push((path, child));
        }
    }
}

fn section(text: &mut String, path: &str, command: &Command) {
    let _ = writeln!(text, "\n### {path}\n\n{}", about(command));
    let mut usage = path.to_owned();
    for argument in command.get_positionals() {
        let name = value_name(argument);
        let many =
            if argument.get_num_args().is_some_and(|range| range.max_values() > 1) { "..." } else { "" };
        let word =
            if argument.is_required_set() { format!("<{name}>{many}") } else { format!("[{name}]{many}") };
        let _ = write!(usage, " {word}");
    }
    if command.get_opts().any(|argument| !argument.is_global_set()) {
        usage.push_str(" [options]");
    }
    let _ = writeln!(text, "\n```\n{usage}\n```\n");
    options(text, command, |argument| !argument.is_global_set());
    let left: Vec<String> = command
        .get_arguments()
        .filter(|argument| argument.is_global_set() && argument.is_hide_set())
        .map(|argument| format!("`--{}`", argument.get_id()))
        .collect();
    if !left.is_empty() {
        let _ = writeln!(text, "\nTakes no {}.", left.join(", "));
    }
    if let Some(after) = command.get_after_help() {
        examples(text, &after.to_string());
    }
}

fn options(text: &mut String, command: &Command, wanted: impl Fn(&Arg) -> bool) {
    let shown = |argument: &&Arg| {
        wanted(argument)
            && !argument.is_hide_set()
            && !matches!(argument.get_id().as_str(), "help" | "version")
    };
    let arguments: Vec<&Arg> = command.get_arguments().filter(shown).collect();
    if arguments.is_empty() {
        return;
    }
    text.push_str("| argument | meaning |\n|---|---|\n");
    for argument in arguments {
        let _ = writeln!(text, "| `{}` | {} |", spelled(argument), meaning(argument));
    }
}

fn spelled(argument: &Arg) -> String {
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let flags: Vec<String> = short.into_iter().chain(long).collect();
    let takes = argument.get_action().takes_values();
    match (flags.is_empty(), takes) {
        (true, _) => value_name(argument),
        (false, true) => format!("{} {}", flags.join(", "), value_name(argument)),
        (false, false) => flags.join(", "),
    }
}

fn value_name(argument: &Arg) -> String {
    match argument.get_value_names() {
        Some([name, ..]) => name.to_string(),
        _ => argument.get_id().as_str().to_uppercase(),
    }
}

fn meaning(argument: &Arg) -> String {
    let mut text = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if argument.get_action().takes_values() && !values.is_empty() && !is_boolean(&values) {
        let _ = write!(text, "; one of {}", values.join(", "));
    }
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if argument.get_action().takes_values() && !defaults.concat().is_empty() {
        let _ = write!(text, "; default `{}`", defaults.join(","));
    }
    if let Some(variable) = argument.get_env() {
        let _ = write!(text, "; from `${}`", variable.to_string_lossy());
    }
    // Cells end at bars; angle brackets would be tags.
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

fn is_boolean(values: &[String]) -> bool {
    values == ["`true`", "`false`"]
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// Indented lines become code; the rest stays as it is.
fn examples(text: &mut String, after: &str) {
    let mut inside = false;
    for line in after.lines() {
        match (line.strip_prefix("  "), inside) {
            (Some(code), false) => {
                let _ = write!(text, "\n```sh\n{code}\n");
                inside = true;
            }
            (Some(code), true) => {
                let _ = writeln!(text, "{code}");
            }
            (None, true) => {
                let _ = writeln!(text, "```");
                inside = false;
                other(text, line);
            }
            (None, false) => other(text, line),
        }
    }
    if inside {
        text.push_str("```\n");
    }
}

fn other(text: &mut String, line: &str) {
    if !line.is_empty() && line != "Example:" && line != "Examples:" {
        let _ = writeln!(text, "\n{line}");
    }
}
