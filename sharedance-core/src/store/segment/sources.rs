//! Sources: older records that stay live on disk until the records that replace them are safe.
//!
//! After compaction copied a record, or an overwrite replaced a value, the disk may contain the old record and not yet
//! the new one. So the old one, the *source*, stays live on disk until the new one is safe. Only the new one is in the
//! index and in the statistics. A thread that marks a record dead marks its source dead first; otherwise a restart
//! would restore the source. A segment has links from its records to their sources, and to the segments with records
//! whose sources it contains.

use std::collections::{BTreeMap, HashMap};

use crate::store::primitives::atomic::{AtomicUsize, Ordering};
use crate::store::primitives::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The links of one segment, an `S`.
#[derive(Debug)]
pub(crate) struct Sources<S> {
    /// The sources of the records in this segment, by slot.
    by_slot: Mutex<HashMap<u32, Source<S>>>,
    /// The number of sources, which is read without the mutex.
    count: AtomicUsize,
    destinations: Mutex<Destinations<S>>,
}

/// The segments with records whose sources are in this one. Weak, otherwise the two would keep each other alive.
#[derive(Debug)]
struct Destinations<S> {
    /// By address: a weak reference keeps the memory allocated, so no other segment gets the same address.
    segments: BTreeMap<usize, Weak<S>>,
    /// The number of entries at which those of dropped segments are removed: twice as many as the last removal left, so
    /// that the work is amortized over the added segments and at most half of the entries are dead.
    prune_at: usize,
}

/// Fewer destinations are not pruned.
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

/// A record that stays live on disk until the record that replaces it is safe.
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
    /// The record is a copy of the source.
    Compaction,
    /// The record replaced the source; the sync with this number makes it safe.
    Overwrite(u64),
}

impl<S> Sources<S> {
    pub(crate) fn new() -> Sources<S> {
        let destinations = Destinations { segments: BTreeMap::new(), prune_at: MIN_PRUNE };
        Sources { by_slot: Mutex::default(), count: AtomicUsize::new(0), destinations: Mutex::new(destinations) }
    }

    fn with_sources<T>(&self, change: impl FnOnce(&mut HashMap<u32, Source<S>>) -> T) -> T {
        let mut sources = self.by_slot.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut sources);
        self.count.store(sources.len(), Ordering::Release);
        result
    }

    fn lock_destinations(&self) -> MutexGuard<'_, Destinations<S>> {
        self.destinations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether records of other segments have their sources in this segment.
    pub(crate) fn has_destinations(&self) -> bool {
        self.lock_destinations().segments.values().any(|known| known.strong_count() > 0)
    }

    /// Whether records of this segment have sources.
    pub(crate) fn has_sources(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Records the source of the record in `slot`. The caller holds the key's shard for writing.
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

    /// Removes the source of the record in `slot`, after the source is dead or has been added elsewhere: other threads
    /// must find it until then.
    pub(crate) fn forget(&self, slot: u32) {
        self.with_sources(|sources| sources.remove(&slot));
    }

    /// Removes all sources that are in `segment`.
    pub(crate) fn forget_segment(&self, segment: &Arc<S>) {
        self.with_sources(|sources| sources.retain(|_, source| !Arc::ptr_eq(&source.segment, segment)));
    }

    /// Removes all sources when the store is closed. Otherwise segments with sources in each other would never be
    /// freed.
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
    fn dropped_destinations_are_pruned_and_none_is_listed_twice() {
        let sources = Sources::<u32>::new();
        let kept: Vec<_> = (0..3).map(Arc::new).collect();
        for i in 0..10_000 {
            sources.add_destination(&kept[i % 3]);
            sources.add_destination(&Arc::new(100));
        }
        assert_eq!(sources.destinations().len(), 3);
        assert!(sources.has_destinations());
        let listed = sources.lock_destinations().segments.len();
        assert!(listed <= MIN_PRUNE, "{listed} destinations are listed, of which 3 exist");
        drop(kept);
        assert!(!sources.has_destinations() && sources.destinations().is_empty());
    }

    #[test]
    fn all_of_thousands_of_destinations_are_listed() {
        let sources = Sources::<usize>::new();
        let kept: Vec<_> = (0..5_000).map(Arc::new).collect();
        (0..2).for_each(|_| kept.iter().for_each(|destination| sources.add_destination(destination)));
        assert_eq!(sources.destinations().len(), kept.len());
    }
}
