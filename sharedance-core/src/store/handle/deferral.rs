//! Whether writes of a batch wait for a sync.

use crate::store::primitives::atomic::{AtomicBool, Ordering};

/// The state of a handle whose writes do not wait for a sync one by one.
#[derive(Debug, Default)]
pub(crate) struct Deferral {
    needs_sync: AtomicBool,
}

impl Deferral {
    /// A pair was written.
    pub(crate) fn note_write(&self) {
        self.needs_sync.store(true, Ordering::SeqCst);
    }

    /// Whether a pair was written since a sync last began.
    pub(crate) fn needs_sync(&self) -> bool {
        self.needs_sync.load(Ordering::SeqCst)
    }

    /// A sync is about to begin. It may not cover later writes.
    pub(crate) fn begin_sync(&self) {
        self.needs_sync.store(false, Ordering::SeqCst);
    }
}
