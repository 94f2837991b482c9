//! Opening a store, and what it tells of itself.

use std::path::Path;
use std::time::Duration;

use crate::store::api::durability::Durability;
use crate::store::api::options::{Options, WhenFull};
use crate::store::api::stats::Stats;
use crate::store::error::OpenError;
use crate::store::handle::store::Store;
use crate::store::recovery::{self, report::RecoveryReport};

/// Opening.
impl Options {
    /// Opens the store in `dir`, which is created where it is missing, mode 0700.
    ///
    /// The pairs of the last process are in the store, unless they have expired: [`Store::recovery`] reports how many,
    /// and what was dropped. Damaged segments are no reason not to open: what is whole in them is
    /// there.
    ///
    /// ```
    /// # use sharedance_core::store::Options;
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// drop(store);
    /// let store = Options::new().open(dir.path())?;
    /// assert_eq!(store.recovery().pairs, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`OpenError`], of which [`OpenError::InUse`] means that another store has the directory open.
    pub fn open(self, dir: impl AsRef<Path>) -> Result<Store, OpenError> {
        self.check()?;
        let background = self.background.clone();
        let opened = recovery::open::open(self, dir.as_ref())?;
        Store::new(opened, &background).map_err(|source| OpenError::Io {
            action: "start the maintenance threads of the store in",
            path: dir.as_ref().to_owned(),
            source,
        })
    }
}

/// Opening, and what a store tells of itself.
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
        self.shared.engine.log.files.directory.path()
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
        self.shared.syncs.mode
    }

    /// How many bytes its files may take, and what happens beyond, as was chosen when the store was opened. Without a
    /// number they may take what the file system has.
    ///
    /// ```
    /// # use sharedance_core::store::{Options, WhenFull};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().max_bytes(1 << 30).when_full(WhenFull::Evict).open(dir.path())?;
    /// assert_eq!((store.max_bytes(), store.when_full()), (Some(1 << 30), WhenFull::Evict));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_bytes(&self) -> Option<u64> {
        self.shared.engine.log.files.space.limit()
    }

    /// What happens to writes that find no room: see [`Store::max_bytes`].
    ///
    /// ```
    /// # use sharedance_core::store::{Store, WhenFull};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::open(dir.path())?;
    /// assert_eq!(store.when_full(), WhenFull::Refuse);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn when_full(&self) -> WhenFull {
        if self.shared.engine.log.queues.is_some() { WhenFull::Evict } else { WhenFull::Refuse }
    }

    /// How long a pair lives that is set without a TTL of its own, as was chosen when the store was opened.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::open(dir.path())?;
    /// assert_eq!(store.default_ttl(), Duration::from_secs(30 * 60));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn default_ttl(&self) -> Duration {
        self.shared.engine.limits.default_ttl
    }

    /// The longest value that is accepted, in bytes, as was chosen when the store was opened. Keys have up to
    /// [`MAX_KEY_LEN`](crate::store::MAX_KEY_LEN).
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::open(dir.path())?;
    /// assert_eq!(store.max_value_len(), 64 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_value_len(&self) -> usize {
        self.shared.engine.limits.max_value_len
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
        &self.shared.recovery
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
        let engine = &self.to_read().engine;
        let segments = engine.log.segments();
        Stats {
            pairs: engine.index.len() as u64,
            live_bytes: segments.iter().map(|segment| segment.live_bytes()).sum(),
            file_bytes: engine.log.files.space.used(),
            segments: segments.len() as u64,
            index_bytes: engine.index.memory() as u64,
            expired: engine.counters.expired.count(),
            expired_unread: engine.counters.expired_unread.count(),
            expired_reads: engine.counters.expired_reads.count(),
            identical_sets: engine.counters.identical_sets.count(),
            damaged: engine.index.damaged.count(),
            compacted_bytes: engine.counters.compacted_bytes.count(),
            evicted: engine.counters.evicted.count(),
            refused_full: engine.counters.refused_full.count(),
            refused_mappings: engine.log.files.directory.mappings.refused.count(),
            failed_deletions: engine.log.files.deletions.failed(),
            pending_deletions: engine.log.files.deletions.pending() as u64,
        }
    }

    /// How many pairs there are, those included that have expired since [`Store::maintain`] last looked.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::{Background, Options};
    /// # let dir = tempfile::tempdir()?;
    /// # let (clock, hand) = Clock::manual();
    /// # let store = Options::new().background(Background::Manual).clock(clock).open(dir.path())?;
    /// store.set_with_ttl("code", "1234", Duration::from_secs(1))?;
    /// hand.advance(Duration::from_secs(10));
    /// assert_eq!((store.get("code"), store.len()), (None, 1));
    /// store.maintain(1_000)?;
    /// assert_eq!(store.len(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> usize {
        self.to_read().engine.index.len()
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
