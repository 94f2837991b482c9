//! The idle connections. The most recently used one is taken first, so that surplus connections become old. No I/O;
//! takes `now` as an argument.

use std::time::{Duration, Instant};

pub(crate) struct Idle<C> {
    /// The oldest first.
    connections: Vec<(C, Instant)>,
    timeout: Duration,
}

impl<C> Idle<C> {
    pub(crate) fn new(timeout: Duration) -> Idle<C> {
        Idle { connections: Vec::new(), timeout }
    }

    /// Takes the connection that was put last. The caller drops the second part, outside the mutex.
    pub(crate) fn take(&mut self, now: Instant) -> (Option<C>, Vec<(C, Instant)>) {
        let outdated = self.outdated(now);
        (self.connections.pop().map(|(connection, _)| connection), outdated)
    }

    /// The caller drops the returned connections, outside the mutex.
    pub(crate) fn put(&mut self, connection: C, now: Instant) -> Vec<(C, Instant)> {
        let outdated = self.outdated(now);
        self.connections.push((connection, now));
        outdated
    }

    fn outdated(&mut self, now: Instant) -> Vec<(C, Instant)> {
        let is_outdated = |(_, since): &&(C, Instant)| now.saturating_duration_since(*since) >= self.timeout;
        let count = self.connections.iter().take_while(is_outdated).count();
        match count {
            0 => Vec::new(),
            _ => self.connections.drain(..count).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_is_taken_first_and_the_old_ones_go() {
        const SECOND: Duration = Duration::from_secs(1);
        let start = Instant::now();
        let mut idle = Idle::new(3 * SECOND);
        for number in 0..3 {
            assert!(idle.put(number, start + number * SECOND).is_empty());
        }
        assert_eq!(idle.take(start + 2 * SECOND), (Some(2), vec![]));
        let (taken, outdated) = idle.take(start + 3 * SECOND);
        assert_eq!((taken, outdated.len()), (Some(1), 1));
        assert_eq!(idle.take(start), (None, vec![]));

        idle.put(7, start);
        let outdated = idle.put(8, start + 4 * SECOND);
        assert_eq!(outdated.first().map(|(number, _)| *number), Some(7));
    }
}
