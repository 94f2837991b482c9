//! Responses: both directions.

use thiserror::Error;

use crate::protocol::{Decoded, Request, Response};

/// The response to a store or a delete that has been executed. All other responses without a value have no bytes: the
/// server closes the connection.
pub const OK: &[u8] = b"OK\n";

/// The bytes of a response, possibly none. The server closes the connection after them.
///
/// A value is not copied.
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

/// Why the received bytes are not a response to the request.
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
        /// How many bytes of it had arrived.
        len: usize,
    },
    /// The bytes are not an acknowledgement: the peer is not a server of this dialect.
    #[error("the response is not an acknowledgement (OK): the peer is not a server of the classic dialect")]
    Unexpected,
}

/// Decodes the response to `request` from all bytes that have arrived. `ended` is whether the peer has closed the
/// connection without a reset.
///
/// An acknowledgement is complete with its last byte. A value is complete when the connection ends: this dialect does
/// not distinguish a value from the first part of a longer one, nor an empty value from a missing one (both are
/// [`Response::NotFound`]). An end without any byte is [`Response::Failed`] for a store and [`Response::NotFound`] for a
/// delete.
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
/// The bytes are not the beginning of an acknowledgement, or the connection has ended within one.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn complete<T>(message: T, consumed: usize) -> Decoded<T> {
        Decoded::Complete { message, consumed }
    }

    fn incomplete<T>(needed: usize) -> Decoded<T> {
        Decoded::Incomplete { needed }
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
    fn an_acknowledgement_is_complete_with_its_last_byte() {
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
}
