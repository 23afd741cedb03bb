//! Examples for the commands that all kinds share; each `--help` has some, and a test runs every one.

use clap::Command;

/// What a kind's examples are about.
struct Sample {
    command: &'static str,
    name: &'static str,
    /// ` -n NAMESPACE`, where the kind is not in one place.
    namespace: &'static str,
    file: &'static str,
    selector: &'static str,
}

const SAMPLES: [Sample; 5] = [
    Sample {
        command: "org",
        name: "acme-corp",
        namespace: "",
        file: "examples/organization.yaml",
        selector: "tier=gold",
    },
    Sample {
        command: "repo",
        name: "hello-world",
        namespace: "",
        file: "examples/repo-binding.yaml",
        selector: "team=payments",
    },
    Sample {
        command: "pipeline",
        name: "checkout",
        namespace: " -n team-payments",
        file: "",
        selector: "team=payments",
    },
    Sample {
        command: "kb",
        name: "platform-docs",
        namespace: "",
        file: "examples/knowledge-base.yaml",
        selector: "team=platform",
    },
    Sample {
        command: "run",
        name: "hello-world-3b1bf772d5",
        namespace: " -n hello-world",
        file: "",
        selector: "platform.aphex/event-type=push",
    },
];

/// Adds them to the commands that have none of their own; the order of commands stays.
pub(super) fn add(command: Command) -> Command {
    command.mut_subcommands(|noun| {
        let Some(sample) = SAMPLES.iter().find(|sample| sample.command == noun.get_name()) else {
            return noun;
        };
        noun.mut_subcommands(|verb| match sample.lines(verb.get_name()) {
            Some(lines) => verb.after_help(lines),
            None => verb,
        })
    })
}

impl Sample {
    fn lines(&self, verb: &str) -> Option<String> {
        let Self { command, name, namespace, file, selector } = self;
        let lines = match verb {
            "list" => vec![
                format!("list{namespace}"),
                format!("list -l {selector} -o wide"),
                "list -o jsonpath='{range .items[*]}{.metadata.name}{\"\\n\"}{end}'".to_owned(),
                format!("list --watch{namespace}"),
                "list -A -o name".to_owned(),
            ],
            "get" => vec![format!("get {name}{namespace}"), format!("get {name}{namespace} -o yaml")],
            "describe" => {
                vec![format!("describe {name}{namespace}"), format!("describe {name}{namespace} --watch")]
            }
            // What a knowledge base tracks is elsewhere, and may take its time.
            "apply" if *command == "kb" => vec![format!("apply -f {file}")],
            "apply" => vec![format!("apply -f {file} --wait 60")],
            "delete" => {
                vec![format!("delete {name}{namespace}"), format!("delete {name}{namespace} --yes --wait")]
            }
            "rotate-secret" => {
                vec![format!("rotate-secret {name}"), format!("rotate-secret {name} --grace 48h")]
            }
            _ => return None,
        };
        let lines: Vec<String> = lines.iter().map(|line| format!("  aphex {command} {line}")).collect();
        Some(format!("Examples:\n{}", lines.join("\n")))
    }
}
