//! Which commands take the flags of all commands: what a command does not read it does not offer, and refuses.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

/// How answers are printed.
const OUTPUT: &str = "output";
/// Which cluster is asked.
const CLUSTER: [&str; 2] = ["kubeconfig", "context"];

/// What a command leaves unread.
struct Unread {
    /// The words that lead to it, or to all below.
    path: &'static [&'static str],
    flags: &'static [&'static str],
    why: &'static str,
}

const EVERYTHING: &[&str] = &[OUTPUT, CLUSTER[0], CLUSTER[1]];
const ISSUER: &str = "it speaks with an issuer and no cluster";
const SERVES: &str = "it prints no objects";

const UNREAD: &[Unread] = &[
    Unread { path: &["up"], flags: &[OUTPUT, "context"], why: "it is the cluster, and prints no objects" },
    Unread { path: &["demo"], flags: EVERYTHING, why: "it has a cluster of its own, and prints no objects" },
    Unread { path: &["controller"], flags: &[OUTPUT], why: SERVES },
    Unread { path: &["gateway"], flags: &[OUTPUT], why: SERVES },
    Unread { path: &["issuer"], flags: EVERYTHING, why: "it knows no cluster, and prints no objects" },
    Unread { path: &["install"], flags: &[OUTPUT], why: "it prints what is left to do" },
    Unread { path: &["logs"], flags: &[OUTPUT], why: "it prints lines as they were printed" },
    Unread { path: &["open"], flags: &[OUTPUT], why: "it prints an address" },
    Unread { path: &["user"], flags: &CLUSTER, why: ISSUER },
    Unread { path: &["group"], flags: &CLUSTER, why: ISSUER },
    Unread { path: &["trigger", "test"], flags: &CLUSTER, why: "it asks no cluster" },
    Unread { path: &["login"], flags: &["context"], why: "the context that it writes is aphex" },
    Unread { path: &["logout"], flags: &CLUSTER, why: ISSUER },
    Unread { path: &["token"], flags: EVERYTHING, why: "kubectl reads what it prints" },
    Unread { path: &["completion"], flags: EVERYTHING, why: "a shell reads what it prints" },
    Unread { path: &["man"], flags: EVERYTHING, why: "it writes files" },
];

/// The flags of all commands that the command of these words leaves unread.
fn unread(path: &[&str]) -> Option<&'static Unread> {
    UNREAD.iter().find(|one| path.starts_with(one.path))
}

/// Hides from a command's help what it does not read.
pub(super) fn hide(command: Command) -> Command {
    let all: Vec<clap::Arg> =
        command.get_arguments().filter(|argument| argument.is_global_set()).cloned().collect();
    within(command, &mut Vec::new(), &all)
}

fn within(command: Command, path: &mut Vec<String>, all: &[clap::Arg]) -> Command {
    command.mut_subcommands(|mut child| {
        path.push(child.get_name().to_owned());
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        if let Some(unread) = unread(&words).filter(|unread| unread.path.len() == words.len()) {
            // Its own argument of that name is the one that counts, for it and for all below.
            let hidden = all.iter().filter(|argument| unread.flags.contains(&argument.get_id().as_str()));
            child = child.args(hidden.map(|argument| argument.clone().hide(true)));
        }
        let child = within(child, path, all);
        path.pop();
        child
    })
}

/// Refuses what was typed and is not read, wherever it was typed.
pub(super) fn check(command: &mut Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let (mut path, mut at) = (Vec::new(), matches);
    let mut typed: Vec<&str> = Vec::new();
    loop {
        let here = EVERYTHING.iter().filter(|flag| {
            let source = at.try_contains_id(flag).is_ok().then(|| at.value_source(flag)).flatten();
            source == Some(ValueSource::CommandLine)
        });
        typed.extend(here);
        let Some((name, below)) = at.subcommand() else { break };
        path.push(name);
        at = below;
    }
    let Some(unread) = unread(&path) else { return Ok(()) };
    let Some(flag) = unread.flags.iter().find(|flag| typed.contains(flag)) else { return Ok(()) };
    let words = path.join(" ");
    let message = format!("aphex {words} takes no --{flag}: {}", unread.why);
    // Told with the usage of the command that was meant.
    let mut meant = command.clone();
    for word in &path {
        let below = meant.find_subcommand(word).cloned();
        meant = below.unwrap_or(meant);
    }
    Err(meant.error(ErrorKind::UnknownArgument, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<(), String> {
        let mut command = super::super::command();
        let matches = command.try_get_matches_from_mut(line.split(' ')).map_err(|error| error.to_string())?;
        check(&mut command, &matches).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_command_does_not_read_is_refused_before_and_behind_its_name() {
        for line in [
            "aphex -o json logs --last",
            "aphex logs --last -o json",
            "aphex --context a user list",
            "aphex user list --context a",
            "aphex user --kubeconfig a list",
            "aphex trigger test -f a --payload b --context c",
            "aphex man a -o yaml",
        ] {
            let said = parse(line).unwrap_err();
            assert!(said.contains(" takes no --") && !said.contains("<COMMAND>"), "{line}: {said}");
        }
        for line in [
            "aphex -o json user list",
            "aphex user list -o json",
            "aphex logs --last --context a",
            "aphex --kubeconfig a up",
            "aphex trigger backtest -f a --context b",
            "aphex login --kubeconfig a",
        ] {
            assert_eq!(parse(line), Ok(()), "{line}");
        }
    }

    #[test]
    fn help_shows_what_is_read_and_nothing_else() {
        let mut command = super::super::command();
        command.build();
        let help = |path: &[&str]| {
            let mut at = command.clone();
            for word in path {
                at = at.find_subcommand(word).unwrap().clone();
            }
            at.render_help().to_string()
        };
        for (path, shown, hidden) in [
            (&["logs"][..], "--context", "--output"),
            (&["user", "list"], "--output", "--context"),
            (&["token"], "--issuer", "--kubeconfig"),
            (&["up"], "--kubeconfig", "--context"),
        ] {
            let help = help(path);
            assert!(help.contains(shown) && !help.contains(&format!("{hidden} ")), "{path:?}: {help}");
        }
    }

    #[test]
    fn the_table_speaks_of_commands_and_flags_that_there_are() {
        let command = super::super::command();
        for unread in UNREAD {
            let mut at = &command;
            for word in unread.path {
                at = at.find_subcommand(word).unwrap();
            }
            let ids: Vec<&str> = command.get_arguments().map(|argument| argument.get_id().as_str()).collect();
            assert!(unread.flags.iter().all(|flag| ids.contains(flag)), "{:?}", unread.path);
        }
    }
}
