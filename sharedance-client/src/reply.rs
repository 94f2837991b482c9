//! Decodes the responses of a server of the memcached dialect: to meta commands and to the lock commands. No I/O.
//!
//! The result depends on the bytes alone, not on how they were split into reads. Nothing is copied.

use std::fmt;
use std::ops::Range;

use sharedance_core::protocol::Decoded;
use thiserror::Error;

/// The maximum length of a line of a response, in bytes; memcached's longest error is much shorter.
const MAX_LINE_LEN: usize = 2048;

/// The maximum length of a server's statistics, in bytes.
const MAX_STATISTICS_LEN: usize = 1024 * 1024;

const LINE_END: &[u8] = b"\r\n";

/// One response. The flags are those that the request asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    Done(Flags<'a>),
    Value {
        value: &'a [u8],
        flags: Flags<'a>,
    },
    Missing(Flags<'a>),
    NotStored(Flags<'a>),
    Exists(Flags<'a>),
    /// The response to credentials.
    Stored,
    Locked,
    LockTimedOut,
    Unlocked,
    /// All locks of the connection were released; the opaque of the request.
    UnlockedAll {
        opaque: &'a [u8],
    },
    NotHeld,
    /// `MN`.
    Nothing,
    Ok,
    Version(&'a [u8]),
    /// The lines, each with its end.
    Statistics(&'a [u8]),
    Rejected(Rejection),
}

impl<'a> Reply<'a> {
    /// The flags of a meta response; the other responses have none.
    pub(crate) fn flags(&self) -> Option<Flags<'a>> {
        match *self {
            Reply::Done(flags)
            | Reply::Value { flags, .. }
            | Reply::Missing(flags)
            | Reply::NotStored(flags)
            | Reply::Exists(flags) => Some(flags),
            Reply::Stored
            | Reply::Locked
            | Reply::LockTimedOut
            | Reply::Unlocked
            | Reply::UnlockedAll { .. }
            | Reply::NotHeld
            | Reply::Nothing
            | Reply::Ok
            | Reply::Version(_)
            | Reply::Statistics(_)
            | Reply::Rejected(_) => None,
        }
    }
}

/// The tokens after the code of a response: each is an ASCII letter with an argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags<'a>(&'a [u8]);

impl<'a> Flags<'a> {
    /// The argument of the token that begins with `letter`, if there is one.
    pub(crate) fn token(&self, letter: u8) -> Option<&'a [u8]> {
        self.0.split(|&byte| byte == b' ').find_map(|token| token.strip_prefix(&[letter]))
    }

    pub(crate) fn number(&self, letter: u8) -> Option<u64> {
        decimal(self.token(letter)?)
    }
}

/// The reason why a server did not execute a request. The request had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The value is larger than the server accepts.
    ValueTooLarge,
    /// The server has no memory left, and evicts nothing.
    OutOfMemory,
    /// The value to increment or decrement is not a decimal number.
    NotANumber,
    /// The server does not know the command: it speaks another dialect, is an old version, or has no locks.
    Unsupported,
    /// The server knows the command, but not its arguments.
    BadRequest,
    /// The server requires a name and a password, and this client has none: see
    /// [`Builder::credentials`](crate::Builder::credentials).
    AuthenticationRequired,
    /// The name that the client has sent does not permit the request.
    AccessDenied,
    /// The server has reached its limit on connections.
    TooManyConnections,
    /// The server failed to execute the request.
    ServerError,
}

impl Rejection {
    /// Whether the connection is still in sync: the server has read the request to its end.
    pub(crate) fn leaves_connection_usable(self) -> bool {
        matches!(
            self,
            Rejection::ValueTooLarge | Rejection::OutOfMemory | Rejection::NotANumber | Rejection::AccessDenied
        )
    }

    /// The rejection in a whole line. Its text is not kept: a server may repeat parts of the request in it.
    fn of(line: &[u8]) -> Option<Rejection> {
        const NON_NUMERIC: &[u8] = b"cannot increment or decrement non-numeric value";
        match line {
            b"ERROR" => return Some(Rejection::Unsupported),
            b"ERROR Too many open connections" => return Some(Rejection::TooManyConnections),
            _ => {}
        }
        if let Some(text) = line.strip_prefix(b"CLIENT_ERROR") {
            return Some(match text.trim_ascii() {
                NON_NUMERIC => Rejection::NotANumber,
                b"access denied" => Rejection::AccessDenied,
                b"unauthenticated" => Rejection::AuthenticationRequired,
                _ => Rejection::BadRequest,
            });
        }
        let text = line.strip_prefix(b"SERVER_ERROR")?.trim_ascii();
        Some(match text {
            b"object too large for cache" => Rejection::ValueTooLarge,
            _ if text.starts_with(b"out of memory") => Rejection::OutOfMemory,
            _ => Rejection::ServerError,
        })
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejection::ValueTooLarge => "the value is larger than it keeps",
            Rejection::OutOfMemory => "it has no room left",
            Rejection::NotANumber => "the stored value is no decimal number",
            Rejection::Unsupported => "it does not know the command",
            Rejection::BadRequest => "it does not understand the request",
            Rejection::AuthenticationRequired => "it requires a name and a password",
            Rejection::AccessDenied => "the client's name does not permit it",
            Rejection::TooManyConnections => "it has too many connections",
            Rejection::ServerError => "it could not do it",
        })
    }
}

/// Why the bytes are not a response. The connection cannot be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum ReplyError {
    #[error("not a response of this dialect")]
    Foreign,
    #[error("the credentials are refused")]
    AuthenticationFailed,
    #[error("a value of {len} bytes")]
    ValueTooLarge { len: u64 },
}

/// Decodes the response at the start of `input`.
pub(crate) fn decode(input: &[u8], max_value_len: usize) -> Result<Decoded<Reply<'_>>, ReplyError> {
    let Some(newline) = input.iter().take(MAX_LINE_LEN).position(|&byte| byte == b'\n') else {
        return match input.len() {
            len @ ..MAX_LINE_LEN => Ok(Decoded::Incomplete { needed: len + 1 }),
            _ => Err(ReplyError::Foreign),
        };
    };
    let consumed = newline + 1;
    let line = input[..consumed].strip_suffix(LINE_END).ok_or(ReplyError::Foreign)?;
    let (code, rest) = match line.iter().position(|&byte| byte == b' ') {
        Some(space) => (&line[..space], &line[space + 1..]),
        None => (line, &[][..]),
    };

    let message = match code {
        b"VA" => return decode_value(input, consumed, rest, max_value_len),
        b"HD" => Reply::Done(Flags(rest)),
        b"EN" | b"NF" => Reply::Missing(Flags(rest)),
        b"NS" => Reply::NotStored(Flags(rest)),
        b"EX" => Reply::Exists(Flags(rest)),
        b"STORED" if rest.is_empty() => Reply::Stored,
        b"LOCKED" if rest.is_empty() => Reply::Locked,
        b"TIMEOUT" if rest.is_empty() => Reply::LockTimedOut,
        b"UNLOCKED" if rest.is_empty() => Reply::Unlocked,
        b"UNLOCKED" => Reply::UnlockedAll { opaque: unlocked_all(rest).ok_or(ReplyError::Foreign)? },
        b"NOT_FOUND" if rest.is_empty() => Reply::NotHeld,
        b"MN" => Reply::Nothing,
        b"OK" if rest.is_empty() => Reply::Ok,
        b"VERSION" => Reply::Version(rest),
        b"STAT" | b"END" => return decode_statistics(input),
        _ => Reply::Rejected(Rejection::of(line).ok_or(ReplyError::Foreign)?),
    };
    Ok(Decoded::Complete { message, consumed })
}

/// The opaque that the response to `unlock_all` repeats after the number of locks.
fn unlocked_all(rest: &[u8]) -> Option<&[u8]> {
    let mut words = rest.splitn(2, |&byte| byte == b' ');
    decimal(words.next()?)?;
    words.next()
}

fn decode_statistics(input: &[u8]) -> Result<Decoded<Reply<'_>>, ReplyError> {
    const END: &[u8] = b"END\r\n";
    let mut len = 0;
    for line in input.split_inclusive(|&byte| byte == b'\n') {
        match line {
            END => {
                return Ok(Decoded::Complete { message: Reply::Statistics(&input[..len]), consumed: len + END.len() });
            }
            _ if line.ends_with(LINE_END) && line.starts_with(b"STAT ") => len += line.len(),
            _ if line.ends_with(b"\n") => return Err(ReplyError::Foreign),
            _ => break,
        }
    }
    match input.len() {
        len @ ..MAX_STATISTICS_LEN => Ok(Decoded::Incomplete { needed: len + 1 }),
        _ => Err(ReplyError::Foreign),
    }
}

/// `rest` is the part of the line after the code; the line ends at `line_end`.
fn decode_value<'a>(
    input: &'a [u8],
    line_end: usize,
    rest: &'a [u8],
    max_value_len: usize,
) -> Result<Decoded<Reply<'a>>, ReplyError> {
    let mut parts = rest.splitn(2, |&byte| byte == b' ');
    let len = parts.next().and_then(decimal).ok_or(ReplyError::Foreign)?;
    let flags = Flags(parts.next().unwrap_or_default());
    if len > max_value_len as u64 {
        return Err(ReplyError::ValueTooLarge { len });
    }

    // This fits: it is within the limit, which is a usize.
    let bytes: Range<usize> = line_end..line_end + len as usize;
    let consumed = bytes.end + LINE_END.len();
    match input.get(bytes.end..consumed) {
        Some(LINE_END) => Ok(Decoded::Complete { message: Reply::Value { value: &input[bytes], flags }, consumed }),
        Some(_) => Err(ReplyError::Foreign),
        None => Ok(Decoded::Incomplete { needed: consumed }),
    }
}

/// Only digits: no sign, no space, no overflow.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1000;

    fn decoded(input: &[u8]) -> Result<Option<(Reply<'_>, usize)>, ReplyError> {
        Ok(match decode(input, MAX)? {
            Decoded::Complete { message, consumed } => Some((message, consumed)),
            Decoded::Incomplete { needed } => {
                assert!(needed > input.len());
                None
            }
        })
    }

    /// Bytes, and the response that they decode to.
    fn transcripts() -> Vec<(&'static [u8], Reply<'static>)> {
        vec![
            (b"HD\r\n", Reply::Done(Flags(b""))),
            (b"HD O7 c12\r\n", Reply::Done(Flags(b"O7 c12"))),
            (b"VA 0 \r\n\r\n", Reply::Value { value: b"", flags: Flags(b"") }),
            (b"VA 5 t-1 O1\r\nab\r\nc\r\n", Reply::Value { value: b"ab\r\nc", flags: Flags(b"t-1 O1") }),
            (b"EN\r\n", Reply::Missing(Flags(b""))),
            (b"NF O1\r\n", Reply::Missing(Flags(b"O1"))),
            (b"NS O1\r\n", Reply::NotStored(Flags(b"O1"))),
            (b"EX O1\r\n", Reply::Exists(Flags(b"O1"))),
            (b"STORED\r\n", Reply::Stored),
            (b"LOCKED\r\n", Reply::Locked),
            (b"TIMEOUT\r\n", Reply::LockTimedOut),
            (b"UNLOCKED\r\n", Reply::Unlocked),
            (b"UNLOCKED 2 17\r\n", Reply::UnlockedAll { opaque: b"17" }),
            (b"NOT_FOUND\r\n", Reply::NotHeld),
            (b"MN\r\n", Reply::Nothing),
            (b"OK\r\n", Reply::Ok),
            (b"VERSION 1.6.45\r\n", Reply::Version(b"1.6.45")),
            (b"END\r\n", Reply::Statistics(b"")),
            (b"STAT a 1\r\nSTAT END 2\r\nEND\r\n", Reply::Statistics(b"STAT a 1\r\nSTAT END 2\r\n")),
            (b"ERROR\r\n", Reply::Rejected(Rejection::Unsupported)),
            (b"ERROR Too many open connections\r\n", Reply::Rejected(Rejection::TooManyConnections)),
            (b"CLIENT_ERROR bad data chunk\r\n", Reply::Rejected(Rejection::BadRequest)),
            (b"CLIENT_ERROR authentication failure\r\n", Reply::Rejected(Rejection::BadRequest)),
            (b"CLIENT_ERROR access denied\r\n", Reply::Rejected(Rejection::AccessDenied)),
            (b"CLIENT_ERROR unauthenticated\r\n", Reply::Rejected(Rejection::AuthenticationRequired)),
            (
                b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
                Reply::Rejected(Rejection::NotANumber),
            ),
            (b"SERVER_ERROR object too large for cache\r\n", Reply::Rejected(Rejection::ValueTooLarge)),
            (b"SERVER_ERROR out of memory storing object\r\n", Reply::Rejected(Rejection::OutOfMemory)),
            (b"SERVER_ERROR the disk is on fire\r\n", Reply::Rejected(Rejection::ServerError)),
        ]
    }

    #[test]
    fn every_response_for_every_fragmentation() {
        for (bytes, expected) in transcripts() {
            let followed = [bytes, b"HD\r\n"].concat();
            for len in 0..followed.len() {
                let found = decoded(&followed[..len]).unwrap();
                let wanted = (len >= bytes.len()).then_some((expected, bytes.len()));
                assert!(found == wanted, "{len} bytes of {}", String::from_utf8_lossy(bytes));
            }
        }
    }

    #[test]
    fn the_number_of_needed_bytes_is_exact_once_the_length_is_known() {
        let bytes = b"VA 900 O1\r\nxyz";
        assert!(matches!(decode(bytes, MAX), Ok(Decoded::Incomplete { needed: 913 })));
    }

    #[test]
    fn other_services_and_malformed_responses() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"-ERR unknown command `mg`, with args beginning with: `a-key`\r\n",
            b"VALUE k 0 1\r\n1\r\nEND\r\n",
            b"HD\n",
            b"STAT a 1\r\nHD\r\n",
            b"STAT a 1\nEND\r\n",
            b"OK 1\r\n",
            b"VA -1 \r\n",
            b"VA 1x \r\n",
            b"VA \r\n",
            b"VA\r\n",
            b"VA 18446744073709551616 \r\n",
            b"VA 1 O1\r\nab\r\n",
            b"UNLOCKED x 17\r\n",
            b"UNLOCKED 2\r\n",
            b"LOCKED 1\r\n",
            b"\r\n",
            b"hd\r\n",
            &[b'x'; 2048],
        ] {
            assert_eq!(decoded(bytes).err(), Some(ReplyError::Foreign), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_value_above_the_limit_is_not_received() {
        assert_eq!(decoded(b"VA 1001 \r\n").err(), Some(ReplyError::ValueTooLarge { len: 1001 }));
        assert_eq!(decoded(b"VA 18446744073709551615 \r\n").err(), Some(ReplyError::ValueTooLarge { len: u64::MAX }));
        assert!(matches!(decode(b"VA 1000 \r\n", MAX), Ok(Decoded::Incomplete { .. })));
    }

    #[test]
    fn flags_are_found_by_their_letter() {
        let flags = Flags(b"f0 c18446744073709551615 t-1 O42");
        assert_eq!(flags.number(b'c'), Some(u64::MAX));
        assert_eq!(flags.number(b't'), None);
        assert_eq!(flags.token(b't'), Some(&b"-1"[..]));
        assert_eq!(flags.number(b'O'), Some(42));
        assert_eq!(flags.token(b'k'), None);
    }
}
