//! Requests: both directions.

use thiserror::Error;

use super::key::{check_key, check_key_bytes, check_key_len};
use crate::protocol::{DecodeError, Decoded, KeyError, Limits, Request};

const STORE: u8 = b'S';
const FETCH: u8 = b'F';
const DELETE: u8 = b'D';

const COMMAND_LEN: usize = 1;
const LENGTH_LEN: usize = 4;

/// The header of a fetch or a delete, in bytes: the command and the key's length.
pub const SHORT_HEADER_LEN: usize = COMMAND_LEN + LENGTH_LEN;

/// The header of a store, in bytes: the command, the key's length and the value's.
pub const STORE_HEADER_LEN: usize = SHORT_HEADER_LEN + LENGTH_LEN;

/// Whether `first_byte` starts a request of this dialect.
pub(in crate::protocol) fn starts_request(first_byte: u8) -> bool {
    matches!(first_byte, STORE | FETCH | DELETE)
}

/// Decodes the request of a connection from all bytes that have arrived on it.
///
/// [`Decoded::Incomplete`] has the offset at which the incomplete part ends: the key's length, the value's length, the
/// key, or the value. Until that many bytes have arrived the result stays the same, so a request is decoded at most six
/// times, however many pieces it arrives in.
///
/// ```
/// # use sharedance_core::protocol::{Decoded, Limits, Request};
/// # use sharedance_core::protocol::classic::decode_request;
/// let wire = b"S\0\0\0\x03\0\0\0\x05keyvalue";
/// let prefixes = (0..wire.len()).map(|len| decode_request(&wire[..len], &Limits::default()));
/// let mut needed: Vec<usize> = prefixes
///     .map(|decoded| match decoded {
///         Ok(Decoded::Incomplete { needed }) => needed,
///         other => panic!("{other:?}"),
///     })
///     .collect();
/// needed.dedup();
/// assert_eq!(needed, [1, 5, 9, 12, 17]);
///
/// let message = Request::Store { key: b"key", value: b"value" };
/// assert_eq!(decode_request(wire, &Limits::default())?, Decoded::Complete { message, consumed: 17 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As soon as enough bytes have arrived: [`UnknownCommand`](DecodeError::UnknownCommand) at the first byte;
/// [`Key`](DecodeError::Key) at the key's length, or at the end of the key; [`TooLarge`](DecodeError::TooLarge) at the
/// end of the header; [`TrailingBytes`](DecodeError::TrailingBytes) if more bytes have arrived than the request has.
pub fn decode_request<'a>(input: &'a [u8], limits: &Limits) -> Result<Decoded<Request<'a>>, DecodeError> {
    let Some(&command) = input.first() else {
        return Ok(Decoded::Incomplete { needed: COMMAND_LEN });
    };
    if !starts_request(command) {
        return Err(DecodeError::UnknownCommand(command));
    }

    let Some(key_len) = length_at(input, COMMAND_LEN) else {
        return Ok(Decoded::Incomplete { needed: SHORT_HEADER_LEN });
    };
    check_key_len(u64::from(key_len))?;

    let (header_len, value_len) = match (command, length_at(input, SHORT_HEADER_LEN)) {
        (STORE, Some(value_len)) => (STORE_HEADER_LEN, value_len),
        (STORE, None) => {
            return Ok(Decoded::Incomplete { needed: STORE_HEADER_LEN });
        }
        _ => (SHORT_HEADER_LEN, 0),
    };
    let request_len = checked_request_len(header_len, key_len, value_len, limits)?;

    // The length is within the limit, which is a usize. So each of its parts fits into a usize.
    let key_end = header_len + key_len as usize;
    let Some(key) = input.get(header_len..key_end) else {
        return Ok(Decoded::Incomplete { needed: key_end });
    };
    check_key_bytes(key)?;

    let Some(value) = input.get(key_end..request_len) else {
        return Ok(Decoded::Incomplete { needed: request_len });
    };
    if input.len() > request_len {
        return Err(DecodeError::TrailingBytes(input.len() - request_len));
    }

    let message = match command {
        STORE => Request::Store { key, value },
        FETCH => Request::Fetch { key },
        _ => Request::Delete { key },
    };
    Ok(Decoded::Complete { message, consumed: request_len })
}

/// Why a request cannot be encoded.
///
/// ```
/// # use sharedance_core::protocol::{KeyError, Request};
/// # use sharedance_core::protocol::classic::{EncodeError, encode_header};
/// let refused = encode_header(&Request::Fetch { key: b"" }).unwrap_err();
/// assert_eq!(refused, EncodeError::Key(KeyError::Empty));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Servers refuse such a key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The value's length does not fit into the 32 bits of the header's field.
    #[error("a value of {len} bytes is too long: the length field of this dialect has 32 bits, at most {}", u32::MAX)]
    ValueTooLong {
        /// The value's length in bytes.
        len: u64,
    },
}

/// The header of a request: the bytes before the key.
///
/// ```
/// # use sharedance_core::protocol::Request;
/// # use sharedance_core::protocol::classic::{STORE_HEADER_LEN, encode_header};
/// let header = encode_header(&Request::Store { key: b"key", value: b"value" })?;
/// assert_eq!(header.as_bytes().len(), STORE_HEADER_LEN);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; STORE_HEADER_LEN],
    len: usize,
}

impl Header {
    /// The bytes to send. The key and then the value follow.
    ///
    /// ```
    /// # use sharedance_core::protocol::Request;
    /// # use sharedance_core::protocol::classic::encode_header;
    /// let header = encode_header(&Request::Fetch { key: b"key" })?;
    /// assert_eq!(header.as_bytes(), b"F\0\0\0\x03");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Appends a request to `out`. If it fails, `out` is unchanged.
///
/// ```
/// # use sharedance_core::protocol::Request;
/// # use sharedance_core::protocol::classic::encode_request;
/// let mut out = Vec::new();
/// encode_request(&Request::Delete { key: b"key" }, &mut out)?;
/// assert_eq!(out, b"D\0\0\0\x03key");
/// assert!(encode_request(&Request::Delete { key: b"a/b" }, &mut out).is_err());
/// assert_eq!(out.len(), 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Servers refuse such a key, or the value is too long.
pub fn encode_request(request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let header = encode_header(request)?;
    let (key, value) = match *request {
        Request::Store { key, value } => (key, value),
        Request::Fetch { key } | Request::Delete { key } => (key, &[][..]),
    };
    out.reserve(header.len + key.len() + value.len());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(value);
    Ok(())
}

/// The header alone. The caller sends key and value itself, so that they need not be copied.
///
/// ```
/// # use std::io::Write;
/// # use sharedance_core::protocol::Request;
/// # use sharedance_core::protocol::classic::encode_header;
/// let (key, value) = (&b"page"[..], vec![b'x'; 1 << 20]);
/// let header = encode_header(&Request::Store { key, value: &value })?;
/// # let mut socket = Vec::new();
/// for part in [header.as_bytes(), key, &value] {
///     socket.write_all(part)?;
/// }
/// # assert_eq!(socket.len(), 9 + 4 + (1 << 20));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Servers refuse such a key, or the value is too long.
pub fn encode_header(request: &Request<'_>) -> Result<Header, EncodeError> {
    let (command, key, value) = match *request {
        Request::Store { key, value } => (STORE, key, Some(value)),
        Request::Fetch { key } => (FETCH, key, None),
        Request::Delete { key } => (DELETE, key, None),
    };
    check_key(key)?;

    let mut header = Header { bytes: [0; STORE_HEADER_LEN], len: SHORT_HEADER_LEN };
    header.bytes[0] = command;
    // `check_key` has checked that the key's length is at most MAX_KEY_LEN.
    header.bytes[COMMAND_LEN..SHORT_HEADER_LEN].copy_from_slice(&(key.len() as u32).to_be_bytes());
    if let Some(value) = value {
        let value_len =
            u32::try_from(value.len()).map_err(|_| EncodeError::ValueTooLong { len: value.len() as u64 })?;
        header.bytes[SHORT_HEADER_LEN..].copy_from_slice(&value_len.to_be_bytes());
        header.len = STORE_HEADER_LEN;
    }
    Ok(header)
}

/// The length of the whole request, if it is within the limit.
fn checked_request_len(header_len: usize, key_len: u32, value_len: u32, limits: &Limits) -> Result<usize, DecodeError> {
    // The sum of three 32-bit numbers fits into 64 bits. A usize may have only 32 bits.
    let len = header_len as u64 + u64::from(key_len) + u64::from(value_len);
    match usize::try_from(len) {
        Ok(request_len) if request_len <= limits.max_request_len => Ok(request_len),
        _ => Err(DecodeError::TooLarge { len, max: limits.max_request_len }),
    }
}

fn length_at(input: &[u8], offset: usize) -> Option<u32> {
    let bytes = input.get(offset..offset + LENGTH_LEN)?;
    Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::MAX_KEY_LEN;
    use proptest::prelude::*;

    const SMALL: Limits = Limits { max_request_len: 300 };

    fn decode(input: &[u8]) -> Result<Decoded<Request<'_>>, DecodeError> {
        decode_request(input, &SMALL)
    }

    fn encoded(request: Request<'_>) -> Vec<u8> {
        let mut wire = Vec::new();
        encode_request(&request, &mut wire).unwrap();
        wire
    }

    fn complete<T>(message: T, consumed: usize) -> Decoded<T> {
        Decoded::Complete { message, consumed }
    }

    fn incomplete<T>(needed: usize) -> Decoded<T> {
        Decoded::Incomplete { needed }
    }

    /// Compares the result for each prefix with that for a prefix of one more byte. By induction, the result is the
    /// same however the input is cut into pieces, and `needed` is neither too small nor too large.
    fn assert_the_same_however_it_is_cut(input: &[u8], limits: &Limits) {
        for len in 0..input.len() {
            let shorter = decode_request(&input[..len], limits);
            let longer = decode_request(&input[..=len], limits);
            match shorter {
                Ok(Decoded::Incomplete { needed }) => {
                    assert!(needed > len);
                    assert_eq!(shorter == longer, len + 1 < needed, "{len} of {needed}");
                }
                Ok(Decoded::Complete { consumed, .. }) => {
                    assert_eq!(consumed, len);
                    assert_eq!(longer, Err(DecodeError::TrailingBytes(1)));
                }
                Err(DecodeError::TrailingBytes(n)) => {
                    assert_eq!(longer, Err(DecodeError::TrailingBytes(n + 1)));
                }
                Err(_) => assert_eq!(shorter, longer),
            }
        }
    }

    #[test]
    fn the_three_requests_on_the_wire() {
        let (key, value) = (&b"key"[..], &b"a\0value"[..]);
        for (request, wire) in [
            (Request::Store { key, value }, &b"S\0\0\0\x03\0\0\0\x07keya\0value"[..]),
            (Request::Fetch { key }, b"F\0\0\0\x03key"),
            (Request::Delete { key }, b"D\0\0\0\x03key"),
        ] {
            assert_eq!(encoded(request), wire);
            assert_eq!(decode(wire), Ok(complete(request, wire.len())));
            assert_eq!(request.key(), key);
        }
    }

    #[test]
    fn each_part_names_the_end_of_the_next() {
        let wire = b"S\0\0\0\x03\0\0\0\x05keyvalue";
        for (len, needed) in [(0, 1), (1, 5), (5, 9), (9, 12), (12, 17), (16, 17)] {
            assert_eq!(decode(&wire[..len]), Ok(incomplete(needed)), "at {len}");
        }
        for (len, needed) in [(0, 1), (1, 5), (5, 8), (7, 8)] {
            assert_eq!(decode(&b"F\0\0\0\x03key"[..len]), Ok(incomplete(needed)));
        }
    }

    #[test]
    fn a_request_can_be_as_long_as_the_limit_but_not_longer() {
        // 9 + 3 + 288 = 300
        let header = b"S\0\0\0\x03\0\0\x01\x20";
        assert_eq!(decode(header), Ok(incomplete(12)));
        let header = b"S\0\0\0\x03\0\0\x01\x21";
        let too_large = DecodeError::TooLarge { len: 301, max: 300 };
        assert_eq!(decode(header), Err(too_large));

        let tiny = Limits { max_request_len: 7 };
        let too_large = DecodeError::TooLarge { len: 8, max: 7 };
        assert_eq!(decode_request(b"F\0\0\0\x03", &tiny), Err(too_large));
        assert_eq!(decode_request(b"F\0\0\0\x02ab", &tiny), Ok(complete(Request::Fetch { key: b"ab" }, 7)));
    }

    #[test]
    fn the_largest_lengths_do_not_overflow() {
        let limits = Limits { max_request_len: usize::MAX };
        let header = b"S\0\0\0\xfa\xff\xff\xff\xff";
        assert_eq!(decode_request(header, &limits), Ok(incomplete(9 + 250)));
        let too_long = KeyError::TooLong { len: u32::MAX.into() };
        assert_eq!(decode_request(b"S\xff\xff\xff\xff\xff\xff\xff\xff", &limits), Err(too_long.into()));
        let too_large = DecodeError::TooLarge { len: 9 + 250 + u64::from(u32::MAX), max: 300 };
        assert_eq!(decode(header), Err(too_large));
    }

    #[test]
    fn a_bad_key_is_refused_before_its_value_arrives() {
        let forbidden = KeyError::ForbiddenByte { byte: b'/', offset: 1 };
        assert_eq!(decode(b"S\0\0\0\x03\0\0\0\x05a/b"), Err(DecodeError::Key(forbidden)));
        assert_eq!(decode(b"S\0\0\0\0"), Err(DecodeError::Key(KeyError::Empty)));
    }

    #[test]
    fn all_bytes_after_a_request_are_refused() {
        for (extra, len) in [(&b"x"[..], 1), (b"F\0\0\0\x03key", 8)] {
            let wire = [&b"D\0\0\0\x03key"[..], extra].concat();
            assert_eq!(decode(&wire), Err(DecodeError::TrailingBytes(len)));
        }
    }

    #[test]
    fn a_request_that_cannot_be_encoded_does_not_change_the_buffer() {
        let mut out = b"before".to_vec();
        let request = Request::Store { key: b"a.b", value: b"v" };
        assert!(encode_request(&request, &mut out).is_err());
        assert_eq!(out, b"before");
    }

    fn any_key() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![32..=45u8, 48..=126u8];
        prop::collection::vec(byte, 1..=MAX_KEY_LEN)
    }

    /// Bytes that often pass the first checks: mostly known commands and small lengths.
    fn likely_frame() -> impl Strategy<Value = Vec<u8>> {
        let command = prop_oneof![9 => prop::sample::select(b"SFD".to_vec()), 1 => any::<u8>()];
        let length = prop_oneof![8 => 0..12u32, 1 => 245..260u32, 1 => any::<u32>()];
        let byte = prop_oneof![40 => b'a'..=b'z', 1 => any::<u8>()];
        let rest = prop::collection::vec(byte, 0..320);
        (command, length.clone(), length, rest).prop_map(|(command, key_len, value_len, rest)| {
            let mut frame = vec![command];
            frame.extend(key_len.to_be_bytes());
            if command == STORE {
                frame.extend(value_len.to_be_bytes());
            }
            frame.extend(rest);
            frame
        })
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_the_same_however_they_are_cut(
            input in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            assert_the_same_however_it_is_cut(&input, &SMALL);
        }

        #[test]
        fn likely_frames_are_the_same_however_they_are_cut(input in likely_frame()) {
            assert_the_same_however_it_is_cut(&input, &SMALL);
        }

        #[test]
        fn an_encoded_request_is_decoded(
            key in any_key(),
            value in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            for request in [
                Request::Store { key: &key, value: &value },
                Request::Fetch { key: &key },
                Request::Delete { key: &key },
            ] {
                let wire = encoded(request);
                let decoded = decode_request(&wire, &Limits::default());
                prop_assert_eq!(decoded, Ok(complete(request, wire.len())));
                assert_the_same_however_it_is_cut(&wire, &Limits::default());
            }
        }
    }
}
