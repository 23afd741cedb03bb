//! gzip as payloads are kept: fast, and with the compressor's tables kept from one payload to the next.
//!
//! Making and clearing these tables costs more than compressing a usual payload of a few kilobytes does.

use std::cell::RefCell;
use std::io;

use flate2::{Compress, Compression, FlushCompress, Status};

/// The largest window of gzip (RFC 1952 leaves it to deflate, RFC 1951): 32 KiB.
const WINDOW_BITS: u8 = 15;
/// How much the output grows by where it is too small.
const STEP: usize = 4096;

thread_local! {
    static COMPRESSOR: RefCell<Compress> =
        RefCell::new(Compress::new_gzip(Compression::fast(), WINDOW_BITS));
}

/// The bytes as one member of gzip; the same bytes always give the same.
pub(crate) fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        // JSON becomes a quarter of what it was, or less.
        let mut out = Vec::with_capacity(bytes.len() / 3 + STEP);
        loop {
            let read = usize::try_from(compressor.total_in()).unwrap_or(usize::MAX);
            let rest = bytes.get(read..).unwrap_or_default();
            match compressor.compress_vec(rest, &mut out, FlushCompress::Finish)? {
                Status::StreamEnd => return Ok(out),
                Status::Ok | Status::BufError => out.reserve(out.len() / 2 + STEP),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn what_is_compressed_reads_back_whatever_came_before_it() {
        let noise: Vec<u8> = (0_u32..200_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let text = "a payload ".repeat(50_000).into_bytes();
        let first = compress(&text).unwrap();
        for bytes in [&noise[..], &text, b"", b"{}", &noise] {
            let mut read = Vec::new();
            GzDecoder::new(compress(bytes).unwrap().as_slice()).read_to_end(&mut read).unwrap();
            assert!(read == bytes, "{} bytes", bytes.len());
        }
        assert_eq!(compress(&text).unwrap(), first);
        assert!(first.len() < text.len() / 50);
    }
}
