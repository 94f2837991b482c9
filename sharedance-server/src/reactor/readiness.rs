//! Waiting for readiness.
//!
//! Sources are registered with the [`Poller`], and other threads wake the reactor through it. The waiting itself is done
//! at the poller's own descriptor: its own wait makes four system calls more, for a timer and a notifier that it sets
//! anew each time, and that is a good part of what a request of a kept connection costs in all.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use polling::{Events, Poller};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// Events taken from the kernel at once. A turn with this many connections ready lasts some milliseconds.
const EVENTS_PER_TURN: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// The key under which a poller reports that it was notified, and under which it registers no source.
const NOTIFIED: u64 = usize::MAX as u64;

pub(super) struct Readiness {
    poller: Arc<Poller>,
    events: Vec<epoll::Event>,
    /// For the poller's own wait.
    others: Events,
    keys: Vec<usize>,
}

impl Readiness {
    pub(super) fn new(poller: Arc<Poller>) -> Readiness {
        Readiness {
            poller,
            events: Vec::with_capacity(EVENTS_PER_TURN.get()),
            others: Events::with_capacity(EVENTS_PER_TURN),
            keys: Vec::with_capacity(EVENTS_PER_TURN.get()),
        }
    }

    /// Waits until something is ready, the poller is notified, or so much time has passed, rounded up to milliseconds;
    /// with none for as long as it takes.
    ///
    /// # Errors
    /// The poller failed.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.events.clear();
        self.keys.clear();
        // What is too long for the kernel is as good as for ever.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match epoll::wait(&self.poller, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if self.events.iter().any(|event| event.data.u64() == NOTIFIED) {
            // It takes note of that in its own wait, which finds the same events once more.
            self.others.clear();
            self.poller.wait(&mut self.others, Some(Duration::ZERO))?;
            self.keys.extend(self.others.iter().map(|event| event.key));
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
    fn each_notification_wakes_and_what_is_ready_is_told_with_it() {
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
            assert_eq!(readiness.keys(), []);
        }
        readiness.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(readiness.keys(), [], "it is told once");
        peer.write_all(b"x").unwrap();
        readiness.wait(AMPLE).unwrap();
        assert_eq!(readiness.keys(), [7]);
        poller.notify().unwrap();
        readiness.wait(AMPLE).unwrap();
        assert_eq!(readiness.keys(), [7]);
        poller.delete(&socket).unwrap();
    }

    #[test]
    fn a_wait_ends_with_its_time() {
        let mut readiness = Readiness::new(Arc::new(Poller::new().unwrap()));
        readiness.wait(Some(Duration::from_micros(1))).unwrap();
        assert_eq!(readiness.keys(), []);
    }
}
