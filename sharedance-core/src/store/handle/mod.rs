//! The handle to a store: opening it, and what it tells of itself. The operations are in the files below, by topic; what
//! they do to the store is not here, but in [`Inner`].

use std::path::Path;

use super::Inner;
use super::error::OpenError;
use super::options::Options;
use super::recovery::{self, RecoveryReport};
use super::stats::Stats;
use super::sync::Arc;

mod ending;
mod reading;
mod rewriting;
mod upkeep;
mod walking;
mod writing;

/// A handle to an open store. Clones share it; it is closed when the last of them is dropped, and synced before where
/// [`Durability`](super::Durability) promises more than to survive the process.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
}

impl Store {
    /// Opens the store in `dir` with the default [`Options`], creating both where they are missing.
    ///
    /// # Errors
    /// [`OpenError`], of which [`OpenError::InUse`] means that another store has the directory open.
    pub fn open(dir: impl AsRef<Path>) -> Result<Store, OpenError> {
        Options::new().open(dir)
    }

    pub(super) fn with_options(options: Options, dir: &Path) -> Result<Store, OpenError> {
        let inner = recovery::open(options, dir)?;
        Ok(Store { inner: Arc::new(inner) })
    }

    /// What was found when the store was opened.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.inner.recovery
    }

    /// What the store holds and has done.
    pub fn stats(&self) -> Stats {
        let inner = &*self.inner;
        let segments = inner.log.segments();
        Stats {
            pairs: inner.index.len() as u64,
            live_bytes: segments.iter().map(|segment| segment.live_bytes()).sum(),
            file_bytes: inner.log.space.used(),
            segments: segments.len() as u64,
            index_bytes: inner.index.memory() as u64,
            expired: inner.counters.expired.count(),
            expired_unread: inner.counters.expired_unread.count(),
            expired_reads: inner.counters.expired_reads.count(),
            identical_sets: inner.counters.identical_sets.count(),
            damaged: inner.counters.damaged.count(),
            compacted_bytes: inner.counters.compacted_bytes.count(),
            evicted: inner.counters.evicted.count(),
            refused_full: inner.counters.refused_full.count(),
        }
    }

    /// How many pairs there are, those included that have expired since [`Store::maintain`] last looked.
    pub fn len(&self) -> usize {
        self.inner.index.len()
    }

    /// Whether [`Store::len`] is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Value;

    #[test]
    fn a_store_can_be_handed_from_thread_to_thread() {
        fn is_shared<T: Send + Sync + Clone + 'static>() {}
        is_shared::<Store>();
        is_shared::<Value>();
    }
}
