//! Decides when an unreachable server is tried again. A state machine without I/O, shared by both clients; it takes
//! `now` and a random number as arguments.
//!
//! After a failure no caller tries the server for a delay. The delay doubles with each failure up to a limit, and is
//! shortened at random, so that many clients do not retry at the same time. After the delay one caller tries; for the
//! other callers the server stays down.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// This number of consecutive timeouts, without a response in between, counts as one failed connection attempt.
const STALLS_MAX: u32 = 3;

/// More doublings would exceed every limit.
const DOUBLINGS_MAX: u32 = 20;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) max: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Health {
    failures: u32,
    stalls: u32,
    /// No caller tries before this time.
    down_until: Option<Instant>,
}

impl Health {
    /// Returns `Ok` if a caller may try now, or otherwise for how long no caller may. A caller that may try after a
    /// failure is the only one for `attempt`, the maximum duration of an attempt.
    pub(crate) fn admit(&mut self, now: Instant, attempt: Duration) -> Result<(), Duration> {
        let Some(down_until) = self.down_until else {
            return Ok(());
        };
        let retry_in = down_until.saturating_duration_since(now);
        if !retry_in.is_zero() {
            return Err(retry_in);
        }
        self.down_until = Some(now + attempt);
        Ok(())
    }

    /// For how long callers must not try, and after how many failures.
    pub(crate) fn down(&self, now: Instant) -> Option<(Duration, u32)> {
        self.down_until.map(|until| (until.saturating_duration_since(now), self.failures))
    }

    pub(crate) fn answered(&mut self) {
        *self = Health::default();
    }

    /// Records that the server could not be reached. `chance` is a random number.
    pub(crate) fn unreachable(&mut self, now: Instant, backoff: Backoff, chance: u64) {
        let doublings = self.failures.min(DOUBLINGS_MAX);
        let whole = backoff.first.saturating_mul(1 << doublings).min(backoff.max);
        // Between a half of the delay and the whole delay.
        let delay = whole.mul_f64(0.5 + 0.5 * (chance >> 11) as f64 / (1_u64 << 53) as f64);
        self.failures += 1;
        self.stalls = 0;
        self.down_until = Some(now + delay);
    }

    /// Records that the server was reached but did not respond in time.
    pub(crate) fn stalled(&mut self, now: Instant, backoff: Backoff, chance: u64) {
        self.stalls += 1;
        if self.stalls >= STALLS_MAX || self.failures > 0 {
            self.unreachable(now, backoff, chance);
        }
    }
}

/// An unpredictable number, random enough to spread attempts over time.
pub(crate) fn chance() -> u64 {
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(2) };
    const ATTEMPT: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_up_to_the_limit_and_are_spread() {
        let start = Instant::now();
        for (chance, share) in [(u64::MAX, 1.0), (0, 0.5)] {
            let mut health = Health::default();
            for whole_ms in [100, 200, 400, 800, 1600, 2000, 2000, 2000] {
                health.unreachable(start, BACKOFF, chance);
                let retry_in = health.admit(start, ATTEMPT).unwrap_err();
                let expected = Duration::from_millis(whole_ms).mul_f64(share);
                assert!(retry_in.abs_diff(expected) < Duration::from_micros(1), "{retry_in:?}, not {expected:?}");
            }
        }
    }

    #[test]
    fn one_caller_tries_while_the_others_are_refused() {
        let start = Instant::now();
        let mut health = Health::default();
        assert_eq!(health.admit(start, ATTEMPT), Ok(()));
        health.unreachable(start, BACKOFF, u64::MAX);
        assert!(health.admit(start + Duration::from_millis(99), ATTEMPT).is_err());
        let later = start + Duration::from_millis(101);
        assert_eq!(health.admit(later, ATTEMPT), Ok(()));
        assert_eq!(health.admit(later, ATTEMPT), Err(ATTEMPT));
        // The caller that tried never reported a result.
        assert_eq!(health.admit(later + ATTEMPT, ATTEMPT), Ok(()));
        health.answered();
        assert_eq!(health.admit(later, ATTEMPT), Ok(()));
        assert_eq!(health.admit(later, ATTEMPT), Ok(()));
    }

    #[test]
    fn a_single_timeout_does_not_mark_a_server_as_down() {
        let start = Instant::now();
        let mut health = Health::default();
        health.stalled(start, BACKOFF, 0);
        health.stalled(start, BACKOFF, 0);
        assert_eq!(health.admit(start, ATTEMPT), Ok(()));
        health.answered();
        health.stalled(start, BACKOFF, 0);
        health.stalled(start, BACKOFF, 0);
        assert_eq!(health.admit(start, ATTEMPT), Ok(()));
        health.stalled(start, BACKOFF, 0);
        assert!(health.admit(start, ATTEMPT).is_err());
    }

    #[test]
    fn after_hours_of_failures_nothing_overflows() {
        let start = Instant::now();
        let mut health = Health::default();
        for _ in 0..100_000 {
            health.unreachable(start, BACKOFF, 7);
        }
        assert!(health.admit(start, ATTEMPT).unwrap_err() <= BACKOFF.max);
    }

    #[test]
    fn random_numbers_differ() {
        assert_ne!((chance(), chance()), (chance(), chance()));
    }
}
