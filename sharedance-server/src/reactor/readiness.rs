//! Waiting for readiness.
//!
//! Sources are registered with the [`Poller`], and other threads wake the reactor through it. The reactor waits on the
//! poller's own descriptor: `Poller::wait` makes four further system calls, for a timer and a notifier that it sets each
//! time, which are a tenth of the cost of a request on an open connection.
//!
//! This relies on how the poller numbers its events. A test below fails if that changes, and [`Readiness::wait`] then has
//! to call `Poller::wait` only.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use polling::{Events, Poller};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// The most events of one turn. A turn with this many ready connections lasts some milliseconds.
const EVENTS_PER_TURN: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// The key under which a poller reports that it was notified. It registers no source under this key.
const NOTIFIED: u64 = usize::MAX as u64;

pub(super) struct Readiness {
    poller: Arc<Poller>,
    events: Vec<epoll::Event>,
    /// The result of the poller's own wait.
    polled: Events,
    keys: Vec<usize>,
}

impl Readiness {
    pub(super) fn new(poller: Arc<Poller>) -> Readiness {
        Readiness {
            poller,
            events: Vec::with_capacity(EVENTS_PER_TURN.get()),
            polled: Events::with_capacity(EVENTS_PER_TURN),
            keys: Vec::with_capacity(EVENTS_PER_TURN.get()),
        }
    }

    /// Waits until a source is ready, the poller is notified, or `timeout` has passed, rounded up to milliseconds. `None`
    /// is without a limit.
    ///
    /// # Errors
    /// The poller failed.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.events.clear();
        self.keys.clear();
        // A timeout too long for the kernel is one without a limit.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match epoll::wait(&self.poller, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if self.events.iter().any(|event| event.data.u64() == NOTIFIED) {
            // The poller clears its notification in its own wait, which returns the same events again.
            self.polled.clear();
            self.poller.wait(&mut self.polled, Some(Duration::ZERO))?;
            self.keys.extend(self.polled.iter().map(|event| event.key));
        } else {
            self.keys.extend(self.events.iter().map(|event| event.data.u64() as usize));
        }
        Ok(())
    }

    /// The keys of the sources that are ready.
    pub(super) fn keys(&self) -> &[usize] {
        &self.keys
    }
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use polling::{Event, PollMode};

    use super::*;

    const AMPLE: Option<Duration> = Some(Duration::from_secs(60));

    #[test]
    fn each_notification_wakes_and_ready_sources_are_reported_with_it() {
        let poller = Arc::new(Poller::new().unwrap());
        let mut readiness = Readiness::new(poller.clone());
        let (mut peer, socket) = UnixStream::pair().unwrap();
        // SAFETY: the socket outlives the poller's use in this test.
        unsafe { poller.add_with_mode(&socket, Event::readable(7), PollMode::Level).unwrap() };
        for _ in 0..3 {
            thread::scope(|scope| {
                scope.spawn(|| poller.notify().unwrap());
                readiness.wait(AMPLE).unwrap();
            });
            assert!(readiness.keys().is_empty());
        }
        readiness.wait(Some(Duration::ZERO)).unwrap();
        assert!(readiness.keys().is_empty(), "it is reported once");
        peer.write_all(b"x").unwrap();
        readiness.wait(AMPLE).unwrap();
        assert_eq!(readiness.keys(), [7]);
        poller.notify().unwrap();
        readiness.wait(AMPLE).unwrap();
        assert_eq!(readiness.keys(), [7]);
        poller.delete(&socket).unwrap();
    }

    #[test]
    fn a_wait_ends_after_its_timeout() {
        let mut readiness = Readiness::new(Arc::new(Poller::new().unwrap()));
        readiness.wait(Some(Duration::from_micros(1))).unwrap();
        assert!(readiness.keys().is_empty());
    }
}
