//! The limit on the store's memory mappings. Each segment file needs one, and the system allows a process
//! `vm.max_map_count` of them. At that limit nothing in the process can map memory, not even its allocator, so the
//! store stops before it and is full.

use std::fs;

use crate::store::primitives::Arc;
use crate::store::primitives::Counter;
use crate::store::primitives::atomic::{AtomicUsize, Ordering};

const MAX_MAP_COUNT: &str = "/proc/sys/vm/max_map_count";
/// The default of Linux.
const DEFAULT_MAX_MAP_COUNT: usize = 65_530;
/// 1/OTHERS_PART of the limit, but at most [`MAX_OTHERS`], is left to the rest of the process: libraries, thread
/// stacks, the allocator.
const OTHERS_PART: usize = 16;
const MAX_OTHERS: usize = 4_096;
/// The number of mappings that only compaction may use: it releases more than it takes.
const FOR_SURVIVORS: usize = 4;

/// The number of memory mappings that the system allows this process, from `/proc/sys/vm/max_map_count`; the default of
/// Linux if that file cannot be read.
///
/// A program that changes its root directory calls this before, and passes the result to
/// [`Options::max_mappings`](crate::store::Options::max_mappings).
///
/// ```
/// assert!(sharedance_core::store::max_mappings() > 1_000);
/// ```
pub fn max_mappings() -> usize {
    let text = fs::read_to_string(MAX_MAP_COUNT).unwrap_or_default();
    text.trim().parse().unwrap_or(DEFAULT_MAX_MAP_COUNT)
}

/// The mappings of one store.
#[derive(Debug)]
pub(crate) struct Mappings {
    used: Arc<AtomicUsize>,
    /// The number that the system allows the process.
    allowed: usize,
    /// Files that were not created because there was no mapping for them.
    pub(crate) refused: Counter,
}

/// One mapping, while it exists.
#[derive(Debug)]
pub(crate) struct CountedMapping(Arc<AtomicUsize>);

impl Drop for CountedMapping {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Mappings {
    pub(crate) fn new(allowed: usize) -> Mappings {
        Mappings { used: Arc::default(), allowed, refused: Counter::default() }
    }

    pub(crate) fn allowed(&self) -> usize {
        self.allowed
    }

    /// The maximum number of segment files.
    pub(crate) fn max_files(&self) -> usize {
        self.allowed - (self.allowed / OTHERS_PART).min(MAX_OTHERS)
    }

    pub(crate) fn count(&self) -> CountedMapping {
        self.used.fetch_add(1, Ordering::Relaxed);
        CountedMapping(self.used.clone())
    }

    /// Whether another file may be created. Some mappings are reserved for survivors of compaction.
    pub(crate) fn has_room(&self, for_survivors: bool) -> bool {
        let reserved = if for_survivors { 0 } else { FOR_SURVIVORS };
        self.used.load(Ordering::Relaxed) + reserved < self.max_files()
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::Clock;
    use crate::store::{Options, Store, StoreError, WhenFull};

    /// A value with a file, and a mapping, of its own.
    static BIG: [u8; 20_000] = [7; 20_000];

    fn options() -> Options {
        Options::manual().segment_len(65_536).clock(Clock::manual().0).max_mappings(40)
    }

    fn fill(store: &Store) -> u32 {
        (0..1_000u32).find(|i| store.set(i.to_be_bytes(), BIG).is_err()).expect("it is full before")
    }

    #[test]
    fn a_store_leaves_mappings_to_the_process_and_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = options().open(dir.path()).unwrap();
        let stored = fill(&store);
        assert!((25..=38).contains(&stored), "{stored}");
        assert!(matches!(store.set("one more", BIG), Err(StoreError::Full)));
        assert!(store.stats().refused_mappings > 0);
        assert!(store.delete(0u32.to_be_bytes()).unwrap());
        store.maintain(1_000).unwrap();
        store.set("one more", BIG).unwrap();
        drop(store);
        let store = options().open(dir.path()).unwrap();
        assert_eq!(store.len(), stored as usize);
        assert!((1..stored).all(|i| store.get(i.to_be_bytes()).unwrap() == BIG));
    }

    #[test]
    fn old_pairs_are_evicted_for_new_mappings_in_a_store_that_evicts() {
        let dir = tempfile::tempdir().unwrap();
        let store = options().when_full(WhenFull::Evict).open(dir.path()).unwrap();
        for i in 0..200u32 {
            store.set(i.to_be_bytes(), BIG).unwrap();
        }
        let stats = store.stats();
        assert!(stats.evicted > 100 && stats.refused_full == 0, "{stats:?}");
    }

    #[test]
    fn opening_reports_that_the_size_limit_needs_more_mappings_than_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let store = options().max_bytes(100 * 65_536).open(dir.path()).unwrap();
        assert_eq!(store.recovery().excess_files, 62);
        assert!(store.recovery().to_string().contains("vm.max_map_count"), "{}", store.recovery());
        drop(store);
        assert_eq!(options().max_mappings(1_000).open(dir.path()).unwrap().recovery().excess_files, 0);
    }
}
