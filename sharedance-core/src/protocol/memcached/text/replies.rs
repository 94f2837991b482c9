//! Responses of the text dialect.

use crate::protocol::memcached::numbers;

/// Responses that are a constant line.
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
    /// The pair was deleted.
    Deleted,
    /// The lifetime of the pair was changed.
    Touched,
    /// Done.
    Ok,
    /// The end of a list.
    End,
    /// The counters were reset.
    Reset,
    /// The connection holds the lock.
    Locked,
    /// The lock was not available in time.
    Timeout,
    /// The lock was released.
    Unlocked,
    /// The response to a meta no-op.
    MetaNoop,
    /// No such command.
    Error,
    /// The line is not a valid command.
    BadFormat,
    /// The line is not a valid `delete`.
    BadDelete,
    /// A data block does not end at its announced length.
    BadDataChunk,
    /// An expiration time is not a number.
    BadExptime,
    /// A delta is not a number.
    BadDelta,
    /// The value is not a number.
    NotANumber,
    /// A flag is given twice.
    DuplicateFlag,
    /// A flag is unknown.
    InvalidFlag,
    /// A flag is unknown or given twice.
    InvalidOrDuplicateFlag,
    /// Too many flags of `mg`.
    FlagsAreTooLong,
    /// Too many flags of another meta command.
    FlagsTooLong,
    /// A key is not base64.
    BadBase64,
    /// The argument of a flag is not one of its values.
    BadToken,
    /// The mode is longer than one character.
    BadModeLen,
    /// The mode of `ms` is unknown.
    BadSetMode,
    /// The mode of `ma` is unknown.
    BadArithmeticMode,
    /// The initial value is not a number.
    BadInitial,
    /// The delta of `ma` is not a number.
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
    /// There is no space for the value.
    OutOfMemory,
    /// The server failed.
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

/// Appends what precedes a value in the response to a retrieval; `\r\n` follows the value. `version` is for retrievals
/// that request it.
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

/// Appends the response to `incr` and `decr`.
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    numbers::push(out, number);
    out.extend_from_slice(b"\r\n");
}

/// Appends the response to `unlock_all`: the number of released locks, and the opaque of the request.
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

/// Appends a number as the value of a pair.
pub fn push_digits(out: &mut Vec<u8>, number: u64) {
    numbers::push(out, number);
}

/// Appends the line of one statistic.
pub fn push_stat(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in ["STAT ", name, " ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}
