//! Records that are in two places.
//!
//! The disk may know a record for long where it was, and not yet where compaction carried it to; or it may know the old
//! value of a key, and not yet the new one. So the former stays live in its place until the latter is safe: it is only
//! counted there no more, and the index names the other. A thread that marks a record dead marks its source dead first, or a
//! restart would bring that back. This is where a segment keeps the way from its records to their sources, and to the
//! segments that its own records are the sources for.

use std::collections::{BTreeMap, HashMap};

use crate::store::primitives::atomic::{AtomicUsize, Ordering};
use crate::store::primitives::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What one segment, an `S`, keeps of that.
#[derive(Debug)]
pub(crate) struct Carried<S> {
    /// Of records in this segment, by their slot.
    sources: Mutex<HashMap<u32, Source<S>>>,
    /// How many there are, for those who need not look.
    source_count: AtomicUsize,
    destinations: Mutex<Destinations<S>>,
}

/// The segments with records whose sources are in this one. Weak, or the two would keep each other alive.
#[derive(Debug)]
struct Destinations<S> {
    /// By address: a weak reference keeps the memory, so that no other segment gets the same address.
    segments: BTreeMap<usize, Weak<S>>,
    /// The number of entries at which those of dropped segments are removed: twice as many as the last removal left, so
    /// that the work is amortized over the added segments and at most half of the entries are dead.
    prune_at: usize,
}

/// Fewer destinations than this are not worth pruning.
const MIN_PRUNE: usize = 16;

impl<S> Destinations<S> {
    fn add(&mut self, destination: &Arc<S>) {
        if self.segments.len() >= self.prune_at {
            self.segments.retain(|_, known| known.strong_count() > 0);
            self.prune_at = MIN_PRUNE.max(2 * self.segments.len());
        }
        let address = Arc::as_ptr(destination) as usize;
        self.segments.entry(address).or_insert_with(|| Arc::downgrade(destination));
    }
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
        let destinations = Destinations { segments: BTreeMap::new(), prune_at: MIN_PRUNE };
        Carried { sources: Mutex::default(), source_count: AtomicUsize::new(0), destinations: Mutex::new(destinations) }
    }

    fn with_sources<T>(&self, change: impl FnOnce(&mut HashMap<u32, Source<S>>) -> T) -> T {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut sources);
        self.source_count.store(sources.len(), Ordering::Release);
        result
    }

    fn lock_destinations(&self) -> MutexGuard<'_, Destinations<S>> {
        self.destinations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether records elsewhere have their sources in this segment.
    pub(crate) fn has_destinations(&self) -> bool {
        self.lock_destinations().segments.values().any(|known| known.strong_count() > 0)
    }

    /// Whether records are here of which the disk may still need the sources.
    pub(crate) fn has_sources(&self) -> bool {
        self.source_count.load(Ordering::Acquire) > 0
    }

    /// Records the source of the record in `slot`. The caller holds its key's shard for writing.
    pub(crate) fn add_source(&self, slot: u32, source: Source<S>) {
        self.with_sources(|sources| sources.insert(slot, source));
    }

    pub(crate) fn add_destination(&self, destination: &Arc<S>) {
        self.lock_destinations().add(destination);
    }

    /// The source of the record in `slot`, if it has one.
    pub(crate) fn source(&self, slot: u32) -> Option<Source<S>> {
        if !self.has_sources() {
            return None;
        }
        self.with_sources(|sources| sources.get(&slot).cloned())
    }

    /// Forgets the source of the record in `slot`. Not before it is dead, or recorded elsewhere: a thread that comes
    /// in between must still find it.
    pub(crate) fn forget(&self, slot: u32) {
        self.with_sources(|sources| sources.remove(&slot));
    }

    /// Forgets all sources that are in `segment`.
    pub(crate) fn forget_segment(&self, segment: &Arc<S>) {
        self.with_sources(|sources| sources.retain(|_, source| !Arc::ptr_eq(&source.segment, segment)));
    }

    /// Forgets all sources: the store is closed, and segments with sources in each other would never be freed.
    pub(crate) fn forget_all(&self) {
        drop(self.with_sources(std::mem::take));
    }

    pub(crate) fn destinations(&self) -> Vec<Arc<S>> {
        self.lock_destinations().segments.values().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_that_are_gone_are_forgotten_and_none_is_listed_twice() {
        let carried = Carried::<u32>::nowhere();
        let kept: Vec<_> = (0..3).map(Arc::new).collect();
        for i in 0..10_000 {
            carried.add_destination(&kept[i % 3]);
            carried.add_destination(&Arc::new(100));
        }
        assert_eq!(carried.destinations().len(), 3);
        assert!(carried.has_destinations());
        let listed = carried.lock_destinations().segments.len();
        assert!(listed <= MIN_PRUNE, "{listed} destinations are listed, of which 3 exist");
        drop(kept);
        assert!(!carried.has_destinations() && carried.destinations().is_empty());
    }

    #[test]
    fn thousands_of_destinations_that_exist_are_all_listed() {
        let carried = Carried::<usize>::nowhere();
        let kept: Vec<_> = (0..5_000).map(Arc::new).collect();
        (0..2).for_each(|_| kept.iter().for_each(|destination| carried.add_destination(destination)));
        assert_eq!(carried.destinations().len(), kept.len());
    }
}
