//! git's pkt-lines (gitprotocol-common): four hexadecimal digits of length, which count themselves, then the data.

use crate::RemoteError;

/// Ends a list of packets.
pub(crate) const FLUSH: &[u8] = b"0000";
/// Begins a packet in which the other side says why it goes.
pub(crate) const ERROR: &[u8] = b"ERR ";
/// Parts the sections of a request.
pub(crate) const DELIMITER: &[u8] = b"0001";

/// Appends one packet.
pub(crate) fn push(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
    out.extend_from_slice(data);
}

/// Packets up to a flush or an error, without the end of line; and what comes after.
type Section<'a> = (Vec<&'a [u8]>, &'a [u8]);

/// Reads a section; none while its end is still to come.
pub(crate) fn section(mut bytes: &[u8]) -> Result<Option<Section<'_>>, RemoteError> {
    let mut packets = Vec::new();
    loop {
        let Some((head, rest)) = bytes.split_at_checked(4) else { return Ok(None) };
        let digits = std::str::from_utf8(head).ok().filter(|text| !text.starts_with('+'));
        let length = digits
            .and_then(|digits| usize::from_str_radix(digits, 16).ok())
            .ok_or(RemoteError::Protocol("a packet has no length"))?;
        match length {
            0 => return Ok(Some((packets, rest))),
            // Delimiter and end of response: nothing that follows them here is told apart.
            1 | 2 => bytes = rest,
            3 => return Err(RemoteError::Protocol("a packet is shorter than its length")),
            _ => {
                let Some((data, rest)) = rest.split_at_checked(length - 4) else { return Ok(None) };
                packets.push(data.strip_suffix(b"\n").unwrap_or(data));
                bytes = rest;
                // Nothing follows it, not even a flush.
                if data.starts_with(ERROR) {
                    return Ok(Some((packets, rest)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        push(&mut bytes, b"one\n");
        push(&mut bytes, b"");
        bytes.extend_from_slice(DELIMITER);
        push(&mut bytes, b"two");
        bytes.extend_from_slice(FLUSH);
        bytes.extend_from_slice(b"more");
        assert!(bytes.starts_with(b"0008one\n00040001"));
        let (packets, rest) = section(&bytes).unwrap().unwrap();
        assert_eq!(packets, [b"one".as_slice(), b"", b"two"]);
        assert_eq!(rest, b"more");
    }

    #[test]
    fn an_error_ends_without_a_flush() {
        let (packets, _) = section(b"000aERR no").unwrap().unwrap();
        assert_eq!(packets, [b"ERR no".as_slice()]);
    }

    #[test]
    fn half_a_packet_is_waited_for_and_nonsense_is_refused() {
        for half in [b"".as_slice(), b"00", b"0008on", b"0008one\n"] {
            assert!(section(half).unwrap().is_none(), "{half:?}");
        }
        for nonsense in [b"zzzz".as_slice(), b"0003", b"+001", b"<htm", b"\xff\xff\xff\xff"] {
            assert!(section(nonsense).is_err(), "{nonsense:?}");
        }
    }
}
