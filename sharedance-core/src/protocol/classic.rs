//! The classic dialect: one request a connection in length-prefixed frames, answered by bare bytes and a close.
//!
//! Both directions, without any I/O: a server uses [`decode_request`] and [`encode_response`], a client uses
//! [`encode_request`] (or [`encode_header`], to send a large value from where it lies) and [`decode_response`].
//!
//! ```text
//! store   'S'  key length  value length  key  value
//! fetch   'F'  key length  key
//! delete  'D'  key length  key
//!          1        4            4                     bytes; lengths are unsigned and big-endian
//! ```
//!
//! A refusal is final: once a prefix of the input is refused, every longer input is refused for the same reason; what
//! has been found well-formed is never refused later, except for bytes that follow the request.

use thiserror::Error;

use super::{DecodeError, Decoded, KeyError, Limits, MAX_KEY_LEN, Request, Response};

const STORE: u8 = b'S';
const FETCH: u8 = b'F';
const DELETE: u8 = b'D';

const COMMAND_LEN: usize = 1;
const LENGTH_LEN: usize = 4;

/// The header of a fetch or a delete, in bytes: the command and the key's length.
pub const SHORT_HEADER_LEN: usize = COMMAND_LEN + LENGTH_LEN;

/// The header of a store, in bytes: the command, the key's length and the value's.
pub const STORE_HEADER_LEN: usize = SHORT_HEADER_LEN + LENGTH_LEN;

/// The answer to a store or a delete that was done. Everything else that is not a value is answered by closing.
pub const OK: &[u8] = b"OK\n";

/// Whether `first_byte` starts a request of this dialect.
pub(super) fn starts_request(first_byte: u8) -> bool {
    matches!(first_byte, STORE | FETCH | DELETE)
}

/// Decodes the one request of a connection from all the bytes that have arrived on it so far.
///
/// [`Decoded::Incomplete`] names the end of the part that is still cut off: the key's length, the value's length, the
/// key, or the value. For every shorter input the answer is that very same one, so a slow upload is looked at a
/// handful of times, however many pieces it comes in.
///
/// ```
/// # use sharedance_core::protocol::{Decoded, Limits, Request};
/// # use sharedance_core::protocol::classic::decode_request;
/// let wire = b"S\0\0\0\x03\0\0\0\x05keyvalue";
/// let looks = (0..wire.len()).map(|len| decode_request(&wire[..len], &Limits::default()));
/// let mut needed: Vec<usize> = looks
///     .map(|look| match look {
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
/// As soon as the part that decides it is there:
/// [`UnknownCommand`](DecodeError::UnknownCommand) with the first byte; [`Key`](DecodeError::Key) with the key's
/// length, or once the key is there; [`TooLarge`](DecodeError::TooLarge) with the header;
/// [`TrailingBytes`](DecodeError::TrailingBytes) where more has arrived than the request.
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

    // The length is within the limit, which is a usize: so is each of its parts.
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

/// What a response is on the wire, after which the connection is to be closed: possibly nothing at all.
///
/// Bytes of a value are not copied: they can be sent from where they lie.
///
/// ```
/// # use sharedance_core::protocol::Response;
/// # use sharedance_core::protocol::classic::encode_response;
/// assert_eq!(encode_response(&Response::<&[u8]>::Stored), b"OK\n");
/// assert_eq!(encode_response(&Response::Value(b"user=ada")), b"user=ada");
/// assert_eq!(encode_response(&Response::<&[u8]>::NotFound), b"");
/// ```
pub fn encode_response<V: AsRef<[u8]>>(response: &Response<V>) -> &[u8] {
    match response {
        Response::Stored | Response::Deleted => OK,
        Response::Value(value) => value.as_ref(),
        Response::NotFound | Response::Failed => &[],
    }
}

/// Why a request cannot be put on the wire.
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
    /// A server would refuse the key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The value's length does not fit into the 32 bits that the header has for it.
    #[error("a value of {len} bytes is longer than the {} that this dialect can announce", u32::MAX)]
    ValueTooLong {
        /// The value's length in bytes.
        len: u64,
    },
}

/// The bytes that precede the key of a request.
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
    /// The bytes to send, before the key and then the value.
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

/// Appends a whole request to `out`. In case of an error `out` is left as it was.
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
/// The key is one that a server would refuse, or the value's length does not fit.
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

/// The header alone, for a request whose key and value are sent from where they lie.
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
/// The key is one that a server would refuse, or the value's length does not fit.
pub fn encode_header(request: &Request<'_>) -> Result<Header, EncodeError> {
    let (command, key, value) = match *request {
        Request::Store { key, value } => (STORE, key, Some(value)),
        Request::Fetch { key } => (FETCH, key, None),
        Request::Delete { key } => (DELETE, key, None),
    };
    check_key(key)?;

    let mut header = Header { bytes: [0; STORE_HEADER_LEN], len: SHORT_HEADER_LEN };
    header.bytes[0] = command;
    // The key's length was just found to be at most MAX_KEY_LEN.
    header.bytes[COMMAND_LEN..SHORT_HEADER_LEN].copy_from_slice(&(key.len() as u32).to_be_bytes());
    if let Some(value) = value {
        let value_len =
            u32::try_from(value.len()).map_err(|_| EncodeError::ValueTooLong { len: value.len() as u64 })?;
        header.bytes[SHORT_HEADER_LEN..].copy_from_slice(&value_len.to_be_bytes());
        header.len = STORE_HEADER_LEN;
    }
    Ok(header)
}

/// Why what a server sent is no answer to the request.
///
/// ```
/// # use sharedance_core::protocol::Request;
/// # use sharedance_core::protocol::classic::{ResponseError, decode_response};
/// let request = Request::Delete { key: b"key" };
/// assert_eq!(decode_response(&request, b"HTTP/1.1 400", false), Err(ResponseError::Unexpected));
/// assert_eq!(decode_response(&request, b"OK", true), Err(ResponseError::Cut { len: 2 }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The connection ended within an acknowledgement.
    #[error("the connection ended after {len} of the 3 bytes of an acknowledgement")]
    Cut {
        /// How many bytes of it had come.
        len: usize,
    },
    /// Something other than an acknowledgement: no server of this dialect answers there.
    #[error("the answer is no acknowledgement")]
    Unexpected,
}

/// Decodes the answer to `request` from all the bytes that have arrived so far; `ended` says that the peer has closed
/// the connection in order, without a reset, and that no more will come.
///
/// An acknowledgement is complete with its last byte. A value is complete when the connection has ended, and by
/// nothing else: nothing in this dialect tells a value from the first part of a longer one, nor an empty value from a
/// missing one, which both are [`Response::NotFound`]. An end without any byte means [`Response::Failed`] for a store
/// and [`Response::NotFound`] for a delete.
///
/// ```
/// # use sharedance_core::protocol::{Decoded, Request, Response};
/// # use sharedance_core::protocol::classic::decode_response;
/// let request = Request::Fetch { key: b"session-17" };
/// let decoded = decode_response(&request, b"user=ada", false)?;
/// assert_eq!(decoded, Decoded::Incomplete { needed: 9 });
/// let decoded = decode_response(&request, b"user=ada", true)?;
/// assert_eq!(decoded, Decoded::Complete { message: Response::Value(&b"user=ada"[..]), consumed: 8 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// What has arrived can never become an acknowledgement.
pub fn decode_response<'a>(
    request: &Request<'_>,
    input: &'a [u8],
    ended: bool,
) -> Result<Decoded<Response<&'a [u8]>>, ResponseError> {
    let message = match request {
        Request::Fetch { .. } if !ended => {
            return Ok(Decoded::Incomplete { needed: input.len() + 1 });
        }
        Request::Fetch { .. } if input.is_empty() => Response::NotFound,
        Request::Fetch { .. } => Response::Value(input),
        Request::Store { .. } if ended && input.is_empty() => Response::Failed,
        Request::Delete { .. } if ended && input.is_empty() => Response::NotFound,
        Request::Store { .. } | Request::Delete { .. } if input != OK => {
            return if !OK.starts_with(input) {
                Err(ResponseError::Unexpected)
            } else if ended {
                Err(ResponseError::Cut { len: input.len() })
            } else {
                Ok(Decoded::Incomplete { needed: OK.len() })
            };
        }
        Request::Store { .. } => Response::Stored,
        Request::Delete { .. } => Response::Deleted,
    };
    Ok(Decoded::Complete { message, consumed: input.len() })
}

/// Whether a key may be used: 1 to [`MAX_KEY_LEN`] bytes of printable ASCII, the space included, `.` and `/` not.
///
/// ```
/// # use sharedance_core::protocol::KeyError;
/// # use sharedance_core::protocol::classic::check_key;
/// assert!(check_key(b"session 17").is_ok());
/// assert_eq!(check_key(&[b'k'; 251]), Err(KeyError::TooLong { len: 251 }));
/// ```
///
/// # Errors
/// The first rule that the key breaks: its length, then its first forbidden byte.
pub fn check_key(key: &[u8]) -> Result<(), KeyError> {
    check_key_len(key.len() as u64)?;
    check_key_bytes(key)
}

fn check_key_len(len: u64) -> Result<(), KeyError> {
    match len {
        0 => Err(KeyError::Empty),
        len if len > MAX_KEY_LEN as u64 => Err(KeyError::TooLong { len }),
        _ => Ok(()),
    }
}

fn check_key_bytes(key: &[u8]) -> Result<(), KeyError> {
    match key.iter().position(|&byte| !is_key_byte(byte)) {
        None => Ok(()),
        Some(offset) => Err(KeyError::ForbiddenByte { byte: key[offset], offset }),
    }
}

fn is_key_byte(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'.' && byte != b'/'
}

/// The length of the whole request, found to be within the limit.
fn checked_request_len(header_len: usize, key_len: u32, value_len: u32, limits: &Limits) -> Result<usize, DecodeError> {
    // A sum of a few 32-bit numbers cannot overflow 64 bits; usize may have but 32.
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
    use proptest::prelude::*;

    use super::*;

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

    /// What ties the answer for some bytes to the answer for one byte more; by induction it says that every way of
    /// cutting the input into pieces ends with the same answer, and that `needed` is neither too small nor too large.
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
    fn a_request_may_be_as_long_as_the_limit_and_no_longer() {
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
    fn the_largest_lengths_there_are_do_not_overflow() {
        let limits = Limits { max_request_len: usize::MAX };
        let header = b"S\0\0\0\xfa\xff\xff\xff\xff";
        assert_eq!(decode_request(header, &limits), Ok(incomplete(9 + 250)));
        let too_long = KeyError::TooLong { len: u32::MAX.into() };
        assert_eq!(decode_request(b"S\xff\xff\xff\xff\xff\xff\xff\xff", &limits), Err(too_long.into()));
        let too_large = DecodeError::TooLarge { len: 9 + 250 + u64::from(u32::MAX), max: 300 };
        assert_eq!(decode(header), Err(too_large));
    }

    #[test]
    fn a_bad_key_is_refused_before_its_value_has_come() {
        let forbidden = KeyError::ForbiddenByte { byte: b'/', offset: 1 };
        assert_eq!(decode(b"S\0\0\0\x03\0\0\0\x05a/b"), Err(DecodeError::Key(forbidden)));
        assert_eq!(decode(b"S\0\0\0\0"), Err(DecodeError::Key(KeyError::Empty)));
    }

    #[test]
    fn bytes_behind_a_request_are_refused_whatever_they_are() {
        for (extra, len) in [(&b"x"[..], 1), (b"F\0\0\0\x03key", 8)] {
            let wire = [&b"D\0\0\0\x03key"[..], extra].concat();
            assert_eq!(decode(&wire), Err(DecodeError::TrailingBytes(len)));
        }
    }

    #[test]
    fn every_byte_and_every_length_of_a_key() {
        for byte in 0..=u8::MAX {
            let allowed = (32..=126).contains(&byte) && byte != b'.' && byte != b'/';
            assert_eq!(check_key(&[b'k', byte]).is_ok(), allowed, "{byte:#04x}");
            assert_eq!(encode_header(&Request::Fetch { key: &[byte] }).is_ok(), allowed);
        }
        assert_eq!(check_key(b""), Err(KeyError::Empty));
        assert_eq!(check_key(&[b'k'; MAX_KEY_LEN]), Ok(()));
        assert_eq!(check_key(&[b'/'; MAX_KEY_LEN + 1]), Err(KeyError::TooLong { len: 251 }));
    }

    #[test]
    fn a_refused_request_leaves_the_buffer_as_it_was() {
        let mut out = b"before".to_vec();
        let request = Request::Store { key: b"a.b", value: b"v" };
        assert!(encode_request(&request, &mut out).is_err());
        assert_eq!(out, b"before");
    }

    #[test]
    fn responses_on_the_wire() {
        assert_eq!(encode_response(&Response::<&[u8]>::Stored), OK);
        assert_eq!(encode_response(&Response::<&[u8]>::Deleted), OK);
        assert_eq!(encode_response(&Response::Value(b"v")), b"v");
        assert_eq!(encode_response(&Response::<&[u8]>::NotFound), b"");
        assert_eq!(encode_response(&Response::<&[u8]>::Failed), b"");
    }

    #[test]
    fn an_acknowledgement_needs_its_last_byte_and_nothing_else() {
        let store = Request::Store { key: b"k", value: b"" };
        let delete = Request::Delete { key: b"k" };
        for ended in [false, true] {
            let done = Ok(complete(Response::Stored, 3));
            assert_eq!(decode_response(&store, OK, ended), done);
            let done = Ok(complete(Response::Deleted, 3));
            assert_eq!(decode_response(&delete, OK, ended), done);
            for foreign in [&b"ERROR\r\n"[..], b"OK\nx", b"ok"] {
                let refused = Err(ResponseError::Unexpected);
                assert_eq!(decode_response(&store, foreign, ended), refused);
            }
        }
        for len in 0..OK.len() {
            assert_eq!(decode_response(&delete, &OK[..len], false), Ok(incomplete(3)));
        }
        for len in 1..OK.len() {
            assert_eq!(decode_response(&delete, &OK[..len], true), Err(ResponseError::Cut { len }));
        }
        assert_eq!(decode_response(&store, b"", true), Ok(complete(Response::Failed, 0)));
        assert_eq!(decode_response(&delete, b"", true), Ok(complete(Response::NotFound, 0)));
    }

    #[test]
    fn only_the_end_of_the_connection_ends_a_value() {
        let fetch = Request::Fetch { key: b"k" };
        assert_eq!(decode_response(&fetch, b"", false), Ok(incomplete(1)));
        assert_eq!(decode_response(&fetch, b"OK\n", false), Ok(incomplete(4)));
        assert_eq!(decode_response(&fetch, b"OK\n", true), Ok(complete(Response::Value(OK), 3)));
        assert_eq!(decode_response(&fetch, b"", true), Ok(complete(Response::NotFound, 0)));
    }

    fn any_key() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![32..=45u8, 48..=126u8];
        prop::collection::vec(byte, 1..=MAX_KEY_LEN)
    }

    /// Bytes that get past the first checks often enough: a likely command, lengths that are often small.
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
        fn what_was_encoded_is_decoded(
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
