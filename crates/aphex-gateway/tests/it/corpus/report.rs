//! The comparison, and the page that tells of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use super::Outcomes;
use super::group::Group;
use super::outcome::Made;

/// A wanted difference.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Why it is wanted.
    reason: String,
    /// `<group>/<request>/<trigger>`, of which `*` may stand for any request.
    cases: Vec<String>,
}

/// What a comparison came to.
pub(super) struct Report {
    /// Differences that nobody wanted.
    pub(super) unwanted: Vec<String>,
    /// Wanted ones that are none.
    pub(super) absent: Vec<String>,
    rows: Vec<Row>,
    wanted: Vec<(Wanted, Vec<String>)>,
}

struct Row {
    name: String,
    about: String,
    cases: usize,
    same: usize,
}

impl Report {
    /// Compares.
    pub(super) fn of(
        groups: &[Group],
        ours: &Outcomes,
        theirs: &Outcomes,
        differences: &Path,
    ) -> anyhow::Result<Self> {
        let listed: Vec<Wanted> = serde_saphyr::from_str(&std::fs::read_to_string(differences)?)?;
        let mut wanted: Vec<(Wanted, Vec<String>)> =
            listed.into_iter().map(|wanted| (wanted, Vec::new())).collect();
        let mut report =
            Self { unwanted: Vec::new(), absent: Vec::new(), rows: Vec::new(), wanted: Vec::new() };
        for group in groups {
            let mut row = Row { name: group.name.clone(), about: group.about.clone(), cases: 0, same: 0 };
            for request in &group.requests {
                let of = |outcomes: &Outcomes| {
                    let answered = outcomes.get(&group.name).and_then(|requests| requests.get(&request.name));
                    answered.cloned().context("every request has an outcome")
                };
                for (trigger, pair) in pairs(of(ours)?.triggers, of(theirs)?.triggers) {
                    row.cases += 1;
                    if pair.0 == pair.1 {
                        row.same += 1;
                        continue;
                    }
                    let case = format!("{}/{}/{trigger}", group.name, request.name);
                    let any = format!("{}/*/{trigger}", group.name);
                    let found = wanted
                        .iter_mut()
                        .find(|(wanted, _)| wanted.cases.contains(&case) || wanted.cases.contains(&any));
                    if let Some((wanted, seen)) = found {
                        seen.push(if wanted.cases.contains(&case) { case } else { any });
                    } else {
                        let (here, there) =
                            (serde_json::to_string(&pair.0)?, serde_json::to_string(&pair.1)?);
                        report.unwanted.push(format!("{case}\n  here  {here}\n  there {there}"));
                    }
                }
            }
            report.rows.push(row);
        }
        for (wanted, seen) in &wanted {
            let absent = wanted.cases.iter().filter(|case| !seen.contains(case));
            report.absent.extend(absent.cloned());
        }
        report.wanted = wanted;
        Ok(report)
    }

    /// The page.
    pub(super) fn page(&self) -> String {
        let cases: usize = self.rows.iter().map(|row| row.cases).sum();
        let same: usize = self.rows.iter().map(|row| row.same).sum();
        let mut page = format!(
            "# Compatibility with Tekton Triggers\n\n\
             The gateway evaluates the objects of Tekton Triggers. This page comes of a run of the corpus in\n\
             `crates/aphex-gateway/tests/corpus` through the gateway and through the sink and the interceptors of Tekton\n\
             Triggers 0.34, on one API server. A case is what one trigger makes of one request: the objects created are\n\
             compared without what differs from run to run, and the reasons for creating none by their meaning.\n\n\
             **{same} of {cases} cases are the same; the other {} differ on purpose.**\n\n\
             | group | what it is about | cases | the same |\n|---|---|---:|---:|\n",
            cases - same
        );
        for row in &self.rows {
            // Writing to a String cannot fail.
            let _ = writeln!(page, "| {} | {} | {} | {} |", row.name, row.about, row.cases, row.same);
        }
        page += "\n## Wanted differences\n";
        for (wanted, seen) in &self.wanted {
            let mut cases: Vec<String> = seen.iter().map(|case| format!("`{case}`")).collect();
            cases.sort();
            cases.dedup();
            let _ = write!(page, "\n- {} ({})\n", wanted.reason.trim(), cases.join(", "));
        }
        page += "\nBeyond the corpus, which is about what triggers make of events:\n\n\
                 - Answers are those of the webhook API: 200 once the event is stored (Tekton: 202 before it looks at it), 401 for a\n  \
                 signature that no trigger's secret made, 400 for what is no JSON object, 404, 405, 413, 415.\n\
                 - A listener takes events that no secret signed only with the annotation `platform.aphex/unsigned-events: accept`.\n\
                 - Nothing accepted is lost: what the API server or a service does not take is tried again, for a day; a\n  \
                 redelivery creates nothing twice, so names and `$(uid)` derive from the delivery.\n\
                 - A push of a tag, a push that deletes, and one whose head commit says `[skip ci]` or another of GitHub's words for it\n  \
                 start nothing, with a verdict of their own, unless the listener has the annotation\n  \
                 `platform.aphex/event-policy: none`; the corpus has it. Tekton gives them to the triggers.\n\
                 - Form-encoded hooks of GitHub are taken; a `ping` is answered and goes to no trigger.\n\
                 - `spec.cloudEventURI` is told of an event once it has its verdict, `failed` also where a trigger failed, and of none\n  \
                 that was refused; `started` and `done` then come together.\n\
                 - `addChangedFiles` and `githubOwners` ask the API of `--github-api-url`; a request's header\n  \
                 `X-GitHub-Enterprise-Host` never chooses where a token goes.\n\
                 - Services are called for five seconds at most, without following redirects, and at loopback or link-local\n  \
                 addresses only with `--allow-interceptor-address`.\n\
                 - Headers with secrets or signatures are checked before the event is stored and not kept, so no binding,\n  \
                 expression or service sees them; several values of one header are one, joined by commas. Of the others 64 are kept, and\n  \
                 none longer than 1024 bytes.\n";
        page
    }
}

/// The outcomes of all triggers that either had.
fn pairs(ours: BTreeMap<String, Made>, theirs: BTreeMap<String, Made>) -> BTreeMap<String, (Made, Made)> {
    let mut pairs: BTreeMap<String, (Made, Made)> = BTreeMap::new();
    for (trigger, made) in ours {
        pairs.entry(trigger).or_default().0 = made;
    }
    for (trigger, made) in theirs {
        pairs.entry(trigger).or_default().1 = made;
    }
    pairs
}
