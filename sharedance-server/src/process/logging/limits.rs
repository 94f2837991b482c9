//! Limits the log lines that clients or a failing disk can provoke: at most one of a kind every ten seconds, in all
//! threads together.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use log::{Level, info, log, log_enabled, warn};
use sharedance_core::store::StoreError;

use super::Chain;
use super::refusing::{Ended, Refusing};

/// The time in which at most one line of a kind is logged.
const PERIOD: Duration = Duration::from_secs(10);

/// The kinds of limited log lines. A flood of one kind does not silence another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Connections closed because of what the peer sent or did not send.
    ClosedConnection,
    /// Connections of hosts that may not connect.
    Denied,
    /// Connections that have sent wrong credentials.
    WrongCredentials,
    /// Connections of a dialect without credentials, where they are required.
    NoCredentials,
    /// Connections closed because encryption has failed.
    #[cfg_attr(not(feature = "tls"), allow(dead_code))]
    FailedTls,
    /// Connections refused because descriptors or memory have run out.
    Shortage,
    /// Requests refused because too many bytes are in flight.
    OverBudget,
    /// Requests and maintenance refused because the store is read-only.
    ReadOnly,
    /// Requests that failed in the store.
    FailedRequest,
    /// Background work that failed.
    FailedMaintenance,
}

const KINDS: usize = Kind::FailedMaintenance as usize + 1;

/// The limits of one server.
#[derive(Debug)]
pub(crate) struct LogLimits {
    origin: Instant,
    kinds: [Limit; KINDS],
    refusing: Refusing,
}

#[derive(Debug, Default)]
struct Limit {
    /// In milliseconds since the origin.
    next: AtomicU64,
    suppressed: AtomicU64,
}

impl LogLimits {
    pub(crate) fn new(origin: Instant) -> LogLimits {
        LogLimits { origin, kinds: Default::default(), refusing: Refusing::default() }
    }

    /// Logs `line`, unless one of its kind was logged within the last [`PERIOD`].
    pub(crate) fn log(&self, kind: Kind, level: Level, now: Instant, line: fmt::Arguments<'_>) {
        if !log_enabled!(level) {
            return;
        }
        if let Some(suppressed) = self.permit(kind, now) {
            log!(level, "{line}{suppressed}");
        }
    }

    /// Logs an error of the store, if the operator has to know it.
    pub(crate) fn log_store_error(&self, error: &StoreError, now: Instant) {
        match error {
            StoreError::Full => {
                if self.refusing.refused(self.millis(now)) {
                    warn!(
                        "refusing writes: full: there is no room within --max-bytes or on the file system; make room, \
                         raise --max-bytes, or evict old pairs with --when-full=evict"
                    );
                }
            }
            StoreError::ReadOnly => self.log(
                Kind::ReadOnly,
                Level::Error,
                now,
                format_args!(
                    "nothing is stored or deleted since a sync failed; restart the server once the disk works"
                ),
            ),
            // Mistakes of the client.
            StoreError::KeyLen { .. } | StoreError::ValueLen { .. } | StoreError::NotANumber => {
                self.log(Kind::ClosedConnection, Level::Debug, now, format_args!("a request was refused: {error}"))
            }
            error => self.log(
                Kind::FailedRequest,
                Level::Error,
                now,
                format_args!("a request failed in the store: {}", Chain(error)),
            ),
        }
    }

    /// Notes that a pair was stored, and logs the end of refusals.
    #[inline]
    pub(crate) fn stored(&self, now: Instant) {
        if self.refusing.may_end() {
            self.log_end_of_refusals(now);
        }
    }

    #[cold]
    fn log_end_of_refusals(&self, now: Instant) {
        if let Some(Ended { count, lasted }) = self.refusing.accepted(self.millis(now)) {
            info!("writes are accepted again: {count} were refused within {} s", lasted.as_secs());
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_millis() as u64
    }

    fn permit(&self, kind: Kind, now: Instant) -> Option<Suppressed> {
        let limit = &self.kinds[kind as usize];
        let now = self.millis(now);
        let next = limit.next.load(Ordering::Relaxed);
        let after = now + PERIOD.as_millis() as u64;
        // One of several threads logs.
        if now < next || limit.next.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            limit.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Suppressed(limit.suppressed.swap(0, Ordering::Relaxed)))
    }
}

/// The number of lines of the kind that were suppressed before this one. Displays as the end of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Suppressed(u64);

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " (and {count} times before)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_a_kind_is_logged_and_the_others_are_counted() {
        let start = Instant::now();
        let limits = LogLimits::new(start);
        assert_eq!(limits.permit(Kind::OverBudget, start), Some(Suppressed(0)));
        for n in 1..=7 {
            assert_eq!(limits.permit(Kind::OverBudget, start + Duration::from_secs(n)), None);
        }
        assert_eq!(limits.permit(Kind::ReadOnly, start), Some(Suppressed(0)), "each kind has its own limit");
        let later = start + PERIOD;
        let suppressed = limits.permit(Kind::OverBudget, later).unwrap();
        assert_eq!(suppressed.to_string(), " (and 7 times before)");
        assert_eq!(limits.permit(Kind::OverBudget, later + PERIOD).unwrap().to_string(), "");
    }
}
