//! When to refuse connections, and when to pause accepting them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The length of a pause, and the interval in which refusals are counted. Refusing then uses less than a hundredth of a
/// core.
const PAUSE: Duration = Duration::from_millis(200);
const REFUSALS_PER_PAUSE: usize = 128;

/// The limit on open connections, which the workers of a server share.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    /// The most connections that may be open and wait for something. Further descriptors are reserved for the store.
    max_connections: usize,
    waiting: AtomicUsize,
    /// Set when descriptors run out for the first time. From then on, workers accept one at a time: one worker could get
    /// the descriptor that another has closed to refuse a connection, and the other would then have none.
    is_in_turns: AtomicBool,
    turn: Mutex<()>,
}

impl ConnectionLimit {
    pub(crate) fn new(max_connections: usize) -> ConnectionLimit {
        ConnectionLimit {
            max_connections,
            waiting: AtomicUsize::new(0),
            is_in_turns: AtomicBool::new(false),
            turn: Mutex::new(()),
        }
    }

    pub(crate) fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// The connections of all workers that wait for something. An approximate count is enough.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether the limit is reached with this many connections that are not counted yet.
    pub(crate) fn is_reached(&self, uncounted: usize) -> bool {
        self.waiting() + uncounted >= self.max_connections
    }

    pub(crate) fn add_connection(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_connection(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Waits until no other worker accepts, if workers accept in turns.
    pub(super) fn wait_turn(&self) -> Option<MutexGuard<'_, ()>> {
        let is_in_turns = self.is_in_turns.load(Ordering::Relaxed);
        is_in_turns.then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn accept_in_turns(&self) {
        self.is_in_turns.store(true, Ordering::Relaxed);
    }
}

/// Whether a worker accepts connections, or pauses because there is no room for more.
///
/// A refusal costs as much as serving a request. A few refusals are free; after many, or where not even a descriptor for
/// refusing is left, accepting pauses. It continues at once when a connection of the worker is closed. Reads no clock.
#[derive(Debug, Default)]
pub(super) struct Admission {
    refusals: usize,
    counted_until: Option<Instant>,
    pause: Option<Pause>,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    since: Instant,
    until: Instant,
}

impl Admission {
    /// Counts a connection that was refused at `now`. Returns whether accepting must pause.
    pub(super) fn refused(&mut self, now: Instant) -> bool {
        let until = self.counted_until.filter(|&until| until > now).unwrap_or_else(|| {
            self.refusals = 0;
            now + PAUSE
        });
        self.counted_until = Some(until);
        self.refusals += 1;
        self.refusals >= REFUSALS_PER_PAUSE
    }

    /// Pauses from `now` on. Returns whether there was no pause before.
    pub(super) fn pause(&mut self, now: Instant) -> bool {
        let since = self.pause.map_or(now, |pause| pause.since);
        self.pause.replace(Pause { since, until: now + PAUSE }).is_none()
    }

    /// Lets a pause end at `now`: there is room again.
    pub(super) fn end_pause(&mut self, now: Instant) {
        if let Some(pause) = &mut self.pause {
            pause.until = now;
        }
    }

    /// Ends a pause that is over at `now`, and returns its length, or `None` if there was none.
    pub(super) fn resume(&mut self, now: Instant) -> Option<Duration> {
        let pause = self.pause.take_if(|pause| pause.until <= now)?;
        Some(now.saturating_duration_since(pause.since))
    }

    /// When the pause ends, if there is one.
    pub(super) fn resumes_at(&self) -> Option<Instant> {
        self.pause.map(|pause| pause.until)
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
            for _ in 1..REFUSALS_PER_PAUSE {
                assert!(!admission.refused(now));
            }
            now += PAUSE;
        }
        for n in 1..=REFUSALS_PER_PAUSE {
            assert_eq!(admission.refused(now), n == REFUSALS_PER_PAUSE);
        }
    }

    #[test]
    fn a_pause_ends_by_time_or_when_a_connection_is_closed() {
        let now = Instant::now();
        let mut admission = Admission::default();
        assert_eq!(admission.resume(now), None);
        assert!(admission.pause(now));
        assert!(!admission.pause(now));
        assert_eq!(admission.resumes_at(), Some(now + PAUSE));
        assert_eq!(admission.resume(now + PAUSE / 2), None);
        assert_eq!(admission.resume(now + PAUSE), Some(PAUSE));
        assert_eq!(admission.resume(now + PAUSE), None);

        assert!(admission.pause(now));
        admission.end_pause(now + PAUSE / 4);
        assert_eq!(admission.resume(now + PAUSE / 4), Some(PAUSE / 4));
        admission.end_pause(now + PAUSE / 2);
        assert_eq!(admission.resumes_at(), None);

        // A refusal during a pause makes it longer.
        assert!(admission.pause(now));
        assert!(!admission.pause(now + PAUSE / 2));
        assert_eq!(admission.resume(now + 2 * PAUSE), Some(2 * PAUSE));
    }
}
