//! The result of interpreting the first bytes of an input.

use std::time::Duration;

use crate::access::LogIn;

/// The result of interpreting the first bytes of an input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// This many bytes were a request, or one key of a retrieval. It was executed, and the response, if there is one, is
    /// in the output.
    Done { consumed: usize },
    /// The input must have this many bytes.
    Incomplete { needed: usize },
    /// This many bytes request a lock. The requests behind them wait with it.
    Lock { consumed: usize, key: &'a [u8], wait: Duration, ttl: Duration },
    /// This many bytes release a lock.
    Unlock { consumed: usize, key: &'a [u8] },
    /// This many bytes release all locks of the connection.
    UnlockAll { consumed: usize, opaque: Option<&'a [u8]> },
    /// This many bytes were the credentials of a user.
    LogIn { consumed: usize, log_in: LogIn },
    /// This many bytes were wrong credentials: the connection ends once the output is sent, which is delayed.
    Rejected { consumed: usize },
    /// This many bytes were the last request: the connection ends once the output is sent.
    Last { consumed: usize },
}
