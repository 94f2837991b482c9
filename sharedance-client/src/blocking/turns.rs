//! A semaphore that limits the number of connections in use; waits for it have a deadline.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::time::Deadline;

pub(crate) struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A permit to use a connection, released on drop.
pub(crate) struct Turn(Arc<Turns>);

impl Turns {
    pub(super) fn new(max: usize) -> Turns {
        Turns { free: Mutex::new(max), freed: Condvar::new() }
    }

    /// Returns `None` if the deadline has passed.
    pub(super) fn wait(self: &Arc<Turns>, deadline: Deadline) -> Option<Turn> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            let left = deadline.left()?;
            free = self.freed.wait_timeout(free, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        Some(Turn(Arc::clone(self)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
