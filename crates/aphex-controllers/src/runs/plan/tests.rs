use State::{Active, Failed, Held, Queued, Stopping, Succeeded};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A run whose event came at this second, and which was made at once.
fn run(name: &str, second: i64, state: State) -> Run {
    Run {
        name: name.into(),
        uid: format!("uid-{name}"),
        version: "7".into(),
        git_ref: "refs/heads/main".into(),
        event: String::new(),
        concurrency: None,
        age: Age { triggered: at(second), created: at(second), seen: 0 },
        state,
    }
}

fn policy(policy: ConcurrencyPolicy, max: Option<i32>) -> Policy {
    Policy { concurrency: Concurrency { policy, max }, retention: Retention::default() }
}

fn done(policy: &Policy, runs: &[Run]) -> Vec<String> {
    plan(policy, runs).actions.iter().map(|a| format!("{} {}", a.as_str(), a.run().name)).collect()
}

#[test]
fn a_queue_releases_the_oldest_where_there_is_room() {
    let queue = |max| policy(ConcurrencyPolicy::Queue, max);
    let runs = [run("d", 4, Queued), run("b", 2, Queued), run("c", 3, Queued), run("a", 1, Succeeded(at(5)))];
    assert_eq!(done(&queue(None), &runs), ["released b"]);
    assert_eq!(done(&queue(Some(2)), &runs), ["released b", "released c"]);
    assert_eq!(done(&queue(Some(9)), &runs).len(), 3);
    // One that was told to stop still takes its place until it has ended.
    for state in [Active, Stopping] {
        let mut runs = runs.to_vec();
        runs.push(run("e", 5, state));
        assert!(done(&queue(Some(1)), &runs).is_empty(), "{state:?}");
        assert_eq!(done(&queue(Some(2)), &runs), ["released b"], "{state:?}");
    }
}

#[test]
fn without_a_queue_what_waits_is_released_but_not_what_somebody_holds() {
    let runs = [run("a", 1, Queued), run("b", 2, Held), run("c", 3, Active)];
    assert_eq!(done(&policy(ConcurrencyPolicy::Allow, None), &runs), ["released a"]);
    assert!(done(&policy(ConcurrencyPolicy::Queue, None), &runs[1..]).is_empty());
}

#[test]
fn a_newer_run_of_the_same_ref_supersedes() {
    let cancel = policy(ConcurrencyPolicy::CancelSuperseded, None);
    let mut other = run("other", 9, Active);
    other.git_ref = "refs/heads/topic".into();
    let mut silent = run("silent", 1, Active);
    silent.git_ref = String::new();
    let runs = [run("a", 1, Active), run("b", 2, Active), run("c", 3, Active), other, silent];
    assert_eq!(done(&cancel, &runs), ["cancelled a", "cancelled b"]);
    assert!(matches!(&plan(&cancel, &runs).actions[0], Action::Cancel { by, .. } if by == "c"));
    assert!(done(&policy(ConcurrencyPolicy::Allow, None), &runs).is_empty());
    // What has ended or is ending is left alone; what waits is not even begun.
    let runs = [run("a", 1, Stopping), run("b", 2, Failed(at(3))), run("q", 2, Queued), run("c", 3, Active)];
    assert_eq!(done(&cancel, &runs), ["cancelled q"]);
    // Two of the same second: exactly one is the newer.
    let runs = [run("a", 1, Active), run("b", 1, Active)];
    assert_eq!(done(&cancel, &runs), ["cancelled a"]);
}

#[test]
fn a_run_made_late_is_no_newer_than_its_event() {
    let cancel = policy(ConcurrencyPolicy::CancelSuperseded, None);
    let mut late = run("late", 1, Active);
    late.age.created = at(9);
    assert_eq!(done(&cancel, &[late.clone(), run("b", 2, Active)]), ["cancelled late"]);
    // The newer event's run came and ended before: somebody asked for the old one again.
    assert!(done(&cancel, &[late, run("b", 2, Succeeded(at(5)))]).is_empty());
    // It came after and ended at once.
    assert_eq!(done(&cancel, &[run("a", 1, Active), run("b", 2, Succeeded(at(3)))]), ["cancelled a"]);
}

#[test]
fn the_newest_of_each_kind_are_kept_and_nothing_that_has_not_ended_goes() {
    let policy = Policy {
        retention: Retention { keep_succeeded: 2, keep_failed: 1 },
        ..policy(ConcurrencyPolicy::Queue, None)
    };
    let runs = [
        run("s1", 1, Succeeded(at(90))),
        run("s2", 2, Succeeded(at(20))),
        run("s3", 3, Succeeded(at(30))),
        run("f1", 4, Failed(at(40))),
        run("f2", 5, Failed(at(41))),
        run("x", 0, Active),
        run("y", 0, Queued),
        run("z", 0, Held),
    ];
    assert_eq!(done(&policy, &runs), ["deleted s2", "deleted f1"]);
    let none = Policy { retention: Retention { keep_succeeded: 0, keep_failed: 0 }, ..policy };
    assert_eq!(done(&none, &runs).len(), 5);
}

#[test]
fn the_volume_of_a_run_that_has_ended_is_freed() {
    let runs = [run("a", 1, Succeeded(at(2))), run("b", 2, Active), run("c", 3, Failed(at(4)))];
    let volumes: Vec<Volume> = ["a", "b", "c", "gone"]
        .map(|name| Volume { name: format!("pvc-{name}"), uid: "v".into(), run: format!("uid-{name}") })
        .into();
    let freed = free(&volumes, &runs);
    let names: Vec<&str> = freed.iter().map(|action| action.run().name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn one_pass_deletes_so_many_and_says_that_there_are_more() {
    let runs: Vec<Run> = (0..70).map(|n| run(&format!("r{n:02}"), n, Succeeded(at(n)))).collect();
    let todo = plan(&Policy::default(), &runs);
    assert_eq!((todo.actions.len(), todo.more), (DELETIONS, true));
    let todo = plan(&Policy::default(), &runs[..60]);
    assert_eq!((todo.actions.len(), todo.more), (50, false));
}
