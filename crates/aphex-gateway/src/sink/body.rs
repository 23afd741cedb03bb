//! How bodies arrive: bounded each, bounded in time, and bounded all together.
//!
//! Memory is set aside as bytes come, not as a sender announces them: who announces 25 MiB and sends nothing takes
//! nothing from others. Where all is taken, the body that needs more is refused, so that none waits for another.

use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::MAX_BODY;
use crate::response::Answer;

/// A sender slower than this is not GitHub, which gives up after ten seconds itself.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Memory is counted in units of this many bytes.
const UNIT: usize = 64 * 1024;
/// Memory for the bodies under way.
const UNITS: usize = 256 * 1024 * 1024 / UNIT;

/// Commas and colons of one body, which are about as many as its values and names.
const MOST_VALUES: usize = 2_500_000;

/// The memory for bodies.
#[derive(Debug)]
pub struct Bodies(Semaphore);

/// A body, and the memory that it has until this is dropped.
pub(super) struct Held<'a> {
    pub(super) bytes: Bytes,
    _memory: SemaphorePermit<'a>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self(Semaphore::new(UNITS))
    }
}

impl Bodies {
    /// Reads a body whole, or says why not.
    pub(super) async fn read<B>(&self, body: B, headers: &HeaderMap) -> Result<Held<'_>, Answer>
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

    async fn collect<B>(&self, body: B) -> Result<Held<'_>, Answer>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let full = |_| Answer::Unavailable;
        let mut memory = self.0.try_acquire().map_err(full)?;
        let mut held = UNIT;
        let mut bytes = BytesMut::new();
        let mut body = std::pin::pin!(body);
        while let Some(frame) = body.frame().await {
            // The sender went away or broke the framing; it will hardly read this.
            let Ok(frame) = frame else { return Err(Answer::Payload) };
            let Ok(data) = frame.into_data() else { continue };
            let length = bytes.len() + data.len();
            if length > MAX_BODY {
                return Err(Answer::TooLarge);
            }
            while held < length {
                memory.merge(self.0.try_acquire().map_err(full)?);
                held += UNIT;
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Held { bytes: bytes.freeze(), _memory: memory })
    }
}

/// Whether the body is as it was written: GitHub compresses none, and a small body may unpack to a huge one.
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether JSON falls apart into so many values that reading it takes many times its size in memory.
///
/// 25 MiB of `[0,0,…]` are 400 MiB when read. Commas and colons in texts count as well: real payloads have no more than
/// one in ten bytes of both.
pub(super) fn is_too_fine(json: &[u8]) -> bool {
    json.iter().filter(|byte| matches!(byte, b',' | b':')).count() > MOST_VALUES
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn chunks(
        count: usize,
        size: usize,
    ) -> StreamBody<impl futures::Stream<Item = Result<Frame<Bytes>, std::io::Error>>> {
        let chunk = Bytes::from(vec![b'x'; size]);
        StreamBody::new(futures::stream::iter((0..count).map(move |_| Ok(Frame::data(chunk.clone())))))
    }

    #[tokio::test]
    async fn a_body_takes_memory_as_it_comes_and_gives_it_back() {
        let bodies = Bodies(Semaphore::new(4));
        let headers = HeaderMap::new();
        let held = bodies.read(chunks(3, UNIT), &headers).await.unwrap();
        assert_eq!((held.bytes.len(), bodies.0.available_permits()), (3 * UNIT, 1));
        let small = bodies.read(Full::new(Bytes::from_static(b"{}")), &headers).await.unwrap();
        assert!(matches!(bodies.read(Full::new(Bytes::new()), &headers).await, Err(Answer::Unavailable)));
        drop((held, small));
        assert_eq!(bodies.0.available_permits(), 4);
        // What is refused half-way leaves nothing behind.
        assert!(matches!(bodies.read(chunks(5, UNIT), &headers).await, Err(Answer::Unavailable)));
        assert_eq!(bodies.0.available_permits(), 4);
    }

    #[tokio::test]
    async fn who_announces_much_and_sends_nothing_takes_nothing_from_others() {
        let bodies = Bodies(Semaphore::new(3));
        let headers: HeaderMap = [(header::CONTENT_LENGTH, MAX_BODY.into())].into_iter().collect();
        let silent = || StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        let (mut one, mut other) =
            (Box::pin(bodies.read(silent(), &headers)), Box::pin(bodies.read(silent(), &headers)));
        assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut other).is_pending());
        assert!(bodies.read(Full::new(Bytes::from_static(b"{}")), &HeaderMap::new()).await.is_ok());
    }

    #[tokio::test]
    async fn no_body_is_larger_than_githubs_largest() {
        let bodies = Bodies::default();
        let announced: HeaderMap = [(header::CONTENT_LENGTH, (MAX_BODY + 1).into())].into_iter().collect();
        assert!(matches!(bodies.read(chunks(0, 0), &announced).await, Err(Answer::TooLarge)));
        let headers = HeaderMap::new();
        let mebibyte = 1024 * 1024;
        assert!(matches!(bodies.read(chunks(26, mebibyte), &headers).await, Err(Answer::TooLarge)));
        assert_eq!(
            bodies.read(chunks(25, mebibyte), &headers).await.map(|held| held.bytes.len()).ok(),
            Some(MAX_BODY)
        );
    }

    #[test]
    fn a_body_of_nothing_but_numbers_is_bounded_by_their_count() {
        let numbers = |count: usize| format!("{{\"a\":[0{}]}}", ",0".repeat(count)).into_bytes();
        assert!(!is_too_fine(&numbers(MOST_VALUES - 1)));
        assert!(is_too_fine(&numbers(MOST_VALUES)));
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
