//! Counters of requests, connections and bytes. Each worker has its own; the statistics are their sums.
//!
//! A counter has one writer, so that counting costs a load and a store. Any thread may read it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A number that only grows, with one writer.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        self.0.store(self.count().wrapping_add(count), Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of one worker, on cache lines of their own.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        /// The sums of the counters of all workers.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub(crate) struct Sums {
            $(pub(crate) $name: u64,)*
        }

        impl Sums {
            fn add(&mut self, counters: &Counters) {
                $(self.$name = self.$name.wrapping_add(counters.$name.count());)*
            }

            fn since(self, start: Sums) -> Sums {
                Sums { $($name: self.$name.wrapping_sub(start.$name),)* }
            }
        }
    };
}

counters! {
    /// Retrievals of a key that have found a value, and that have not; without touches.
    get_hits,
    get_misses,
    /// Writes that have arrived completely, whatever their result.
    sets,
    /// Touches, with or without a retrieval.
    touch_hits,
    touch_misses,
    delete_hits,
    delete_misses,
    incr_hits,
    incr_misses,
    decr_hits,
    decr_misses,
    /// Writes that require a version: the pair had it, there was no pair, the pair had another version.
    cas_hits,
    cas_misses,
    cas_badval,
    flushes,
    /// `me`.
    meta_debugs,
    /// Credentials that clients have sent, those of them that were wrong, and classic connections that were refused because
    /// they cannot send any.
    auth_cmds,
    auth_errors,
    auth_classic_refused,
    /// Writes refused for their size, and for lack of room.
    too_large,
    out_of_memory,
    /// Writes that were executed.
    stored,
    /// Connections that were opened, that were closed, and that were refused because too many were open.
    connections_opened,
    connections_closed,
    connections_rejected,
    /// Connections of hosts that may not connect.
    connections_denied,
    /// Connections closed because their listener does not allow the dialect.
    refused_dialects,
    /// How often a worker has paused accepting because there were too many connections, how often it has resumed, and the
    /// length of the pauses that have ended, in microseconds.
    accepting_pauses,
    accepting_resumes,
    accepting_paused_us,
    /// How often a connection has yielded to others although it could have continued.
    yields,
    bytes_read,
    bytes_written,
    /// TLS handshakes that were completed, and those of them that resumed a session.
    tls_handshakes,
    tls_resumed,
    /// TLS connections that have failed: the peer did not use TLS; it closed within the handshake; the handshake took too
    /// long; a certificate was missing or not accepted; the protocol was violated, or there was no common version or
    /// algorithm.
    tls_plain_text,
    tls_aborted,
    tls_too_slow,
    tls_certificate_failures,
    tls_protocol_failures,
}

/// The counters of all workers.
#[derive(Debug)]
pub(crate) struct AllCounters {
    of_worker: Vec<Arc<Counters>>,
    /// The sums at the last reset, which does not change the counters.
    start: Mutex<Sums>,
}

impl AllCounters {
    pub(crate) fn new(workers: usize) -> AllCounters {
        let of_worker = (0..workers).map(|_| Arc::default()).collect();
        AllCounters { of_worker, start: Mutex::default() }
    }

    /// The counters of one worker, which must be their only writer.
    pub(crate) fn of_worker(&self, worker: usize) -> Arc<Counters> {
        Arc::clone(&self.of_worker[worker])
    }

    /// The sums since the start, and since the last reset.
    pub(crate) fn sums(&self) -> (Sums, Sums) {
        let mut sums = Sums::default();
        self.of_worker.iter().for_each(|counters| sums.add(counters));
        let start = *self.start.lock().unwrap_or_else(PoisonError::into_inner);
        (sums, sums.since(start))
    }

    /// Lets the second sums of [`AllCounters::sums`] begin again at zero.
    pub(crate) fn reset(&self) {
        let (sums, _) = self.sums();
        *self.start.lock().unwrap_or_else(PoisonError::into_inner) = sums;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_those_of_all_workers_since_the_reset() {
        let counters = AllCounters::new(2);
        counters.of_worker(0).get_hits.add(3);
        counters.of_worker(1).get_hits.add(4);
        assert_eq!((counters.sums().0.get_hits, counters.sums().1.get_hits), (7, 7));
        counters.reset();
        counters.of_worker(1).get_hits.add(1);
        assert_eq!((counters.sums().0.get_hits, counters.sums().1.get_hits), (8, 1));
    }
}
