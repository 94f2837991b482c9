//! What a server says in text.

use crate::protocol::memcached::numbers;

/// The answers that are a line, always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// The value was stored.
    Stored,
    /// The condition did not hold.
    NotStored,
    /// The value has another version.
    Exists,
    /// There is no such pair, or no such lock.
    NotFound,
    /// The pair is deleted.
    Deleted,
    /// The pair's life is changed.
    Touched,
    /// Done.
    Ok,
    /// There is nothing more to a list.
    End,
    /// The counters start at zero again.
    Reset,
    /// The lock is held.
    Locked,
    /// The lock was not to be had in time.
    Timeout,
    /// The lock is given back.
    Unlocked,
    /// The answer to a meta no-op.
    MetaNoop,
    /// No such command.
    Error,
    /// Not a command.
    BadFormat,
    /// Not a valid line of `delete`.
    BadDelete,
    /// A data block does not end where it was said to end.
    BadDataChunk,
    /// An expiration time is no number.
    BadExptime,
    /// A delta is no number.
    BadDelta,
    /// The value is no number.
    NotANumber,
    /// A flag is given twice.
    DuplicateFlag,
    /// A flag that there is not.
    InvalidFlag,
    /// One or the other.
    InvalidOrDuplicateFlag,
    /// Too many flags, of `mg`.
    FlagsAreTooLong,
    /// Too many flags, of the other meta commands.
    FlagsTooLong,
    /// A key is no base64.
    BadBase64,
    /// The argument of a flag is not one of its values.
    BadToken,
    /// The mode is longer than one character.
    BadModeLen,
    /// There is no such mode of `ms`.
    BadSetMode,
    /// There is no such mode of `ma`.
    BadArithmeticMode,
    /// The initial value is no number.
    BadInitial,
    /// The delta is no number, in `ma`.
    BadMetaDelta,
    /// The opaque is too long.
    OpaqueTooLong,
    /// The client has to send credentials first.
    Unauthenticated,
    /// The credentials are wrong.
    AuthenticationFailed,
    /// The data block of the credentials is not a name, a space and a password.
    BadCredentials,
    /// The data block of the credentials does not end where its line says.
    BadCredentialsEnd,
    /// The data block of the credentials is too long.
    CredentialsTooLong,
    /// The client may not do this.
    AccessDenied,
    /// The requested statistics contain keys, which are secret.
    DumpNotAllowed,
    /// The value is larger than the limit.
    TooLarge,
    /// There is no room for the value.
    OutOfMemory,
    /// The server could not do it.
    Failed,
}

impl Reply {
    /// The line, with its end.
    pub fn as_bytes(self) -> &'static [u8] {
        match self {
            Reply::Stored => b"STORED\r\n",
            Reply::NotStored => b"NOT_STORED\r\n",
            Reply::Exists => b"EXISTS\r\n",
            Reply::NotFound => b"NOT_FOUND\r\n",
            Reply::Deleted => b"DELETED\r\n",
            Reply::Touched => b"TOUCHED\r\n",
            Reply::Ok => b"OK\r\n",
            Reply::End => b"END\r\n",
            Reply::Reset => b"RESET\r\n",
            Reply::Locked => b"LOCKED\r\n",
            Reply::Timeout => b"TIMEOUT\r\n",
            Reply::Unlocked => b"UNLOCKED\r\n",
            Reply::MetaNoop => b"MN\r\n",
            Reply::Error => b"ERROR\r\n",
            Reply::BadFormat => b"CLIENT_ERROR bad command line format\r\n",
            Reply::BadDelete => b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n",
            Reply::BadDataChunk => b"CLIENT_ERROR bad data chunk\r\n",
            Reply::BadExptime => b"CLIENT_ERROR invalid exptime argument\r\n",
            Reply::BadDelta => b"CLIENT_ERROR invalid numeric delta argument\r\n",
            Reply::NotANumber => b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
            Reply::DuplicateFlag => b"CLIENT_ERROR duplicate flag\r\n",
            Reply::InvalidFlag => b"CLIENT_ERROR invalid flag\r\n",
            Reply::InvalidOrDuplicateFlag => b"CLIENT_ERROR invalid or duplicate flag\r\n",
            Reply::FlagsAreTooLong => b"CLIENT_ERROR options flags are too long\r\n",
            Reply::FlagsTooLong => b"CLIENT_ERROR options flags too long\r\n",
            Reply::BadBase64 => b"CLIENT_ERROR error decoding key\r\n",
            Reply::BadToken => b"CLIENT_ERROR bad token in command line format\r\n",
            Reply::BadModeLen => b"CLIENT_ERROR incorrect length for M token\r\n",
            Reply::BadSetMode => b"CLIENT_ERROR invalid mode for ms M token\r\n",
            Reply::BadArithmeticMode => b"CLIENT_ERROR invalid mode for ma M token\r\n",
            Reply::BadInitial => b"CLIENT_ERROR invalid numeric initial value\r\n",
            Reply::BadMetaDelta => b"CLIENT_ERROR invalid numeric delta value\r\n",
            Reply::OpaqueTooLong => b"CLIENT_ERROR opaque token too long\r\n",
            Reply::Unauthenticated => b"CLIENT_ERROR unauthenticated\r\n",
            Reply::AuthenticationFailed => b"CLIENT_ERROR authentication failure\r\n",
            Reply::BadCredentials => b"CLIENT_ERROR bad authentication token format\r\n",
            Reply::BadCredentialsEnd => b"CLIENT_ERROR bad command line termination\r\n",
            Reply::CredentialsTooLong => b"CLIENT_ERROR auth token too long\r\n",
            Reply::AccessDenied => b"CLIENT_ERROR access denied\r\n",
            Reply::DumpNotAllowed => b"CLIENT_ERROR stats cachedump not allowed\r\n",
            Reply::TooLarge => b"SERVER_ERROR object too large for cache\r\n",
            Reply::OutOfMemory => b"SERVER_ERROR out of memory storing object\r\n",
            Reply::Failed => b"SERVER_ERROR the store failed\r\n",
        }
    }
}

/// Appends what precedes the value of a pair that a retrieval found; behind the value goes `\r\n`. `version` where the
/// retrieval asks for it.
#[inline]
pub fn push_value(out: &mut Vec<u8>, key: &[u8], client_flags: u32, value_len: usize, version: Option<u64>) {
    out.extend_from_slice(b"VALUE ");
    out.extend_from_slice(key);
    out.push(b' ');
    numbers::push(out, client_flags.into());
    out.push(b' ');
    numbers::push(out, value_len as u64);
    if let Some(version) = version {
        out.push(b' ');
        numbers::push(out, version);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the line that answers `incr` and `decr`.
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    numbers::push(out, number);
    out.extend_from_slice(b"\r\n");
}

/// Appends the line that answers `unlock_all`: how many locks were given back, and the opaque of the request.
///
/// ```
/// # use sharedance_core::protocol::memcached::text::push_unlocked;
/// let mut output = Vec::new();
/// push_unlocked(&mut output, 2, Some(b"request-17"));
/// assert_eq!(output, b"UNLOCKED 2 request-17\r\n");
/// ```
pub fn push_unlocked(out: &mut Vec<u8>, count: u64, opaque: Option<&[u8]>) {
    out.extend_from_slice(b"UNLOCKED ");
    numbers::push(out, count);
    if let Some(opaque) = opaque {
        out.push(b' ');
        out.extend_from_slice(opaque);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a number, as the value of a pair that counts.
pub fn push_digits(out: &mut Vec<u8>, number: u64) {
    numbers::push(out, number);
}

/// Appends the line of one statistic.
pub fn push_stat(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in ["STAT ", name, " ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}
