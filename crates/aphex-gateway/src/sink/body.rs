//! How bodies arrive: bounded each, bounded in time, and bounded all together.
//!
//! Memory is set aside as bytes come, not as a sender announces them: who announces 25 MiB and sends nothing takes
//! nothing from others but what its head needs, which is counted before anything is waited for. Where there is none for
//! it, the body that needs more is refused, so that none waits for another; who may have how much is `memory`'s.

use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use hyper::body::Body;

use super::MAX_BODY;
use super::memory::{Claim, Memory, UNIT};
use crate::response::Answer;
use crate::weight::weight;

/// A sender slower than this is not GitHub, which gives up after ten seconds itself.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What a payload may take once it is read. GitHub's largest take seven to nine times their text.
const MOST_READ: usize = 240 << 20;
/// All that payloads may take once they are read, in units.
const VALUES: u64 = 320 * 1024 * 1024 / UNIT as u64;
/// What is not counted of each: the values of a usual push.
const USUAL: usize = 2 * UNIT;
/// What a field of a head takes besides its bytes, about.
const FIELD: usize = 128;

/// The memory for bodies and the heads before them, and that for what is read of those whose sender is known.
#[derive(Debug)]
pub struct Bodies {
    bodies: Memory,
    values: Memory,
}

impl Default for Bodies {
    fn default() -> Self {
        Self { bodies: Memory::default(), values: Memory::of(VALUES) }
    }
}

/// A request whose body was not read yet, and the memory that its head has.
pub(super) struct Begun<'a> {
    memory: Claim<'a>,
    values: &'a Memory,
    head: usize,
}

/// A body, and the memory that it has until this is dropped.
pub(super) struct Held<'a> {
    pub(super) bytes: Bytes,
    pub(super) memory: Claim<'a>,
    values: &'a Memory,
}

impl<'a> Held<'a> {
    /// Takes memory of this one for the values of JSON, which is to be read; a usual push needs none.
    ///
    /// 25 MiB of `[0,0,…]` are 800 MiB when read, and of `[{"":0},…]` two gigabytes.
    pub(super) fn reads(&self, json: &[u8], name: &str) -> Result<Option<Claim<'a>>, Answer> {
        let weight = weight(json);
        if weight > MOST_READ {
            return Err(Answer::TooLarge);
        }
        let units = weight.saturating_sub(USUAL).div_ceil(UNIT) as u64;
        if units == 0 {
            return Ok(None);
        }
        let mut claim = self.values.claim(name.to_owned());
        if claim.takes(units) { Ok(Some(claim)) } else { Err(Answer::Busy) }
    }
}

impl Bodies {
    /// Takes memory for a head of this sender.
    pub(super) fn begin(&self, head: &request::Parts, sender: String) -> Result<Begun<'_>, Answer> {
        let (mut memory, head) = (self.bodies.claim(sender), size(head));
        if !memory.covers(head) {
            return Err(Answer::NoMemory);
        }
        Ok(Begun { memory, values: &self.values, head })
    }
}

/// How many bytes a head takes, about.
fn size(head: &request::Parts) -> usize {
    let path = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
    head.headers.iter().fold(path, |sum, (name, value)| sum + FIELD + name.as_str().len() + value.len())
}

impl<'a> Begun<'a> {
    /// Reads the body whole, or says why not.
    pub(super) async fn read<B>(self, body: B, headers: &HeaderMap) -> Result<Held<'a>, Answer>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length > MAX_BODY) {
            return Err(Answer::TooLarge);
        }
        tokio::time::timeout(TIMEOUT, self.collect(body)).await.map_err(|_| Answer::Timeout)?
    }

    async fn collect<B>(self, body: B) -> Result<Held<'a>, Answer>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Self { mut memory, values, head } = self;
        let mut pieces = Pieces::default();
        let mut body = std::pin::pin!(body);
        while let Some(frame) = body.frame().await {
            // The sender went away or broke the framing; it will hardly read this.
            let Ok(frame) = frame else { return Err(Answer::Payload) };
            let Ok(data) = frame.into_data() else { continue };
            let length = pieces.length + data.len();
            if length > MAX_BODY {
                return Err(Answer::TooLarge);
            }
            if !memory.covers(head + length) {
                return Err(Answer::NoMemory);
            }
            pieces.push(&data);
        }
        Ok(Held { bytes: pieces.join(), memory, values })
    }
}

/// What has come of a body, in pieces of one unit: one buffer that grows would take up to twice of what was set aside for it,
/// and leave buffers of all sizes behind, for as long as a sender keeps it open.
#[derive(Default)]
struct Pieces {
    pieces: Vec<BytesMut>,
    length: usize,
}

impl Pieces {
    fn push(&mut self, mut data: &[u8]) {
        self.length += data.len();
        while !data.is_empty() {
            let room = self.pieces.last().map_or(0, |last| last.capacity() - last.len());
            if room == 0 {
                // Most bodies come whole.
                let size = if self.pieces.is_empty() { data.len().min(UNIT) } else { UNIT };
                self.pieces.push(BytesMut::with_capacity(size));
            }
            let Some(last) = self.pieces.last_mut() else { return };
            let (now, later) = data.split_at(data.len().min(last.capacity() - last.len()));
            last.extend_from_slice(now);
            data = later;
        }
    }

    fn join(mut self) -> Bytes {
        if self.pieces.len() <= 1 {
            return self.pieces.pop().unwrap_or_default().freeze();
        }
        let mut whole = BytesMut::with_capacity(self.length);
        for piece in self.pieces {
            whole.extend_from_slice(&piece);
        }
        whole.freeze()
    }
}

/// Whether the body is as it was written: GitHub compresses none, and a small body may unpack to a huge one.
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures::StreamExt as _;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn nobody() -> String {
        "192.0.2.1".to_owned()
    }

    fn head(fields: usize) -> request::Parts {
        let mut head = http::Request::post("/a").body(()).unwrap().into_parts().0;
        for _ in 0..fields {
            head.headers.append("x", "y".parse().unwrap());
        }
        head
    }

    impl Bodies {
        /// Reads a body that comes after hardly any head.
        async fn read<B>(&self, body: B, headers: &HeaderMap, sender: String) -> Result<Held<'_>, Answer>
        where
            B: Body<Data = Bytes> + Send,
            B::Error: Into<Box<dyn Error + Send + Sync>>,
        {
            Begun { head: 0, ..self.begin(&head(0), sender)? }.read(body, headers).await
        }
    }

    #[tokio::test]
    async fn a_head_takes_memory_whatever_follows_it() {
        let bodies = Bodies { bodies: Memory::of(100), values: Memory::of(VALUES) };
        assert!((UNIT..UNIT + 1024).contains(&size(&head(510))));
        let large = bodies.begin(&head(510), nobody()).unwrap();
        assert_eq!(bodies.bodies.free(), 98, "many small fields take more than their text");
        let held = large.read(chunks(1, UNIT), &HeaderMap::new()).await.unwrap();
        assert_eq!(bodies.bodies.free(), 97, "the body comes in addition");
        drop(held);
        // Who sends heads alone leaves room for others.
        let greedy: Vec<_> = std::iter::from_fn(|| bodies.begin(&head(1), nobody()).ok()).collect();
        assert_eq!((greedy.len(), bodies.bodies.free()), (75, 25));
        assert!(bodies.begin(&head(1), "192.0.2.2".to_owned()).is_ok());
        drop(greedy);
        assert_eq!(bodies.bodies.free(), 100);
    }

    fn chunks(
        count: usize,
        size: usize,
    ) -> StreamBody<impl futures::Stream<Item = Result<Frame<Bytes>, std::io::Error>>> {
        let chunk = Bytes::from(vec![b'x'; size]);
        StreamBody::new(futures::stream::iter((0..count).map(move |_| Ok(Frame::data(chunk.clone())))))
    }

    #[tokio::test]
    async fn a_body_takes_memory_as_it_comes_and_gives_it_back() {
        let bodies = Bodies { bodies: Memory::of(4), values: Memory::of(VALUES) };
        let headers = HeaderMap::new();
        let held = bodies.read(chunks(2, UNIT), &headers, nobody()).await.unwrap();
        assert_eq!((held.bytes.len(), bodies.bodies.free()), (2 * UNIT, 2));
        let small = || bodies.read(Full::new(Bytes::from_static(b"{}")), &headers, nobody());
        let one = small().await.unwrap();
        assert!(matches!(small().await, Err(Answer::NoMemory)));
        drop((held, one));
        assert_eq!(bodies.bodies.free(), 4);
        // What is refused half-way leaves nothing behind.
        assert!(matches!(bodies.read(chunks(5, UNIT), &headers, nobody()).await, Err(Answer::NoMemory)));
        assert_eq!(bodies.bodies.free(), 4);
    }

    #[tokio::test]
    async fn who_announces_much_and_sends_nothing_takes_nothing_from_others() {
        let bodies = Bodies { bodies: Memory::of(8), values: Memory::of(VALUES) };
        let headers: HeaderMap = [(header::CONTENT_LENGTH, MAX_BODY.into())].into_iter().collect();
        let silent = || StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        let (mut one, mut other) = (
            Box::pin(bodies.read(silent(), &headers, nobody())),
            Box::pin(bodies.read(silent(), &headers, nobody())),
        );
        assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut other).is_pending());
        assert!(bodies.read(Full::new(Bytes::from_static(b"{}")), &HeaderMap::new(), nobody()).await.is_ok());
    }

    #[tokio::test]
    async fn who_sends_large_bodies_but_for_the_last_byte_leaves_room_for_others() {
        let bodies = Bodies { bodies: Memory::of(100), values: Memory::of(VALUES) };
        let headers = HeaderMap::new();
        let from = |sender: &str, units: usize| {
            let sent = Frame::data(Bytes::from(vec![b'x'; units * UNIT]));
            let stalls =
                futures::stream::iter([Ok::<_, std::io::Error>(sent)]).chain(futures::stream::pending());
            Box::pin(bodies.read(StreamBody::new(stalls), &headers, sender.to_owned()))
        };
        let mut stalled = Vec::new();
        for units in [20; 10].into_iter().chain([1; 100]) {
            let mut one = from("192.0.2.1", units);
            match futures::poll!(&mut one) {
                Poll::Pending => stalled.push(one),
                Poll::Ready(refused) => assert!(matches!(refused, Err(Answer::NoMemory))),
            }
        }
        assert!(stalled.len() > 3 && bodies.bodies.free() >= 25, "{} free", bodies.bodies.free());
        let good = bodies.read(chunks(1, UNIT), &headers, "192.0.2.2".to_owned()).await;
        assert!(good.is_ok());
    }

    #[tokio::test]
    async fn no_body_is_larger_than_githubs_largest() {
        let bodies = Bodies::default();
        let announced: HeaderMap = [(header::CONTENT_LENGTH, (MAX_BODY + 1).into())].into_iter().collect();
        assert!(matches!(bodies.read(chunks(0, 0), &announced, nobody()).await, Err(Answer::TooLarge)));
        let headers = HeaderMap::new();
        let mebibyte = 1024 * 1024;
        assert!(matches!(bodies.read(chunks(26, mebibyte), &headers, nobody()).await, Err(Answer::TooLarge)));
        assert_eq!(
            bodies.read(chunks(25, mebibyte), &headers, nobody()).await.map(|held| held.bytes.len()).ok(),
            Some(MAX_BODY)
        );
    }

    #[test]
    fn a_body_in_pieces_takes_no_more_than_a_piece_beyond_itself() {
        for size in [1, 1000, UNIT, UNIT + 1, 3 * UNIT] {
            let (mut pieces, mut sent) = (Pieces::default(), Vec::new());
            for number in 0..40_u8 {
                let chunk = vec![number; size];
                pieces.push(&chunk);
                sent.extend(chunk);
                let taken: usize = pieces.pieces.iter().map(BytesMut::capacity).sum();
                assert!(taken <= sent.len() + UNIT, "{taken} bytes for {}", sent.len());
            }
            assert_eq!(pieces.length, sent.len());
            assert_eq!(pieces.join(), sent);
        }
        assert!(Pieces::default().join().is_empty());
    }

    #[tokio::test]
    async fn what_is_read_of_a_body_has_memory_of_its_own() {
        let bodies = Bodies::default();
        let request = http::Request::builder().uri("/acme").body(()).unwrap().into_parts().0;
        let held = async || {
            let body = Full::new(Bytes::from_static(b"{}"));
            bodies.begin(&request, "one".into()).unwrap().read(body, &request.headers).await
        };
        let fine = |count: usize| format!("[{}]", vec!["{\"\":0}"; count].join(",")).into_bytes();
        let (one, two) = (held().await.unwrap(), held().await.unwrap());
        let reads = |held: &Held<'_>, json: &[u8], name: &str| held.reads(json, name).map(drop);
        assert_eq!(reads(&one, &fine(1_000_000), "acme"), Err(Answer::TooLarge));
        let first = one.reads(&fine(300_000), "acme").unwrap();
        assert_eq!(reads(&two, &fine(200_000), "acme"), Err(Answer::Busy), "its organization has its share");
        assert_eq!(reads(&two, &fine(120_000), "shop"), Ok(()));
        assert_eq!(reads(&two, &fine(200_000), "shop"), Err(Answer::Busy), "there is not so much left");
        assert_eq!(reads(&two, &payload(), "acme"), Ok(()), "a usual push is not counted");
        drop(first);
        assert_eq!(reads(&two, &fine(200_000), "shop"), Ok(()));
    }

    /// A usual push.
    fn payload() -> Vec<u8> {
        include_bytes!("../../../../examples/github-push.json").to_vec()
    }

    #[test]
    fn compressed_bodies_are_not_taken() {
        let plain = |encodings: &[&'static str]| {
            let values = encodings.iter().map(|encoding| http::HeaderValue::from_static(encoding));
            is_plain(&values.map(|value| (header::CONTENT_ENCODING, value)).collect())
        };
        assert!(plain(&[]) && plain(&["identity"]) && plain(&["Identity"]));
        assert!(!plain(&["gzip"]) && !plain(&["identity", "br"]) && !plain(&["gzip, identity"]));
    }
}
