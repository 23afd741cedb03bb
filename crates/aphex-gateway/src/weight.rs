//! How much memory JSON takes once it is read: many times its text where it falls apart into small values.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::admission::{Gate, Place};

/// Bytes of a unit of [`Room`].
const UNIT: usize = 1 << 20;
/// All units.
const UNITS: u32 = 256;
/// An object with anything in it: a node of the tree that keeps its members, which has room for eleven.
const OBJECT: usize = 640;
/// A list with anything in it: room for four values.
const LIST: usize = 128;
/// A value in a list or an object, twice, since lists grow to twice what they hold; its text and name are in the bytes.
const VALUE: usize = 64;

/// Bytes that a [`serde_json::Value`] of this text takes at most, or about that.
///
/// Counted are the signs that values are made of, in texts as well: real payloads have one in twenty bytes.
pub(crate) fn weight(json: &[u8]) -> usize {
    // Three passes that the compiler makes wide are faster than one that looks at each byte.
    let count = |wanted: fn(u8) -> bool| json.iter().filter(|byte| wanted(**byte)).count();
    let (objects, lists) = (count(|byte| byte == b'{'), count(|byte| byte == b'['));
    let values = count(|byte| matches!(byte, b',' | b':'));
    json.len() * 2 + objects * OBJECT + lists * LIST + values * VALUE
}

/// Memory for payloads that are read while no sender waits: whoever reads one waits until there is enough.
///
/// One at a time waits for it, and organizations take turns at that: however many one has, another's comes after few.
#[derive(Debug)]
pub(crate) struct Room {
    units: Arc<Semaphore>,
    gate: Gate,
}

/// An organization's turn to wait for memory.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    room: &'a Room,
    _place: Place<'a>,
}

/// What a payload has of it, until this is dropped.
pub(crate) type Taken = Option<OwnedSemaphorePermit>;

impl Default for Room {
    fn default() -> Self {
        Self { units: Arc::new(Semaphore::new(UNITS as usize)), gate: Gate::new(1) }
    }
}

impl Room {
    /// What these values of an organization take; a small one takes nothing, and the largest has to be alone.
    pub(crate) async fn take(&self, organization: &str, json: &[u8]) -> Taken {
        if units(json) == 0 {
            return None;
        }
        self.turn(organization).await.take(json).await
    }

    /// Waits for the organization's turn.
    pub(crate) async fn turn(&self, organization: &str) -> Turn<'_> {
        Turn { room: self, _place: self.gate.enter(organization).await }
    }
}

impl Turn<'_> {
    /// What these values take, which ends the turn.
    pub(crate) async fn take(self, json: &[u8]) -> Taken {
        let units = units(json);
        if units == 0 {
            return None;
        }
        // Nobody closes it.
        Arc::clone(&self.room.units).acquire_many_owned(units).await.ok()
    }
}

/// Units that values take.
fn units(json: &[u8]) -> u32 {
    u32::try_from(weight(json) / UNIT).unwrap_or(UNITS).min(UNITS)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// What a value keeps on the heap; leaves of trees are as full as they get when names come in order.
    fn heap(value: &Value) -> usize {
        match value {
            Value::String(text) => text.capacity(),
            Value::Array(values) => {
                values.capacity() * size_of::<Value>() + values.iter().map(heap).sum::<usize>()
            }
            Value::Object(members) => {
                let node = 11 * (size_of::<String>() + size_of::<Value>()) + 16;
                let own = members.iter().map(|(name, value)| name.capacity() + heap(value));
                members.len().div_ceil(6) * node + own.sum::<usize>()
            }
            _ => 0,
        }
    }

    #[test]
    fn it_is_never_far_below_what_values_take() {
        let many = |value: &str| format!("[{}]", vec![value; 10_000].join(","));
        let names: Vec<String> = (0..10_000).map(|number| format!("\"k{number:05}\":1")).collect();
        let push = include_str!("../../../examples/github-push.json");
        for json in [
            many("0"),
            many("{\"\":1}"),
            many("[0]"),
            many("[[0]]"),
            many("\"text\""),
            format!("{{{}}}", names.join(",")),
            push.to_owned(),
        ] {
            let taken = heap(&serde_json::from_str(&json).unwrap());
            let told = weight(json.as_bytes());
            assert!(told * 10 >= taken * 9, "{told} told, {taken} taken: {}", &json[..40]);
        }
    }

    #[tokio::test]
    async fn large_payloads_wait_for_each_other_and_small_ones_for_nobody() {
        let room = Room::default();
        let fine = format!("[{}]", vec!["{\"\":1}"; 200_000].join(","));
        let (first, small) = (room.take("a", fine.as_bytes()).await, room.take("a", b"{}").await);
        assert!(first.is_some() && small.is_none());
        let mut second = Box::pin(room.take("a", fine.as_bytes()));
        assert!(futures::poll!(&mut second).is_pending());
        assert!(room.take("a", b"[1]").await.is_none());
        // However many one organization has, another's comes after few.
        let mut third = Box::pin(room.take("a", fine.as_bytes()));
        let mut fourth = Box::pin(room.take("a", fine.as_bytes()));
        let mut others = Box::pin(room.take("b", fine.as_bytes()));
        for waiting in [&mut third, &mut fourth, &mut others] {
            assert!(futures::poll!(waiting).is_pending());
        }
        drop(first);
        drop(second.await);
        let third = third.await;
        assert!(third.is_some());
        for waiting in [&mut fourth, &mut others] {
            assert!(futures::poll!(waiting).is_pending());
        }
        drop(third);
        let others = others.await;
        assert!(others.is_some() && futures::poll!(&mut fourth).is_pending());
        drop(others);
        assert!(fourth.await.is_some());
        let finest = fine.repeat(20);
        assert!(weight(finest.as_bytes()) > UNIT * UNITS as usize);
        assert!(room.take("a", finest.as_bytes()).await.is_some(), "it is alone");
    }

    #[test]
    fn a_usual_push_weighs_few_times_its_text() {
        let push = include_bytes!("../../../examples/github-push.json");
        assert!(weight(push) < push.len() * 12, "{} of {}", weight(push), push.len());
    }
}
