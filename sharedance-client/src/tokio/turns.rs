//! How many may use a connection at the same time. Who waits is served in the order of arrival, and gives up in time.

use std::sync::Arc;

use ::tokio::sync::{OwnedSemaphorePermit, Semaphore};
use ::tokio::time::timeout_at;

use crate::time::Deadline;

pub(crate) struct Turns(Arc<Semaphore>);

/// The right to use a connection, which ends when this is dropped.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    pub(super) fn new(max: usize) -> Turns {
        Turns(Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))))
    }

    /// Nothing where it took too long.
    pub(super) async fn wait(&self, deadline: Deadline) -> Option<Turn> {
        let turn = timeout_at(deadline.at().into(), Arc::clone(&self.0).acquire_owned()).await;
        // It is never closed.
        Some(Turn { _permit: turn.ok()?.ok()? })
    }
}
