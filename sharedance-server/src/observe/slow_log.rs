//! The most recent slow requests, without their keys and values.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::latency::CommandKind;

/// The default of `--slow-log-threshold`.
pub(crate) const DEFAULT_SLOW_LOG_THRESHOLD: Duration = Duration::from_millis(10);

/// How many requests are kept.
const LEN: usize = 128;

/// A request that took long. Requests that were answered by one write are one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlowRequest {
    /// Counts all slow requests since the start.
    pub(crate) number: u64,
    /// When it was answered, as the time since 1970.
    pub(crate) unix_time: Duration,
    /// What the request with the longest value did.
    pub(crate) command: CommandKind,
    /// The length of the key of that request.
    pub(crate) key_len: usize,
    /// The length of its value, read or written.
    pub(crate) value_len: usize,
    /// How many requests were answered together.
    pub(crate) requests: u32,
    /// From arrival to response.
    pub(crate) latency: Duration,
    /// How much of that the worker spent on other connections first.
    pub(crate) waited: Duration,
    /// How much of it the response waited for a sync.
    pub(crate) synced: Duration,
}

/// The most recent slow requests.
#[derive(Debug)]
pub(crate) struct SlowLog {
    /// `None` keeps none.
    threshold: Option<Duration>,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    recent: VecDeque<SlowRequest>,
    total: u64,
}

impl SlowLog {
    pub(crate) fn new(threshold: Option<Duration>) -> SlowLog {
        SlowLog { threshold, entries: Mutex::default() }
    }

    /// From which latency on a request is slow.
    pub(crate) fn threshold(&self) -> Option<Duration> {
        self.threshold
    }

    #[inline]
    pub(super) fn is_slow(&self, latency: Duration) -> bool {
        self.threshold.is_some_and(|threshold| latency >= threshold)
    }

    /// Adds an entry with its number and the present time.
    pub(super) fn push(&self, request: SlowRequest) {
        let unix_time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.total += 1;
        if entries.recent.len() == LEN {
            entries.recent.pop_front();
        }
        let number = entries.total;
        entries.recent.push_back(SlowRequest { number, unix_time, ..request });
    }

    /// How many slow requests there were.
    pub(crate) fn total(&self) -> u64 {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).total
    }

    /// The entries, the latest first.
    pub(crate) fn recent(&self) -> Vec<SlowRequest> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.recent.iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_slow_requests_are_kept() {
        let log = SlowLog::new(Some(Duration::from_millis(1)));
        assert!(log.is_slow(Duration::from_millis(1)) && !log.is_slow(Duration::from_micros(999)));
        for value_len in 0..2 * LEN {
            log.push(SlowRequest {
                number: 0,
                unix_time: Duration::ZERO,
                command: CommandKind::Set,
                key_len: 3,
                value_len,
                requests: 1,
                latency: Duration::from_millis(2),
                waited: Duration::ZERO,
                synced: Duration::ZERO,
            });
        }
        let recent = log.recent();
        assert_eq!((recent.len(), log.total()), (LEN, 2 * LEN as u64));
        assert_eq!((recent[0].number, recent[0].value_len), (2 * LEN as u64, 2 * LEN - 1));
        assert_eq!(recent[LEN - 1].number, LEN as u64 + 1);
        assert!(recent[0].unix_time > Duration::from_secs(1_700_000_000));
        assert!(!SlowLog::new(None).is_slow(Duration::MAX));
    }
}
