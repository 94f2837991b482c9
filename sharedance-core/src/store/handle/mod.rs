//! The handle to a store: opening it, and what it tells of itself. The operations are in the files below, by topic;
//! what they do to the store is not here, but in [`Inner`].

use std::fmt;
use std::path::Path;

use super::Inner;
use super::durability::Durability;
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

/// A handle to an open store. Clones share it, and any thread may use any of them. It is closed when the last of them
/// is dropped, and synced before where [`Durability`](super::Durability) promises more than to survive the process; who
/// wants to know whether that went well calls [`Store::sync`] before.
///
/// ```
/// # use sharedance_core::store::Store;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let workers: Vec<_> = (0..4u8)
///     .map(|worker| {
///         let store = store.clone();
///         std::thread::spawn(move || store.set(&[worker], "was here"))
///     })
///     .collect();
/// for worker in workers {
///     worker.join().expect("it does not panic")?;
/// }
/// assert_eq!(store.len(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
}

impl Store {
    /// Opens the store in `dir` with the default [`Options`], creating both where they are missing. A directory has one
    /// store at a time, whichever process opens it.
    ///
    /// ```
    /// # use sharedance_core::store::{OpenError, Store};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// assert!(matches!(Store::open(dir.path()), Err(OpenError::InUse { .. })));
    ///
    /// drop(store);
    /// let store = Store::open(dir.path())?;
    /// assert_eq!(store.get("user:17").unwrap(), "Ada");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

    /// The directory that the store is in, as an absolute path.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// assert_eq!(store.path(), dir.path());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn path(&self) -> &Path {
        self.inner.log.directory.path()
    }

    /// What an acknowledged write survives, as was chosen when the store was opened.
    ///
    /// ```
    /// # use sharedance_core::store::{Durability, Store};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::open(dir.path())?;
    /// assert_eq!(store.durability(), Durability::Os);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn durability(&self) -> Durability {
        self.inner.durability
    }

    /// What was found when the store was opened: worth a line in the log.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # store.set("user:17", "Ada")?;
    /// # drop(store);
    /// let store = Store::open(dir.path())?;
    /// assert_eq!(store.recovery().to_string(), "1 pairs in 1 segments");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recovery(&self) -> &RecoveryReport {
        &self.inner.recovery
    }

    /// What the store holds, and has done since it was opened. It looks at each segment, and at no pair: cheap enough
    /// for once a second.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// store.set("user:17", "Ada")?;
    /// let stats = store.stats();
    /// assert_eq!((stats.pairs, stats.identical_sets), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::{Options, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let (clock, hand) = Clock::manual();
    /// # let store = Options::new().clock(clock).open(dir.path())?;
    /// store.set_with_ttl("code", "1234", Duration::from_secs(1))?;
    /// hand.advance(Duration::from_secs(10));
    /// assert_eq!((store.get("code"), store.len()), (None, 1));
    /// store.maintain(1_000)?;
    /// assert_eq!(store.len(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> usize {
        self.inner.index.len()
    }

    /// Whether [`Store::len`] is zero.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// assert!(store.is_empty());
    /// store.set("user:17", "Ada")?;
    /// assert!(!store.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Prints where the store is and how much it holds, and nothing of what.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({}, {} pairs)", self.path().display(), self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Value;

    #[test]
    fn a_store_tells_where_it_is_and_how_much_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let store = Options::new().segment_len(65_536).open(dir.path()).unwrap();
        store.set("secret key", "secret value").unwrap();
        assert_eq!(format!("{store:?}"), format!("Store({}, 1 pairs)", dir.path().display()));
        let text = store.stats().to_string();
        assert!(text.starts_with("1 pairs of ") && text.ends_with(" bytes of files"), "{text}");
        assert_eq!(Stats { expired: 2, damaged: 1, ..Stats::default() }.to_string().matches(", ").count(), 3);
        assert_eq!((&store).into_iter().map(|pair| pair.key().to_vec()).collect::<Vec<_>>(), [b"secret key"]);
    }

    #[test]
    fn a_store_can_be_handed_from_thread_to_thread() {
        fn is_shared<T: Send + Sync + Clone + 'static>() {}
        is_shared::<Store>();
        is_shared::<Value>();
    }
}
