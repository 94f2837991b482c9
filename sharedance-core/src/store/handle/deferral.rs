//! What the handle of a batch remembers: whether it owes a sync.

use crate::store::primitives::atomic::{AtomicBool, Ordering};

/// Shared by a handle whose writes do not wait for the disk one by one, and its clones.
#[derive(Debug, Default)]
pub(crate) struct Deferral {
    owes: AtomicBool,
}

impl Deferral {
    /// Something was written.
    pub(crate) fn owe(&self) {
        self.owes.store(true, Ordering::SeqCst);
    }

    /// Whether something was written since a sync last began.
    pub(crate) fn owes(&self) -> bool {
        self.owes.load(Ordering::SeqCst)
    }

    /// A sync is about to begin.
    pub(crate) fn settle(&self) {
        self.owes.store(false, Ordering::SeqCst);
    }
}
