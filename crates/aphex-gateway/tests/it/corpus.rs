//! A corpus of triggers and events, through this gateway and through Tekton's own sink and interceptors.
//!
//! `tests/corpus/<group>.yaml` has the objects, one listener and requests; a case is what one trigger makes of one
//! request. What the gateway makes of each is in `expected/<group>.yaml` (`UPDATE_GOLDENS=1` writes it). Where the
//! engines are there, one sink and one interceptors process get the same requests on the same API server: other
//! objects, or another reason for silence, fail unless `differences.yaml` says why. `docs/compatibility.md` is the result.

#[path = "corpus/group.rs"]
mod group;
#[path = "corpus/ours.rs"]
mod ours;
#[path = "corpus/outcome.rs"]
mod outcome;
#[path = "corpus/report.rs"]
mod report;
#[path = "corpus/services.rs"]
mod services;
#[path = "corpus/tekton.rs"]
mod tekton;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aphex_testkit::{Cluster, engine, left_out};

use group::Group;
use outcome::Answered;
use report::Report;

/// Fewer would say too little.
const CASES: usize = 150;
const TEST: &str = "Tekton's sink on the corpus";

/// What became of every request, by group and by the request's name.
type Outcomes = BTreeMap<String, BTreeMap<String, Answered>>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDENS").is_some()
}

#[tokio::test]
async fn the_corpus_comes_out_as_it_does_with_tektons_sink() -> anyhow::Result<()> {
    let groups = Group::all(&folder())?;
    let cluster = Cluster::start().await?;
    let services = services::start().await?;
    let place = ours::Place::prepare(&cluster, &groups, services).await?;
    let ours = place.deliver(&groups).await?;
    let cases: usize = ours.values().flat_map(BTreeMap::values).map(|answered| answered.triggers.len()).sum();
    assert!(cases >= CASES, "the corpus has {cases} cases");
    check_expected(&ours)?;
    let (Some(sink), Some(interceptors)) =
        (engine("tekton-triggers-eventlistenersink")?, engine("tekton-triggers-interceptors")?)
    else {
        left_out(TEST, "its programs are not built");
        return Ok(());
    };
    let theirs = tekton::deliver(&sink, &interceptors, &cluster, &place, &groups, &ours).await?;
    let report = Report::of(&groups, &ours, &theirs, &folder().join("differences.yaml"))?;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    if updating() {
        std::fs::write(&page, report.page())?;
    }
    let unwanted = report.unwanted.join("\n");
    assert!(unwanted.is_empty(), "differences that differences.yaml does not list:\n{unwanted}");
    assert_eq!(report.absent, Vec::<String>::new(), "differences.yaml lists what is no difference");
    let written =
        std::fs::read_to_string(&page).context("docs/compatibility.md: run with UPDATE_GOLDENS=1")?;
    assert_eq!(written, report.page(), "docs/compatibility.md is of another run: UPDATE_GOLDENS=1 writes it");
    Ok(())
}

/// Compares with, or writes, the golden files.
fn check_expected(ours: &Outcomes) -> anyhow::Result<()> {
    let folder = folder().join("expected");
    for (group, outcome) in ours {
        let path = folder.join(format!("{group}.yaml"));
        let made = serde_json::to_value(outcome)?;
        if updating() {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(&path, serde_saphyr::to_string(&made)?)?;
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let expected: serde_json::Value = serde_saphyr::from_str(&text)?;
        assert_eq!(made, expected, "{group}");
    }
    for file in std::fs::read_dir(&folder)? {
        let path = file?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        assert!(ours.contains_key(name), "{} belongs to no group", path.display());
    }
    Ok(())
}
