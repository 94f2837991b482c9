//! How long a refused attempt to log in is delayed, and how many may be delayed at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long the response to wrong credentials is held back. A peer with few connections can try few passwords.
pub(crate) const REFUSAL_DELAY: Duration = Duration::from_secs(1);

/// One connection in this many may be delayed; the others stay available for clients that have the right password.
const SHARE: usize = 8;

/// A limit on delayed connections, which the workers share.
#[derive(Debug)]
pub(super) struct Delays {
    delayed: Arc<AtomicUsize>,
    max: usize,
}

/// A place among the delayed connections, which is released when this is dropped.
#[derive(Debug)]
pub(crate) struct Delay {
    delayed: Arc<AtomicUsize>,
}

impl Delays {
    pub(super) fn new(max_connections: usize) -> Delays {
        Delays { delayed: Arc::default(), max: (max_connections / SHARE).max(1) }
    }

    /// Returns `None` if as many connections as possible are delayed.
    pub(super) fn begin(&self) -> Option<Delay> {
        let delay = Delay { delayed: Arc::clone(&self.delayed) };
        // Counted in any case: the drop of `delay` takes it back.
        let before = self.delayed.fetch_add(1, Ordering::Relaxed);
        (before < self.max).then_some(delay)
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.delayed.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_number_of_connections_is_delayed_at_a_time() {
        let delays = Delays::new(16);
        let (first, second) = (delays.begin(), delays.begin());
        assert!(first.is_some() && second.is_some() && delays.begin().is_none() && delays.begin().is_none());
        drop(first);
        assert!(delays.begin().is_some());
        let third = delays.begin();
        assert!(third.is_some() && delays.begin().is_none());
        assert!(Delays::new(1).begin().is_some());
    }
}
