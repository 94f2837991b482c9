//! The measurements: counts, and a histogram of latencies.

use hdrhistogram::Histogram;

use super::Failure;
use super::scanner::Answer;

/// Latencies up to an hour, with a relative precision of 1/1000.
const HIGHEST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;

#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) stored: u64,
    /// TLS handshakes of connections on which all requests have responses.
    pub(super) full_handshakes: u64,
    pub(super) resumed_handshakes: u64,
    pub(super) latency_ns: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Result<Tally, Failure> {
        let latency_ns = Histogram::new_with_max(HIGHEST_NS, DIGITS)?;
        Ok(Tally { hits: 0, misses: 0, stored: 0, full_handshakes: 0, resumed_handshakes: 0, latency_ns })
    }

    pub(super) fn count(&mut self, answer: Answer, latency_ns: u64) {
        match answer {
            Answer::Hit => self.hits += 1,
            Answer::Miss => self.misses += 1,
            Answer::Stored => self.stored += 1,
        }
        self.latency_ns.saturating_record(latency_ns.max(1));
    }

    /// Counts the handshake of a connection, if it had one.
    pub(super) fn count_handshake(&mut self, is_resumed: Option<bool>) {
        match is_resumed {
            None => {}
            Some(false) => self.full_handshakes += 1,
            Some(true) => self.resumed_handshakes += 1,
        }
    }

    pub(super) fn add(&mut self, other: &Tally) -> Result<(), Failure> {
        self.hits += other.hits;
        self.misses += other.misses;
        self.stored += other.stored;
        self.full_handshakes += other.full_handshakes;
        self.resumed_handshakes += other.resumed_handshakes;
        Ok(self.latency_ns.add(&other.latency_ns)?)
    }

    pub(super) fn requests(&self) -> u64 {
        self.hits + self.misses + self.stored
    }
}
