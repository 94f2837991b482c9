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
    rest: Option<Rest>,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    since: Instant,
    until: Instant,
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
        let since = self.rest.map_or(now, |rest| rest.since);
        self.rest.replace(Rest { since, until: now + REST }).is_none()
    }

    /// There is room again.
    pub(crate) fn room_appeared(&mut self, now: Instant) {
        if let Some(rest) = &mut self.rest {
            rest.until = now;
        }
    }

    /// Ends a rest that is over at `now`, and returns how long it was; `None` where there was no such rest.
    pub(crate) fn resume(&mut self, now: Instant) -> Option<Duration> {
        let rest = self.rest.take_if(|rest| rest.until <= now)?;
        Some(now.saturating_duration_since(rest.since))
    }

    /// When the rest ends, if there is one.
    pub(crate) fn resumes_at(&self) -> Option<Instant> {
        self.rest.map(|rest| rest.until)
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
        assert_eq!(admission.resume(now), None);
        assert!(admission.rest(now));
        assert!(!admission.rest(now));
        assert_eq!(admission.resumes_at(), Some(now + REST));
        assert_eq!(admission.resume(now + REST / 2), None);
        assert_eq!(admission.resume(now + REST), Some(REST));
        assert_eq!(admission.resume(now + REST), None);

        assert!(admission.rest(now));
        admission.room_appeared(now + REST / 4);
        assert_eq!(admission.resume(now + REST / 4), Some(REST / 4));
        admission.room_appeared(now + REST / 2);
        assert_eq!(admission.resumes_at(), None);

        // A refusal during a rest makes it longer.
        assert!(admission.rest(now));
        assert!(!admission.rest(now + REST / 2));
        assert_eq!(admission.resume(now + 2 * REST), Some(2 * REST));
    }
}
