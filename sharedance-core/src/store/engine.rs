//! The engine: the index, the log, store time, counters and limits, on which the operations in
//! [`operations`](crate::store::operations) work.

use std::time::Duration;

use crate::store::api::request::Ttl;
use crate::store::disk::format::{Deadline, MAX_KEY_LEN};
use crate::store::error::StoreError;
use crate::store::index::Index;
use crate::store::log::segment_log::Log;
use crate::store::primitives::Counter;
use crate::store::segment::ttl_class::TtlClass;
use crate::store::timeline::{Moment, Timeline};

#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) index: Index,
    pub(crate) log: Log,
    pub(crate) timeline: Timeline,
    pub(crate) counters: Counters,
    pub(crate) limits: Limits,
}

/// The limits on writes.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) default_ttl: Duration,
    pub(crate) max_value_len: usize,
}

/// The counters behind [`Stats`](crate::store::Stats).
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) expired: Counter,
    pub(crate) expired_unread: Counter,
    pub(crate) expired_reads: Counter,
    pub(crate) identical_sets: Counter,
    pub(crate) compacted_bytes: Counter,
    pub(crate) evicted: Counter,
    pub(crate) refused_full: Counter,
}

/// The deadline of a record, and its TTL class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetime {
    pub(crate) deadline: Deadline,
    pub(crate) class: TtlClass,
}

impl Engine {
    pub(crate) fn check_lengths(&self, key: &[u8], value_len: usize) -> Result<(), StoreError> {
        if key.is_empty() || key.len() > MAX_KEY_LEN {
            return Err(StoreError::KeyLen { len: key.len(), max: MAX_KEY_LEN });
        }
        if value_len > self.limits.max_value_len {
            return Err(StoreError::ValueLen { len: value_len, max: self.limits.max_value_len });
        }
        Ok(())
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.log.description().hash(key)
    }

    pub(crate) fn lifetime(&self, ttl: Ttl, now: Moment) -> Lifetime {
        let ttl = match ttl {
            Ttl::Default => self.limits.default_ttl,
            Ttl::After(ttl) => ttl,
            Ttl::Never => return Lifetime { deadline: Deadline::NEVER, class: TtlClass::of_ms(None) },
        };
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        // Counted from the end of the current millisecond, so that no lifetime is shorter than requested.
        let start_ms = if ttl_ms == 0 { now.ms } else { now.rounded_up_ms };
        Lifetime { deadline: Deadline::at_ms(start_ms.saturating_add(ttl_ms)), class: TtlClass::of_ms(Some(ttl_ms)) }
    }
}
