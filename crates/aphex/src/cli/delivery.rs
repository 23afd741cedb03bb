//! Flags of `aphex delivery`.

use aphex_api::delivery::DeliveryVerdict;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use super::{Named, Within};
use crate::complete;

/// What can be done with webhook deliveries.
#[derive(Debug, Subcommand)]
pub(crate) enum DeliveryVerb {
    /// All of them, or those that filters leave, the newest last
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  aphex delivery list\n  aphex delivery list --repo Codertocat/Hello-World --event push --since 2h\n  aphex delivery list --verdict not-wanted -o wide\n  aphex delivery list -n hello-world -o jsonpath='{range .items[*]}{.metadata.name}{\"\\n\"}{end}'\n  aphex delivery list --watch"
    )]
    List(ListDeliveries),
    /// One, with what each trigger made of it, and why
    #[command(
        after_help = "Examples:\n  aphex delivery get 72d3162e-cc78-11e3-81ab-4c9367dc0958\n  aphex delivery get 72d3162e-cc78-11e3-81ab-4c9367dc0958 --payload\n  aphex delivery get 72d3162e-cc78-11e3-81ab-4c9367dc0958 -n hello-world -o yaml"
    )]
    Get(GetDelivery),
    /// Show each as it comes and as it is decided, until Ctrl-C
    #[command(
        after_help = "Examples:\n  aphex delivery watch\n  aphex delivery watch --repo Codertocat/Hello-World --event push"
    )]
    Watch(Filters),
    /// Evaluate one once more, by the triggers as they are now
    #[command(
        after_help = "Examples:\n  aphex delivery replay 72d3162e-cc78-11e3-81ab-4c9367dc0958 --dry-run\n  aphex delivery replay 72d3162e-cc78-11e3-81ab-4c9367dc0958 --wait 60"
    )]
    Replay(Replay),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ListDeliveries {
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// Go on and show each that comes or changes, until Ctrl-C
    #[arg(short = 'w', long)]
    pub(crate) watch: bool,
}

/// Which deliveries are meant.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Filters {
    #[command(flatten)]
    pub(crate) within: Within,
    /// Only those of this repository
    #[arg(long, value_name = "OWNER/NAME", value_parser = repository)]
    pub(crate) repo: Option<String>,
    /// Only events of this type, such as push
    #[arg(long, value_name = "TYPE")]
    pub(crate) event: Option<String>,
    /// Only those with this outcome
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) verdict: Option<Outcome>,
    /// Only those received since: how long ago (2h, 7d), or a time (2026-11-24T12:00:00Z), or a day (2026-11-24, in UTC)
    #[arg(long, value_name = "WHEN", value_parser = Moment::parse, allow_hyphen_values = true)]
    pub(crate) since: Option<Moment>,
    /// Only those received before: how long ago, or a time, or a day
    #[arg(long, value_name = "WHEN", value_parser = Moment::parse, allow_hyphen_values = true)]
    pub(crate) until: Option<Moment>,
    /// Only those of this EventListener: its name, or namespace/name
    #[arg(long, value_name = "NAME", value_parser = listener)]
    pub(crate) listener: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct GetDelivery {
    #[command(flatten)]
    pub(crate) named: Named,
    /// Print the payload as it was received, and nothing else
    #[arg(long, conflicts_with = "watch")]
    pub(crate) payload: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Replay {
    /// Its name, which is the id that GitHub shows
    #[arg(add = ArgValueCompleter::new(complete::names))]
    pub(crate) name: String,
    /// Its namespace, when several have one of the name
    #[arg(short = 'n', long, add = ArgValueCompleter::new(complete::namespaces))]
    pub(crate) namespace: Option<String>,
    /// Say what would become of it, and write nothing
    #[arg(long, conflicts_with_all = ["wait", "no_wait"])]
    pub(crate) dry_run: bool,
    /// Wait so many seconds for the verdict; when given without a number, behind the name: 300
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_value = "30", default_missing_value = "300",
        value_parser = seconds)]
    pub(crate) wait: u64,
    /// Do not wait for the verdict
    #[arg(long, conflicts_with = "wait")]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) asking: super::Asking,
}

/// Refuses flags of a dry run that were typed for a real replay, which does not read them. What the environment says for
/// all commands is no reason.
pub(super) fn check(command: &mut Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    const OF_DRY_RUNS: [(&str, &str); 3] = [
        ("allow_calls", "--allow-calls"),
        ("github_api", "--github-api-url"),
        ("allowed", "--allow-interceptor-address"),
    ];
    let replay = match matches.subcommand() {
        Some(("delivery", verb)) => verb.subcommand_matches("replay"),
        _ => None,
    };
    let Some(replay) = replay.filter(|replay| !replay.get_flag("dry_run")) else { return Ok(()) };
    let typed = |id: &str| replay.value_source(id) == Some(ValueSource::CommandLine);
    let Some((_, flag)) = OF_DRY_RUNS.into_iter().find(|(id, _)| typed(id)) else { return Ok(()) };
    let message =
        format!("{flag} goes with --dry-run: in a real replay the gateway asks whom it is allowed to ask");
    let meant =
        ["delivery", "replay"].iter().try_fold(command.clone(), |at, word| at.find_subcommand(word).cloned());
    let mut meant = meant.unwrap_or_else(|| command.clone());
    Err(meant.error(ErrorKind::MissingRequiredArgument, message))
}

/// How a delivery may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Outcome {
    /// Something was created
    Created,
    /// No trigger wanted it
    #[value(alias = "NotWanted")]
    NotWanted,
    /// There is no trigger for the secret that signed it
    #[value(alias = "NoTrigger")]
    NoTrigger,
    /// GitHub's greeting
    Ping,
    /// A branch or tag was deleted
    #[value(alias = "RefDeleted")]
    RefDeleted,
    /// A tag was moved
    Tag,
    /// The commit's message asks for no run
    #[value(alias = "SkipRequested")]
    SkipRequested,
    /// A trigger failed for good
    Failed,
    /// There is no verdict yet
    Pending,
}

impl Outcome {
    /// Whether a delivery stands like this.
    pub(crate) fn is(self, verdict: Option<DeliveryVerdict>) -> bool {
        let wanted = match self {
            Self::Created => DeliveryVerdict::Created,
            Self::NotWanted => DeliveryVerdict::NotWanted,
            Self::NoTrigger => DeliveryVerdict::NoTrigger,
            Self::Ping => DeliveryVerdict::Ping,
            Self::RefDeleted => DeliveryVerdict::RefDeleted,
            Self::Tag => DeliveryVerdict::Tag,
            Self::SkipRequested => DeliveryVerdict::SkipRequested,
            Self::Failed => DeliveryVerdict::Failed,
            Self::Pending => return verdict.is_none(),
        };
        verdict == Some(wanted)
    }
}

/// A whole number; a name behind the flag is easily taken for one.
fn seconds(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a number of seconds; without one the flag goes behind the name".to_owned())
}

/// `OWNER/NAME`.
fn repository(text: &str) -> Result<String, String> {
    match text.split('/').collect::<Vec<_>>()[..] {
        [owner, name] if !owner.is_empty() && !name.is_empty() => Ok(text.to_owned()),
        _ => Err("an owner and a name, such as Codertocat/Hello-World".to_owned()),
    }
}

/// `NAME` or `NAMESPACE/NAME`.
fn listener(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('/').collect();
    if parts.len() <= 2 && parts.iter().all(|part| !part.is_empty()) {
        return Ok(text.to_owned());
    }
    Err("a name, or a namespace and a name, such as org-acme-corp/github-listener".to_owned())
}

/// A time, as people give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So long ago.
    Ago(SignedDuration),
    /// Then.
    At(Timestamp),
}

impl Moment {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            "how long ago, such as 90m, 2h or 7d, or a time such as 2026-11-24T12:00:00Z, or a day such as 2026-11-24".to_owned()
        };
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self::At(time));
        }
        if let Ok(time) = text.parse::<Date>().and_then(|day| day.to_zoned(TimeZone::UTC)) {
            return Ok(Self::At(time.timestamp()));
        }
        let span: Span = text.parse().map_err(|_| wrong())?;
        let long = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
        if long.is_negative() {
            return Err(format!("how long ago is told without a minus: {}", text.trim_start_matches('-')));
        }
        Ok(Self::Ago(long))
    }

    /// The time that it is.
    pub(crate) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(long) => now.saturating_sub(long).unwrap_or(Timestamp::MIN),
            Self::At(time) => time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_match_nothing_is_refused() {
        assert!(repository("acme/shop").is_ok() && listener("a").is_ok() && listener("a/b").is_ok());
        for wrong in ["shop", "/shop", "acme/", "a/b/c", ""] {
            assert!(repository(wrong).is_err(), "{wrong}");
        }
        for wrong in ["a/b/c", "/b", "a/", ""] {
            assert!(listener(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_real_replay_takes_no_flag_of_a_dry_run() {
        let parse = |line: &str| {
            let mut command = super::super::command();
            let matches = command.try_get_matches_from_mut(line.split(' ')).unwrap();
            check(&mut command, &matches).map_err(|error| error.to_string())
        };
        for flag in ["--allow-calls", "--github-api-url http://a", "--allow-interceptor-address 127.0.0.1"] {
            let said = parse(&format!("aphex delivery replay a {flag}")).unwrap_err();
            assert!(said.contains(" goes with --dry-run"), "{said}");
            assert_eq!(parse(&format!("aphex delivery replay a --dry-run {flag}")), Ok(()));
        }
        assert_eq!(parse("aphex delivery replay a"), Ok(()));
    }

    #[test]
    fn verdicts_are_given_as_they_are_shown_and_as_flags_are() {
        for word in ["not-wanted", "NotWanted", "notwanted"] {
            assert_eq!(Outcome::from_str(word, true), Ok(Outcome::NotWanted));
        }
        assert_eq!(Outcome::from_str("Created", true), Ok(Outcome::Created));
    }

    #[test]
    fn times_are_given_as_how_long_ago_or_as_they_are() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let at = |text: &str| Moment::parse(text).map(|moment| moment.at(now).to_string());
        assert_eq!(at("2h").as_deref(), Ok("2026-11-24T10:00:00Z"));
        assert_eq!(at("7d").as_deref(), Ok("2026-11-17T12:00:00Z"));
        assert_eq!(at("1h30m").as_deref(), Ok("2026-11-24T10:30:00Z"));
        assert_eq!(at("2026-11-01T00:00:00+01:00").as_deref(), Ok("2026-10-31T23:00:00Z"));
        assert_eq!(at("2026-11-24").as_deref(), Ok("2026-11-24T00:00:00Z"));
        assert_eq!(at("-2h"), Err("how long ago is told without a minus: 2h".to_owned()));
        for wrong in ["", "soon", "-2h", "2", "1mo"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
