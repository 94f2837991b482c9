//! When to stop accepting for a while, because there is no room for more connections.
//!
//! Refusing costs as much as serving. A few refusals are free; after many, or where not even a descriptor to refuse
//! with is left, accepting rests for a moment. It goes on at once when a connection of the worker's own is closed. It
//! reads no clock.

use std::time::{Duration, Instant};

/// How long accepting rests, and in which time so many refusals are too many: what is spent on them stays below a
/// hundredth of a core.
const REST: Duration = Duration::from_millis(200);
const REFUSALS_A_REST: usize = 128;

/// Whether a worker accepts.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    refusals: usize,
    counted_until: Option<Instant>,
    rests_until: Option<Instant>,
}

impl Admission {
    /// Counts a connection that was refused at `now`; whether it was one too many.
    pub(crate) fn refused(&mut self, now: Instant) -> bool {
        let until = self.counted_until.filter(|&until| until > now).unwrap_or_else(|| {
            self.refusals = 0;
            now + REST
        });
        self.counted_until = Some(until);
        self.refusals += 1;
        self.refusals >= REFUSALS_A_REST
    }

    /// Rests from `now` on; whether it accepted until now.
    pub(crate) fn rest(&mut self, now: Instant) -> bool {
        self.rests_until.replace(now + REST).is_none()
    }

    /// There is room again.
    pub(crate) fn room_appeared(&mut self, now: Instant) {
        if let Some(until) = &mut self.rests_until {
            *until = now;
        }
    }

    /// Ends a rest that is over at `now`; whether there was one.
    pub(crate) fn resume(&mut self, now: Instant) -> bool {
        self.rests_until.take_if(|until| *until <= now).is_some()
    }

    /// When the rest ends, if there is one.
    pub(crate) fn resumes_at(&self) -> Option<Instant> {
        self.rests_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_refusals_in_an_interval_are_free() {
        let mut now = Instant::now();
        let mut admission = Admission::default();
        for _ in 0..10 {
            for _ in 1..REFUSALS_A_REST {
                assert!(!admission.refused(now));
            }
            now += REST;
        }
        for n in 1..=REFUSALS_A_REST {
            assert_eq!(admission.refused(now), n == REFUSALS_A_REST);
        }
    }

    #[test]
    fn a_rest_ends_in_time_or_when_room_appears() {
        let now = Instant::now();
        let mut admission = Admission::default();
        assert!(!admission.resume(now));
        assert!(admission.rest(now));
        assert!(!admission.rest(now));
        assert_eq!(admission.resumes_at(), Some(now + REST));
        assert!(!admission.resume(now + REST / 2));
        assert!(admission.resume(now + REST));
        assert!(!admission.resume(now + REST));

        assert!(admission.rest(now));
        admission.room_appeared(now + REST / 4);
        assert!(admission.resume(now + REST / 4));
        admission.room_appeared(now + REST / 2);
        assert_eq!(admission.resumes_at(), None);
    }
}
