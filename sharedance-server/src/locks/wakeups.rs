//! Wake-ups for the connections of one worker, sent by other workers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use polling::Poller;

use super::request::LockWakeup;

/// The wake-ups that a worker has not taken yet, on cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct WakeupQueue {
    wakeups: Mutex<Vec<LockWakeup>>,
    /// Whether the queue has an element. Read without the mutex.
    is_filled: AtomicBool,
    poller: Arc<Poller>,
}

impl WakeupQueue {
    /// The queue of the worker that waits on `poller`.
    pub(super) fn new(poller: &Arc<Poller>) -> WakeupQueue {
        WakeupQueue { wakeups: Mutex::default(), is_filled: AtomicBool::new(false), poller: Arc::clone(poller) }
    }

    /// Appends a wake-up. The first one notifies the worker's poller, unless the worker itself is the sender: it checks
    /// the queue before it waits. For further ones the worker has been notified already, or is running.
    pub(super) fn push(&self, wakeup: LockWakeup, sender: u32) {
        let mut wakeups = self.lock();
        let was_empty = wakeups.is_empty();
        wakeups.push(wakeup);
        self.is_filled.store(true, Ordering::Release);
        drop(wakeups);
        if was_empty && wakeup.connection.worker != sender {
            // This fails only for a poller that is unusable; its worker has ended then.
            let _ = self.poller.notify();
        }
    }

    /// Moves all wake-ups to the end of `taken`, in order.
    pub(super) fn take(&self, taken: &mut Vec<LockWakeup>) {
        let mut wakeups = self.lock();
        self.is_filled.store(false, Ordering::Relaxed);
        taken.append(&mut wakeups);
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.is_filled.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<LockWakeup>> {
        self.wakeups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
