//! Hands over connections between workers that accept from the same socket.
//!
//! The kernel gives a connection of such a socket to a worker that waits, which on an idle server is mostly the same one.
//! Without this, it would serve all clients that keep their connections. A connection that its first requests have ended
//! stays where it was accepted.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use polling::Poller;

use crate::connection::Connection;

/// How many connections more than another a worker may have, before it hands over the next one: handing over costs a
/// wake-up, and a connection that waits for its first request may be a short one.
const MIN_EXCESS: usize = 4;
/// The same, as a part of the connections of that other worker.
const EXCESS_SHARE: usize = 8;

/// The connections that are on their way between workers.
pub(crate) struct Handover {
    workers: Vec<Inbox>,
}

/// The connections that a worker has not taken yet, on cache lines of their own.
#[repr(align(128))]
struct Inbox {
    poller: Arc<Poller>,
    /// How many connections the worker has, with those in the queue. An approximate count is enough.
    connections: AtomicUsize,
    /// Whether the queue has an element. Read without the mutex.
    is_filled: AtomicBool,
    /// `None` once the worker has ended.
    queue: Mutex<Option<Vec<Connection>>>,
}

impl Handover {
    /// For the workers that wait on these pollers.
    pub(crate) fn new(pollers: &[Arc<Poller>]) -> Handover {
        let workers = pollers.iter().map(|poller| Inbox {
            poller: Arc::clone(poller),
            connections: AtomicUsize::new(0),
            is_filled: AtomicBool::new(false),
            queue: Mutex::new(Some(Vec::new())),
        });
        Handover { workers: workers.collect() }
    }

    pub(super) fn add_connection(&self, worker: u32) {
        self.inbox(worker).connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove_connection(&self, worker: u32) {
        self.inbox(worker).connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// The worker that a new connection of `worker` is handed over to, if it has too many compared with that one.
    pub(super) fn target(&self, worker: u32) -> Option<u32> {
        let counts = (0..).zip(&self.workers).map(|(other, inbox)| (inbox.connections.load(Ordering::Relaxed), other));
        let (fewest, target) = counts.min()?;
        let own = self.inbox(worker).connections.load(Ordering::Relaxed);
        (own > fewest + MIN_EXCESS.max(fewest / EXCESS_SHARE)).then_some(target)
    }

    /// Hands over a connection. Returns it if that worker has ended.
    pub(super) fn send(&self, target: u32, connection: Connection) -> Option<Connection> {
        let inbox = self.inbox(target);
        let mut queue = inbox.lock();
        let Some(waiting) = queue.as_mut() else {
            return Some(connection);
        };
        let was_empty = waiting.is_empty();
        waiting.push(connection);
        inbox.is_filled.store(true, Ordering::Release);
        drop(queue);
        self.add_connection(target);
        if was_empty {
            // This fails only for a poller that is unusable; its worker has ended then.
            let _ = inbox.poller.notify();
        }
        None
    }

    pub(super) fn has_connections(&self, worker: u32) -> bool {
        self.inbox(worker).is_filled.load(Ordering::Acquire)
    }

    /// Takes the connections that were handed over to `worker`, which are counted already.
    pub(super) fn take(&self, worker: u32) -> Vec<Connection> {
        let inbox = self.inbox(worker);
        if !inbox.is_filled.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut queue = inbox.lock();
        inbox.is_filled.store(false, Ordering::Relaxed);
        queue.as_mut().map(mem::take).unwrap_or_default()
    }

    /// Ends the handing over to `worker`, and takes the connections that it has not taken.
    pub(super) fn close(&self, worker: u32) -> Vec<Connection> {
        self.inbox(worker).lock().take().unwrap_or_default()
    }

    fn inbox(&self, worker: u32) -> &Inbox {
        &self.workers[worker as usize]
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Option<Vec<Connection>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use super::*;
    use crate::listen::{ListenerKind, ListenerOptions};
    use crate::locks::ConnectionId;

    fn handover(workers: usize) -> Handover {
        let pollers: Vec<_> = (0..workers).map(|_| Arc::new(Poller::new().unwrap())).collect();
        Handover::new(&pollers)
    }

    fn connection() -> Connection {
        let (socket, _) = UnixStream::pair().unwrap();
        let id = ConnectionId { worker: 0, token: 0, serial: 0 };
        Connection::new(socket.into(), ListenerOptions::new(ListenerKind::Unix), id, Instant::now())
    }

    #[test]
    fn a_worker_with_too_many_connections_hands_over_the_next_one_to_the_one_with_the_fewest() {
        let handover = handover(3);
        let mut counts = [0; 3];
        for _ in 0..300 {
            // All of them are accepted by the same worker.
            match handover.target(0) {
                None => {
                    handover.add_connection(0);
                    counts[0] += 1;
                }
                Some(target) => {
                    assert!(handover.send(target, connection()).is_none());
                    counts[target as usize] += 1;
                }
            }
        }
        assert_eq!(counts.iter().sum::<usize>(), 300);
        assert!(counts.iter().max() <= counts.iter().min().map(|min| min + min / 8 + 1).as_ref(), "{counts:?}");
        assert_eq!(handover.target(1), None);
        for (worker, count) in [(1, counts[1]), (2, counts[2])] {
            assert!(handover.has_connections(worker));
            assert_eq!(handover.take(worker).len(), count);
            assert!(!handover.has_connections(worker));
        }
    }

    #[test]
    fn a_single_worker_keeps_its_connections() {
        let handover = handover(1);
        (0..100).for_each(|_| handover.add_connection(0));
        assert_eq!(handover.target(0), None);
    }

    #[test]
    fn a_worker_that_has_ended_gets_none() {
        let handover = handover(2);
        assert!(handover.send(1, connection()).is_none());
        assert_eq!(handover.close(1).len(), 1);
        assert!(handover.send(1, connection()).is_some());
        assert!(handover.take(1).is_empty());
    }
}
