//! Records that are in two places.
//!
//! The disk may know a record for long where it was, and not yet where compaction carried it to; or it may know the old
//! value of a key, and not yet the new one. So the former stays live in its place until the latter is safe: it is only
//! counted there no more, and the index names the other. Whoever marks a record dead marks its source dead first, or a
//! restart would bring that back. This is where a segment keeps the way from its records to their sources, and to the
//! segments that its own records are the sources for.

use std::collections::HashMap;

use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What one segment, an `S`, keeps of that.
#[derive(Debug)]
pub(crate) struct Carried<S> {
    /// Of records in this segment, by their slot.
    sources: Mutex<HashMap<u32, Source<S>>>,
    /// How many there are, for those who need not look.
    source_count: AtomicUsize,
    /// Where records are of which this segment has the sources. Weak, or the two would keep each other alive.
    destinations: Mutex<Vec<Weak<S>>>,
}

/// A record that is live on disk for as long as the one it is the source of is not safe.
#[derive(Debug)]
pub(crate) struct Source<S> {
    pub(crate) segment: Arc<S>,
    pub(crate) slot: u32,
    pub(crate) reason: Reason,
}

impl<S> Clone for Source<S> {
    fn clone(&self) -> Source<S> {
        Source { segment: self.segment.clone(), ..*self }
    }
}

/// Why a record has a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was copied from there.
    Compaction,
    /// It took the place of that; the sync of this number makes it safe.
    Overwrite(u64),
}

impl<S> Carried<S> {
    pub(crate) fn nowhere() -> Carried<S> {
        Carried { sources: Mutex::default(), source_count: AtomicUsize::new(0), destinations: Mutex::default() }
    }

    fn with_sources<T>(&self, change: impl FnOnce(&mut HashMap<u32, Source<S>>) -> T) -> T {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut sources);
        self.source_count.store(sources.len(), Ordering::Release);
        result
    }

    fn lock_destinations(&self) -> MutexGuard<'_, Vec<Weak<S>>> {
        self.destinations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether records elsewhere have their sources in this segment.
    pub(crate) fn has_destinations(&self) -> bool {
        !self.lock_destinations().is_empty()
    }

    /// Whether records are here of which the disk may still need the sources.
    pub(crate) fn has_sources(&self) -> bool {
        self.source_count.load(Ordering::Acquire) > 0
    }

    /// Takes note of the source of the record in `slot`. The caller holds its key's shard for writing.
    pub(crate) fn add_source(&self, slot: u32, source: Source<S>) {
        self.with_sources(|sources| sources.insert(slot, source));
    }

    pub(crate) fn add_destination(&self, destination: &Arc<S>) {
        let mut destinations = self.lock_destinations();
        if !destinations.iter().any(|known| known.as_ptr() == Arc::as_ptr(destination)) {
            destinations.push(Arc::downgrade(destination));
        }
    }

    /// The source of the record in `slot`, if it has one.
    pub(crate) fn source(&self, slot: u32) -> Option<Source<S>> {
        if !self.has_sources() {
            return None;
        }
        self.with_sources(|sources| sources.get(&slot).cloned())
    }

    /// Forgets the source of the record in `slot`. Not before it is dead, or somebody else has the way to it: who comes
    /// in between must still find it.
    pub(crate) fn forget(&self, slot: u32) {
        self.with_sources(|sources| sources.remove(&slot));
    }

    /// Forgets all sources that are in `segment`.
    pub(crate) fn forget_segment(&self, segment: &Arc<S>) {
        self.with_sources(|sources| sources.retain(|_, source| !Arc::ptr_eq(&source.segment, segment)));
    }

    /// Forgets all sources: nobody will ask any more, and segments with sources in each other would stay for ever.
    pub(crate) fn forget_all(&self) {
        drop(self.with_sources(std::mem::take));
    }

    pub(crate) fn destinations(&self) -> Vec<Arc<S>> {
        self.lock_destinations().iter().filter_map(Weak::upgrade).collect()
    }
}
