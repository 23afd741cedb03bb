use std::ops::Range;

use super::*;

/// Events by number, and the time.
#[derive(Default)]
struct Waiting {
    turns: Turns,
    entries: BTreeMap<u64, Entry>,
    now: Option<Instant>,
}

impl Waiting {
    fn add(&mut self, numbers: Range<u64>, group: &str) {
        for number in numbers {
            self.add_received(number, group, 0);
        }
    }

    fn add_received(&mut self, number: u64, group: &str, received: i64) {
        let entry = Entry { group: group.to_owned(), received, bytes: 1 };
        self.turns.add(number, &entry);
        self.entries.insert(number, entry);
    }

    fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(Instant::now)
    }

    fn begin(&mut self, most: usize) -> Vec<u64> {
        let now = self.now();
        std::iter::from_fn(|| self.turns.begin(now, &self.entries)).take(most).collect()
    }

    /// Begins as many as may be.
    fn begin_all(&mut self) -> Vec<u64> {
        self.begin(usize::MAX)
    }

    fn gone(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            let entry = self.entries.remove(&number).unwrap();
            self.turns.remove(number, &entry);
        }
    }

    fn rest(&mut self, numbers: impl IntoIterator<Item = u64>) {
        let now = self.now();
        for number in numbers {
            self.turns.rest(number, &self.entries[&number], now);
        }
    }

    /// Lets time pass until the first rest is over.
    fn pass(&mut self) -> Duration {
        let before = self.now();
        let until = self.turns.wakes().unwrap();
        self.now = Some(until);
        until - before
    }

    /// Takes everything out; nothing may be left of it.
    fn end(mut self) {
        self.gone(self.entries.keys().copied().collect::<Vec<_>>());
        assert!(self.begin_all().is_empty());
        let Turns { organizations, order, sequences, under_way, resting, failed } = self.turns;
        assert!(organizations.is_empty() && order.is_empty() && sequences.is_empty(), "{organizations:?}");
        assert!(under_way.is_empty() && resting.is_empty() && failed.is_empty());
    }
}

#[test]
fn many_of_one_listener_leave_at_once_and_places_are_left_to_others() {
    let mut waiting = Waiting::default();
    waiting.add(0..100, "acmeacmehookhookx");
    assert_eq!(waiting.begin_all(), (0..24).collect::<Vec<_>>());
    waiting.add(100..103, "shopshophookhookx");
    assert_eq!(waiting.begin_all(), [100, 101, 102]);
    let crowds = |number: u64| waiting.turns.crowds(&waiting.entries[&number]);
    assert!(crowds(0) && !crowds(100), "one has more than there are places for");
    waiting.gone([3]);
    assert_eq!(waiting.begin_all(), [24]);
    waiting.turns.put_back(5, &waiting.entries[&5]);
    assert_eq!(waiting.begin_all(), [5], "what was begun before is first again");
    waiting.end();
}

#[test]
fn organizations_take_turns_however_many_listeners_they_have() {
    let mut waiting = Waiting::default();
    waiting.add(0..9, "acmeacmehookhookx");
    waiting.add(9..12, "acmeacmemoremorex");
    waiting.add(12..14, "shopshophookhookx");
    assert_eq!(waiting.begin(6), [0, 12, 1, 13, 2, 3]);
    waiting.end();
}

#[test]
fn what_is_in_order_leaves_one_by_one_and_keeps_nobody_else_waiting() {
    let (mut waiting, main) = (Waiting::default(), "acmeacmehookhookmainmain");
    waiting.add(0..3, main);
    waiting.add(3..5, "acmeacmehookhooknextnext");
    waiting.add(5..7, "acmeacmehookhookx");
    assert!(waiting.turns.holds(main) && !waiting.turns.holds("acmeacmehookhookx"));
    assert_eq!(waiting.begin_all(), [0, 3, 5, 6]);
    waiting.rest([0]);
    waiting.gone([3]);
    assert_eq!(waiting.begin_all(), [4], "the first of the other rests");
    waiting.pass();
    assert_eq!(waiting.begin_all(), [0]);
    waiting.gone([0, 2]);
    assert_eq!(waiting.begin_all(), [1]);
    waiting.gone([1]);
    assert!(!waiting.turns.holds(main));
    waiting.end();
}

#[test]
fn what_cannot_be_stored_rests_longer_each_time_and_others_go_on() {
    let mut waiting = Waiting::default();
    waiting.add(0..3, "acmeacmehookhookx");
    assert_eq!(waiting.begin_all(), [0, 1, 2]);
    let mut rests = Vec::new();
    for _ in 0..7 {
        waiting.rest([0]);
        assert!(waiting.begin_all().is_empty());
        rests.push(waiting.pass().as_millis());
        assert_eq!(waiting.begin_all(), [0]);
    }
    assert_eq!(rests, [250, 500, 1000, 2000, 4000, 5000, 5000]);
    waiting.end();
}

#[test]
fn a_listener_that_is_refused_time_after_time_is_asked_for_by_few() {
    let mut waiting = Waiting::default();
    waiting.add(0..100, "acmeacmehookhookx");
    let begun = waiting.begin(8);
    waiting.rest(begun);
    waiting.add(100..102, "acmeacmemoremorex");
    assert_eq!(waiting.begin_all(), [100, 101], "another listener of the organization goes on");
    waiting.pass();
    assert_eq!(waiting.begin_all(), [8], "one, which was not tried before");
    waiting.rest([8]);
    assert_eq!(waiting.begin_all(), [9]);
    waiting.gone([9]);
    assert_eq!(waiting.begin_all().len(), 22, "one was taken, and all places are open to it again");
    waiting.end();
}

#[test]
fn a_sequence_goes_by_when_events_were_received_and_not_by_when_they_came_to_the_disk() {
    let mut waiting = Waiting::default();
    let group = "acmeacmehookhooksequence";
    for (number, received) in [(0, 20), (1, 10), (2, 40), (3, 30)] {
        waiting.add_received(number, group, received);
    }
    assert_eq!(waiting.begin_all(), [1], "nobody had begun with the first");
    waiting.add_received(4, group, 5);
    assert!(waiting.begin_all().is_empty(), "one that is under way is not called back");
    for next in [4, 0, 3, 2] {
        let gone = waiting.turns.under_way.iter().copied().collect::<Vec<_>>();
        waiting.gone(gone);
        assert_eq!(waiting.begin_all(), [next]);
    }
    waiting.end();
}
