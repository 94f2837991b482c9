//! Records that are in two places.
//!
//! The disk may know a record for long where it was, and not yet where compaction carried it to. So it stays live in the
//! former until the latter is safe: it is only counted there no more, and the index names the copy. Whoever marks the
//! copy dead marks the source dead first, or a restart would bring it back. This is where a segment keeps the way from
//! its copies to their sources, and to the segments that its own records went to.

use std::collections::HashMap;

use super::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What one segment, an `S`, keeps of that.
#[derive(Debug)]
pub(crate) struct Carried<S> {
    /// Of records that were carried to this segment, by their slot: segment and slot where they were.
    sources: Mutex<HashMap<u32, (Arc<S>, u32)>>,
    /// Where records of this segment were carried to. Weak, or the two would keep each other alive.
    destinations: Mutex<Vec<Weak<S>>>,
}

impl<S> Carried<S> {
    pub(crate) fn nowhere() -> Carried<S> {
        Carried { sources: Mutex::default(), destinations: Mutex::default() }
    }

    fn lock_sources(&self) -> MutexGuard<'_, HashMap<u32, (Arc<S>, u32)>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_destinations(&self) -> MutexGuard<'_, Vec<Weak<S>>> {
        self.destinations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether records of this segment were carried elsewhere.
    pub(crate) fn has_destinations(&self) -> bool {
        !self.lock_destinations().is_empty()
    }

    /// Whether records are here of which the disk may still need the sources.
    pub(crate) fn has_sources(&self) -> bool {
        !self.lock_sources().is_empty()
    }

    pub(crate) fn add_source(&self, copy: u32, source: &Arc<S>, slot: u32) {
        self.lock_sources().insert(copy, (source.clone(), slot));
    }

    pub(crate) fn add_destination(&self, destination: &Arc<S>) {
        let mut destinations = self.lock_destinations();
        if !destinations.iter().any(|known| known.as_ptr() == Arc::as_ptr(destination)) {
            destinations.push(Arc::downgrade(destination));
        }
    }

    /// Where the record in `copy` was, if the disk may still know it there; it is forgotten.
    pub(crate) fn take_source(&self, copy: u32) -> Option<(Arc<S>, u32)> {
        self.lock_sources().remove(&copy)
    }

    /// Forgets all that came from `source`.
    pub(crate) fn forget_source(&self, source: &Arc<S>) {
        self.lock_sources().retain(|_, (segment, _)| !Arc::ptr_eq(segment, source));
    }

    pub(crate) fn destinations(&self) -> Vec<Arc<S>> {
        self.lock_destinations().iter().filter_map(Weak::upgrade).collect()
    }
}
