//! Which connections there are, and which of them has to go when there are too many.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Version;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{HEAD_TIMEOUT, Limits};
use crate::proxies::network;

/// How long a connection may be without a request after its first; longer than proxies keep theirs (nginx: 60 s).
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a client may take nothing of the answers that are there for it.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked whether answers are left unread: that they are there is told to nobody.
const LOOK: Duration = HEAD_TIMEOUT;

/// The connections of a listener.
#[derive(Debug)]
pub(super) struct Places {
    limits: Limits,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    /// How many were ever taken; each gets the next number.
    numbered: u64,
    /// How many are taken, by whom.
    sources: HashMap<IpAddr, usize>,
    count: usize,
    /// Those without a request under way, the one that is so longest first; answers that nobody reads keep no place.
    idle: BTreeMap<(Instant, u64), Arc<Shared>>,
}

/// What the connection and who looks for room know of each other.
#[derive(Debug)]
struct Shared {
    source: IpAddr,
    number: u64,
    state: Mutex<State>,
    /// The deadline came nearer, or the first request began.
    changed: Notify,
    leave: Notify,
}

#[derive(Debug, Clone, Copy)]
struct State {
    under_way: usize,
    /// Answers that are there, and that the client has not taken.
    unread: usize,
    /// When it took one last.
    read: Instant,
    idle_since: Instant,
    /// When the first byte of the next request's head came.
    head_since: Option<Instant>,
    /// Whether there has been a request.
    used: bool,
    /// Whether it speaks HTTP/2, where not all that comes belongs to a request.
    multiplexed: bool,
    /// Whether the place was given to somebody else.
    gone: bool,
}

/// A connection's place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    shared: Arc<Shared>,
    places: Arc<Places>,
}

/// A request under way, and then its answer until the client has it.
#[derive(Debug)]
pub(super) struct UnderWay {
    place: Arc<Place>,
    /// Whether it is for the client to go on.
    answered: bool,
}

impl Places {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, taken: Mutex::default(), freed: Notify::new() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from this address; none while it, or its IPv6 network of 64 bits, has too many.
    pub(super) async fn take(self: &Arc<Self>, source: IpAddr) -> Option<Arc<Place>> {
        let source = network(source);
        loop {
            let freed = self.freed.notified();
            {
                let mut taken = self.taken();
                if taken.sources.get(&source).is_some_and(|count| *count >= self.limits.per_source) {
                    // Looked for among all that are idle: an address with so many is rare.
                    let own = taken.idle.iter().find(|(_, shared)| shared.source == source);
                    let key = own.map(|(key, _)| *key)?;
                    taken.dismiss(key);
                } else if taken.count >= self.limits.connections
                    && let Some(key) = taken.idle.keys().next().copied()
                {
                    taken.dismiss(key);
                }
                if taken.count < self.limits.connections {
                    return Some(self.give(&mut taken, source));
                }
            }
            freed.await;
        }
    }

    fn give(self: &Arc<Self>, taken: &mut Taken, source: IpAddr) -> Arc<Place> {
        taken.numbered += 1;
        taken.count += 1;
        *taken.sources.entry(source).or_default() += 1;
        let idle_since = Instant::now();
        let state = State {
            under_way: 0,
            unread: 0,
            read: idle_since,
            idle_since,
            head_since: None,
            used: false,
            multiplexed: false,
            gone: false,
        };
        let shared = Arc::new(Shared {
            source,
            number: taken.numbered,
            state: Mutex::new(state),
            changed: Notify::new(),
            leave: Notify::new(),
        });
        taken.idle.insert((idle_since, shared.number), Arc::clone(&shared));
        Arc::new(Place { shared, places: Arc::clone(self) })
    }
}

impl Taken {
    /// Tells an idle connection to leave; its place is free from now on.
    fn dismiss(&mut self, key: (Instant, u64)) {
        let Some(shared) = self.idle.remove(&key) else { return };
        shared.state().gone = true;
        self.release(shared.source);
        shared.leave.notify_one();
    }

    fn release(&mut self, source: IpAddr) {
        self.count -= 1;
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Notes that a request has arrived; it is under way until it is answered or what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> UnderWay {
        self.work(|state, shared| {
            state.head_since = None;
            state.multiplexed = version == Version::HTTP_2;
            if !state.used {
                state.used = true;
                shared.changed.notify_one();
            }
        });
        UnderWay { place: Arc::clone(self), answered: false }
    }

    /// One more is under way.
    fn work(&self, note: impl FnOnce(&mut State, &Shared)) {
        let mut taken = self.places.taken();
        let mut state = self.shared.state();
        if state.under_way == 0 {
            taken.idle.remove(&(state.idle_since, self.shared.number));
        }
        state.under_way += 1;
        note(&mut state, &self.shared);
    }

    /// One less is under way.
    fn end(&self, note: impl FnOnce(&mut State)) {
        let mut taken = self.places.taken();
        let mut state = self.shared.state();
        state.under_way -= 1;
        note(&mut state);
        if state.under_way == 0 {
            state.idle_since = Instant::now();
            if !state.gone {
                taken.idle.insert((state.idle_since, self.shared.number), Arc::clone(&self.shared));
                // Whoever waits may take this one's place.
                self.places.freed.notify_one();
            }
        }
    }

    /// Notes that the client has an answer, or will never have it.
    fn read(&self) {
        let mut state = self.shared.state();
        state.unread -= 1;
        state.read = Instant::now();
    }

    /// Notes that bytes came: without a request under way they begin the next one's head.
    pub(super) fn heard(&self) {
        let mut state = self.shared.state();
        if state.under_way == 0 && state.head_since.is_none() && !state.multiplexed {
            state.head_since = Some(Instant::now());
            if state.used {
                self.shared.changed.notify_one();
            }
        }
    }

    /// Whether no request has been under way for so long: who reads answers had the time to read the last.
    pub(super) fn is_quiet_for(&self, time: Duration) -> bool {
        let state = *self.shared.state();
        state.under_way == 0 && state.idle_since.elapsed() >= time
    }

    /// Whether its client speaks HTTP/2.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.shared.state().multiplexed
    }

    /// Whether no request has come yet.
    pub(super) fn is_unused(&self) -> bool {
        !self.shared.state().used
    }

    /// Resolves when somebody else got the place.
    pub(super) async fn told_to_leave(&self) {
        self.shared.leave.notified().await;
    }

    /// Resolves when there has been a request.
    pub(super) async fn used(&self) {
        while self.is_unused() {
            self.shared.changed.notified().await;
        }
    }

    /// Resolves when the client has taken too long for its next request, or for its answers.
    pub(super) async fn overdue(&self) {
        loop {
            let Some(deadline) = self.deadline() else {
                // Looked at again when the answer, which has limits of its own, may be done.
                tokio::time::sleep(LOOK).await;
                continue;
            };
            if deadline <= Instant::now() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(deadline.min(Instant::now() + LOOK)) => {}
                () = self.shared.changed.notified() => {}
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let state = *self.shared.state();
        let idle = state.idle_since + if state.used { IDLE_TIMEOUT } else { HEAD_TIMEOUT };
        let head = state.head_since.map(|since| since + HEAD_TIMEOUT);
        let unread = (state.unread > 0).then(|| state.idle_since.max(state.read) + UNREAD_TIMEOUT);
        (state.under_way == 0).then(|| [head, unread].into_iter().flatten().fold(idle, Instant::min))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        let state = *self.shared.state();
        taken.idle.remove(&(state.idle_since, self.shared.number));
        if !state.gone {
            taken.release(self.shared.source);
        }
        drop(taken);
        self.places.freed.notify_one();
    }
}

impl UnderWay {
    /// Notes that there is an answer, or the next piece of one: now it is for the client to take it.
    pub(super) fn answered(&mut self) {
        if std::mem::replace(&mut self.answered, true) {
            // It was asked for, so the client has taken what came before.
            self.place.shared.state().read = Instant::now();
        } else {
            self.place.end(|state| {
                state.unread += 1;
                state.read = Instant::now();
            });
        }
    }

    /// Notes that the client waits for more of its answer.
    pub(super) fn awaited(&mut self) {
        if std::mem::replace(&mut self.answered, false) {
            self.place.work(|state, _| state.unread -= 1);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.answered {
            self.place.read();
        } else {
            self.place.end(|_| ());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    async fn is_dismissed(place: &Place) -> bool {
        tokio::select! {
            biased;
            () = place.told_to_leave() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn one_too_many_takes_the_place_of_the_one_that_is_idle_longest() {
        let places = Places::new(Limits { connections: 3, per_source: 3 });
        let first = places.take(HERE).await.unwrap();
        let second = places.take(HERE).await.unwrap();
        let third = places.take(THERE).await.unwrap();
        let request = first.begin(Version::HTTP_11);
        let fourth = places.take(THERE).await.unwrap();
        assert!(is_dismissed(&second).await);
        assert!(!is_dismissed(&first).await && !is_dismissed(&third).await && !is_dismissed(&fourth).await);
        drop(request);
        // The first is idle again, and for a shorter time than the third.
        let _fifth = places.take(THERE).await.unwrap();
        assert!(is_dismissed(&third).await && !is_dismissed(&first).await);
    }

    #[tokio::test]
    async fn while_all_are_busy_the_next_waits() {
        let places = Places::new(Limits { connections: 1, per_source: 1 });
        let only = places.take(HERE).await.unwrap();
        let request = only.begin(Version::HTTP_11);
        let next = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take(THERE).await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!next.is_finished());
        // Its connection stays, and is idle.
        drop(request);
        assert!(next.await.unwrap() && is_dismissed(&only).await);
        drop(only);
        assert_eq!(places.taken().count, 0);
        assert!(places.taken().idle.is_empty() && places.taken().sources.is_empty());
    }

    #[tokio::test]
    async fn an_address_has_no_more_than_its_share() {
        let places = Places::new(Limits { connections: 10, per_source: 2 });
        let (first, second) = (places.take(HERE).await.unwrap(), places.take(HERE).await.unwrap());
        let requests = (first.begin(Version::HTTP_11), second.begin(Version::HTTP_11));
        assert!(places.take(HERE).await.is_none());
        assert!(places.take(THERE).await.is_some());
        drop(requests);
        let third = places.take(HERE).await;
        assert!(third.is_some() && is_dismissed(&first).await && !is_dismissed(&second).await);
        // Dismissed, it is counted no longer, and leaving changes nothing more.
        drop((first, second, third));
        assert_eq!(places.taken().count, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_read_piece_by_piece_may_take_long() {
        let places = Places::new(Limits { connections: 1, per_source: 1 });
        let place = places.take(HERE).await.unwrap();
        let mut request = place.begin(Version::HTTP_2);
        for _ in 0..4 {
            request.answered();
            tokio::time::advance(UNREAD_TIMEOUT / 2).await;
        }
        assert!(place.deadline().is_some_and(|deadline| deadline > Instant::now()));
        tokio::time::advance(UNREAD_TIMEOUT / 2).await;
        assert!(place.deadline().is_some_and(|deadline| deadline <= Instant::now()));
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_keeps_no_place() {
        let places = Places::new(Limits { connections: 1, per_source: 1 });
        let first = places.take(HERE).await.unwrap();
        let mut request = first.begin(Version::HTTP_2);
        request.answered();
        let second = places.take(THERE).await.unwrap();
        assert!(is_dismissed(&first).await);
        drop((request, first));
        // One who waits for more of its answer is not sent away.
        let mut stream = second.begin(Version::HTTP_2);
        stream.answered();
        stream.awaited();
        let next = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take(HERE).await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!next.is_finished() && !is_dismissed(&second).await);
        drop((stream, second));
        assert!(next.await.unwrap());
        assert_eq!(places.taken().count, 0);
        assert!(places.taken().idle.is_empty());
    }

    #[tokio::test]
    async fn all_addresses_of_an_ipv6_network_are_one() {
        let places = Places::new(Limits { connections: 10, per_source: 2 });
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut held = Vec::new();
        for own in ["2001:db8::1", "2001:db8::2"] {
            let place = places.take(address(own)).await.unwrap();
            held.push(place.begin(Version::HTTP_11));
        }
        assert!(places.take(address("2001:db8::ffff:3")).await.is_none());
        assert!(places.take(address("2001:db8:0:1::1")).await.is_some());
        // What IPv4 is called on a socket of IPv6.
        let mapped = [address("::ffff:192.0.2.1"), address("192.0.2.1")];
        for source in mapped {
            held.push(places.take(source).await.unwrap().begin(Version::HTTP_11));
        }
        assert!(places.take(mapped[0]).await.is_none());
        assert!(places.take(address("::ffff:192.0.2.2")).await.is_some());
        drop(held);
        assert!(places.taken().sources.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_its_answers_is_overdue() {
        let places = Places::new(Limits::of(2));
        let (began, place) = (Instant::now(), places.take(HERE).await.unwrap());
        let (mut first, mut second) = (place.begin(Version::HTTP_2), place.begin(Version::HTTP_2));
        first.answered();
        second.answered();
        tokio::time::advance(Duration::from_secs(5)).await;
        drop(first);
        place.overdue().await;
        assert_eq!(began.elapsed(), Duration::from_secs(5) + UNREAD_TIMEOUT);
        // Who waits for the next piece of an answer waits as long as that takes.
        second.awaited();
        assert!(tokio::time::timeout(IDLE_TIMEOUT * 2, place.overdue()).await.is_err());
        drop(second);
        place.overdue().await;
        assert!(place.is_quiet_for(IDLE_TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_nothing_or_too_slowly_is_overdue() {
        let places = Places::new(Limits::of(4));
        let began = Instant::now();
        let silent = places.take(HERE).await.unwrap();
        silent.overdue().await;
        assert_eq!(began.elapsed(), HEAD_TIMEOUT);

        let (began, slow) = (Instant::now(), places.take(HERE).await.unwrap());
        drop(slow.begin(Version::HTTP_11));
        tokio::time::advance(Duration::from_secs(30)).await;
        slow.heard();
        slow.overdue().await;
        assert_eq!(began.elapsed(), Duration::from_secs(30) + HEAD_TIMEOUT);

        let (began, idle) = (Instant::now(), places.take(THERE).await.unwrap());
        drop(idle.begin(Version::HTTP_11));
        idle.overdue().await;
        assert_eq!(began.elapsed(), IDLE_TIMEOUT);
    }
}
