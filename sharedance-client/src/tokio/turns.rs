//! A semaphore that limits the number of connections in use. Waiting callers are served in the order of arrival, and
//! each wait has a deadline.

use std::sync::Arc;

use ::tokio::sync::{OwnedSemaphorePermit, Semaphore};
use ::tokio::time::timeout_at;

use crate::time::Deadline;

pub(crate) struct Turns(Arc<Semaphore>);

/// A permit to use a connection, released on drop.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    pub(super) fn new(max: usize) -> Turns {
        Turns(Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))))
    }

    /// Returns `None` if the deadline has passed.
    pub(super) async fn wait(&self, deadline: Deadline) -> Option<Turn> {
        let turn = timeout_at(deadline.at().into(), Arc::clone(&self.0).acquire_owned()).await;
        // The semaphore is never closed.
        Some(Turn { _permit: turn.ok()?.ok()? })
    }
}
