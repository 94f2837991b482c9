//! What a store's opener may choose.

use std::path::Path;
use std::time::Duration;

use crate::clock::Clock;

use crate::store::api::background::Background;
use crate::store::api::durability::{Durability, UncleanBoot};
use crate::store::disk::format::{MAX_SEGMENT_LEN, RECORDS_OFFSET};
use crate::store::disk::meta::BootId;
use crate::store::error::OpenError;

/// Half an hour, as web sessions are wont to live.
const DEFAULT_TTL: Duration = Duration::from_secs(30 * 60);
const DEFAULT_SEGMENT_LEN: usize = 8 * 1024 * 1024;
/// With a limit below as many segments of the default length, they are shorter: a store has some segments open, in reserve
/// and ready, and these should be a small part of it.
const SEGMENTS_WITHIN_LIMIT: u64 = 32;
const DEFAULT_MAX_VALUE_LEN: usize = 64 * 1024 * 1024;
/// Below, the page that each segment spends on its header would count.
const MIN_SEGMENT_LEN: usize = 16 * RECORDS_OFFSET;
/// One open for new writes (so few segments have a single append point), one for the records that compaction copies, one
/// ready, one to be emptied, and as many to hold something.
const MIN_SEGMENTS: u64 = 8;
/// Value lengths have 32 bits on disk; half of that keeps all sums within them.
const MAX_VALUE_LEN: usize = 1 << 31;

/// How a store is opened: what it promises, how much room it takes, how long its pairs live. Each method sets one
/// option; what is not set is as it says.
///
/// ```
/// # use std::time::Duration;
/// # use sharedance_core::store::{Durability, Options};
/// # let dir = tempfile::tempdir()?;
/// let store = Options::new()
///     .default_ttl(Duration::from_secs(3600))
///     .max_bytes(1 << 30)
///     .durability(Durability::Interval(Duration::from_secs(1)))
///     .open(dir.path())?;
/// store.set("user:17", "Ada")?;
/// # assert!(store.contains("user:17"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Only [`Options::segment_len`] is chosen for a store's whole life: all others may differ from opening to opening.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) default_ttl: Duration,
    /// None where the store chooses it.
    segment_len: Option<usize>,
    pub(crate) max_value_len: usize,
    pub(crate) clock: Clock,
    pub(crate) boot_id: BootIdSource,
    pub(crate) durability: Durability,
    pub(crate) unclean_boot: UncleanBoot,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) when_full: WhenFull,
    pub(crate) track_accesses: bool,
    pub(crate) max_mappings: Option<usize>,
    pub(crate) background: Background,
}

/// What happens to a write when there is no room for it, and none can be made by dropping what has expired or been
/// overwritten: see [`Options::max_bytes`].
///
/// ```
/// # use sharedance_core::store::{Options, WhenFull};
/// # let dir = tempfile::tempdir()?;
/// let small = Options::new().segment_len(65_536).max_bytes(1 << 20);
/// let sessions = small.clone().open(dir.path().join("sessions"))?;
/// let cache = small.when_full(WhenFull::Evict).open(dir.path().join("cache"))?;
/// for i in 0..2_000u32 {
///     let _ = sessions.set(&i.to_be_bytes(), &[1; 1_000]);
///     cache.set(&i.to_be_bytes(), &[1; 1_000])?;
/// }
/// assert!(sessions.contains(&0u32.to_be_bytes()) && sessions.stats().refused_full > 0);
/// assert!(!cache.contains(&0u32.to_be_bytes()) && cache.contains(&1_999u32.to_be_bytes()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It is refused with [`StoreError::Full`](crate::store::StoreError::Full); everything stored stays. For sessions: a login
    /// that fails is better than another one that is lost.
    #[default]
    Refuse,
    /// Old pairs that are not being read make room for it. For caches.
    ///
    /// New pairs are on probation for a part of the room, at least a tenth, which grows while the set of read pairs changes.
    /// Those that were read when it ends are kept for another round for each reading, up to three, and a value that
    /// replaces another is as well read as that was; reading moves nothing and takes no lock. That is S3-FIFO with the
    /// self-tuning of ARC; the crate's README compares its hit ratio with others. Room is made by
    /// [`Store::maintain`](crate::store::Store::maintain), a segment at a time, so that writers seldom wait for it. Costs some
    /// three bytes a pair in memory, and one for each record in a segment of which something was read.
    Evict,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum BootIdSource {
    System,
    Given(Option<BootId>),
}

impl Default for Options {
    fn default() -> Self {
        Options::new()
    }
}

impl Options {
    /// The defaults: half an hour to live, as much room as there is, safe from the death of the process.
    ///
    /// ```
    /// # use sharedance_core::store::Options;
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().open(dir.path())?;
    /// # assert!(store.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new() -> Options {
        Options {
            default_ttl: DEFAULT_TTL,
            segment_len: None,
            max_value_len: DEFAULT_MAX_VALUE_LEN,
            clock: Clock::system(),
            boot_id: BootIdSource::System,
            durability: Durability::default(),
            unclean_boot: UncleanBoot::default(),
            max_bytes: None,
            when_full: WhenFull::default(),
            track_accesses: false,
            max_mappings: None,
            background: Background::default(),
        }
    }

    /// How long a pair lives that is set without a TTL of its own: 30 minutes by default, at least a
    /// millisecond.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::Options;
    /// # let dir = tempfile::tempdir()?;
    /// # let (clock, hand) = Clock::manual();
    /// # let options = Options::new().clock(clock);
    /// let store = options.default_ttl(Duration::from_secs(60)).open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// hand.advance(Duration::from_secs(60));
    /// assert!(!store.contains("user:17"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn default_ttl(mut self, ttl: Duration) -> Options {
        self.default_ttl = ttl;
        self
    }

    /// Bytes of each segment file: a power of two from 64 KiB to 256 MiB. By default 8 MiB, and less where
    /// [`Options::max_bytes`] is below 256 MiB: a 32nd of it, rounded down to a power of two, at least 64 KiB. The length
    /// is chosen when a store is created. Later it is that of the store, and asking for another one is refused.
    ///
    /// A store takes room in segments, a few even if it holds little, and moves pairs in segments: shorter ones make it
    /// smaller, longer ones cost less for each pair. A value above a quarter of a segment gets a file of its own.
    ///
    /// ```
    /// # use sharedance_core::store::{OpenError, Options};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().segment_len(65_536).open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// assert_eq!(store.stats().file_bytes % 65_536, 0);
    ///
    /// drop(store);
    /// let refused = Options::new().segment_len(1 << 20).open(dir.path());
    /// assert!(matches!(refused, Err(OpenError::SegmentLen { found: 65_536, .. })));
    /// assert!(Options::new().open(dir.path())?.contains("user:17"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn segment_len(mut self, bytes: usize) -> Options {
        self.segment_len = Some(bytes);
        self
    }

    /// The longest value that is accepted, in bytes: 64 MiB by default, at most 2 GiB. Longer ones that
    /// are in the store already stay.
    ///
    /// ```
    /// # use sharedance_core::store::{Options, StoreError};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().max_value_len(1_000).open(dir.path())?;
    /// assert!(matches!(store.set("page", &[b'x'; 1_001]), Err(StoreError::ValueLen { max: 1_000, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_value_len(mut self, bytes: usize) -> Options {
        self.max_value_len = bytes;
        self
    }

    /// The clock of the store, for tests: by default the system's.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::Options;
    /// # let dir = tempfile::tempdir()?;
    /// let (clock, hand) = Clock::manual();
    /// let store = Options::new().clock(clock).open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// hand.advance(Duration::from_secs(30 * 60));
    /// assert!(!store.contains("user:17"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clock(mut self, clock: Clock) -> Options {
        self.clock = clock;
        self
    }

    /// The id of this boot. By default the store reads it when it is opened; a program that changes its root
    /// directory before reads it itself. Without one, every record is verified at each opening.
    ///
    /// ```
    /// # use sharedance_core::store::{BootId, Options};
    /// # let dir = tempfile::tempdir()?;
    /// let boot_id = BootId::read();
    /// // … chroot …
    /// let store = Options::new().boot_id(boot_id).open(dir.path())?;
    /// # drop(store);
    /// # let store = Options::new().boot_id(boot_id).open(dir.path())?;
    /// assert_eq!(store.recovery().same_boot, boot_id.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn boot_id(mut self, boot_id: Option<BootId>) -> Options {
        self.boot_id = BootIdSource::Given(boot_id);
        self
    }

    /// How much room the store's files may take, in bytes: by default as much as there is. At least eight segments, which
    /// is 512 KiB with the shortest ones; [`Options::segment_len`] describes how their length follows from the limit.
    /// [`Options::when_full`] decides what happens at the limit; a file system without room is treated alike.
    ///
    /// An existing store keeps its segment length. It opens with any limit of at least eight of its segments; below that
    /// opening fails with [`OpenError::MaxBytes`], which names the least limit. Above, its segments stay short: for a limit
    /// that is many times higher start with an empty directory. A store that is opened with less than it has takes no new
    /// segment before it has shrunk, except one at a time for compaction.
    ///
    /// Overwritten records take room until they are compacted: plan for twice the bytes of all pairs. The largest value
    /// that fits is a segment and some kilobytes shorter than the limit.
    ///
    /// ```
    /// # use sharedance_core::store::{Options, StoreError};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().segment_len(65_536).max_bytes(1 << 20).open(dir.path())?;
    /// let refused = (0..2_000u32).find_map(|i| store.set(&i.to_be_bytes(), &[1; 1_000]).err());
    /// assert!(matches!(refused, Some(StoreError::Full)));
    /// assert!(store.stats().file_bytes <= 1 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_bytes(mut self, bytes: u64) -> Options {
        self.max_bytes = Some(bytes);
        self
    }

    /// What to do when there is no more room, within [`Options::max_bytes`] or on the file system:
    /// [`WhenFull::Refuse`] by default.
    ///
    /// ```
    /// # use sharedance_core::store::{Options, WhenFull};
    /// # let dir = tempfile::tempdir()?;
    /// let options = Options::new().segment_len(65_536).max_bytes(1 << 20).when_full(WhenFull::Evict);
    /// let store = options.open(dir.path())?;
    /// for i in 0..2_000u32 {
    ///     store.set(&i.to_be_bytes(), &[1; 1_000])?;
    /// }
    /// assert!(store.stats().evicted > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn when_full(mut self, when_full: WhenFull) -> Options {
        self.when_full = when_full;
        self
    }

    /// Records when each pair is read, which [`Store::get_with`](crate::store::Store::get_with) returns: in memory only, four
    /// bytes a pair, and forgotten when the store is closed. Off by default.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::{GetOptions, Options};
    /// # let dir = tempfile::tempdir()?;
    /// # let (clock, hand) = Clock::manual();
    /// # let options = Options::new().clock(clock);
    /// let store = options.track_accesses(true).open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// store.get("user:17");
    /// hand.advance(Duration::from_secs(7));
    /// let entry = store.get_with("user:17", GetOptions::new())?.expect("it was stored");
    /// assert!(entry.was_read && entry.idle == Some(Duration::from_secs(7)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn track_accesses(mut self, track: bool) -> Options {
        self.track_accesses = track;
        self
    }

    /// How many memory mappings the system allows the process: [`max_mappings`](crate::store::max_mappings) by default.
    /// Each segment file takes one. The store leaves a sixteenth of them, at most 4096, to the rest of the process, and is
    /// full when it has used the others.
    ///
    /// ```
    /// # use sharedance_core::store::Options;
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().max_mappings(32).open(dir.path())?;
    /// // A value above a quarter of a segment has a file of its own.
    /// let big = vec![1; 3 << 20];
    /// let stored = (0..100u32).take_while(|i| store.set(&i.to_be_bytes(), &big).is_ok()).count();
    /// assert!((10..32).contains(&stored) && store.stats().refused_mappings > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_mappings(mut self, allowed: usize) -> Options {
        self.max_mappings = Some(allowed);
        self
    }

    /// Which threads maintain the store: by default its own, [`Background::Threads`].
    ///
    /// ```
    /// # use sharedance_core::store::{Background, Options};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().background(Background::Manual).open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// let progress = store.maintain(1_000)?;
    /// assert!(!progress.pending);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn background(mut self, background: impl Into<Background>) -> Options {
        self.background = background.into();
        self
    }

    /// What an acknowledged write survives: [`Durability::Os`] by default.
    ///
    /// ```
    /// # use sharedance_core::store::{Durability, Options};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().durability(Durability::Always).open(dir.path())?;
    /// store.set("order:1", "paid")?; // From here on not even a power cut takes it.
    /// # drop(store);
    /// # assert!(Options::new().open(dir.path())?.contains("order:1"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn durability(mut self, durability: Durability) -> Options {
        self.durability = durability;
        self
    }

    /// What to do with what another boot of the machine left: [`UncleanBoot::Salvage`] by default.
    ///
    /// ```
    /// # use sharedance_core::store::{BootId, Options, UncleanBoot};
    /// # let dir = tempfile::tempdir()?;
    /// # let options = || Options::new().boot_id(Some(BootId::from_bytes([1; 16])));
    /// let store = options().unclean_boot(UncleanBoot::Discard).open(dir.path())?;
    /// store.set("session:17", "user=ada")?;
    /// drop(store);
    /// // The process was restarted, and the machine was not: all is there.
    /// let store = options().unclean_boot(UncleanBoot::Discard).open(dir.path())?;
    /// assert!(store.contains("session:17"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unclean_boot(mut self, unclean_boot: UncleanBoot) -> Options {
        self.unclean_boot = unclean_boot;
        self
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let refuse = |option, expected| Err(OpenError::Options { option, expected });
        if cfg!(target_endian = "big") {
            return Err(OpenError::BigEndian);
        }
        if self.default_ttl < Duration::from_millis(1) {
            return refuse("default_ttl", "at least a millisecond");
        }
        let is_segment_len = |len: usize| len.is_power_of_two() && (MIN_SEGMENT_LEN..=MAX_SEGMENT_LEN).contains(&len);
        if self.segment_len.is_some_and(|len| !is_segment_len(len)) {
            return refuse("segment_len", "a power of two from 64 KiB to 256 MiB");
        }
        self.check_max_bytes(self.new_segment_len(), None)?;
        if matches!(self.durability, Durability::Interval(interval) if interval < Duration::from_millis(1)) {
            return refuse("durability", "an interval of at least a millisecond");
        }
        if self.max_value_len > MAX_VALUE_LEN {
            return refuse("max_value_len", "at most 2 GiB");
        }
        Ok(())
    }

    /// The length of the segments of a store that is created with these options.
    pub(crate) fn new_segment_len(&self) -> usize {
        self.segment_len.unwrap_or_else(|| {
            let share = self.max_bytes.unwrap_or(u64::MAX) / SEGMENTS_WITHIN_LIMIT;
            let share = share.clamp(MIN_SEGMENT_LEN as u64, DEFAULT_SEGMENT_LEN as u64);
            1 << share.ilog2()
        })
    }

    /// Checks that an existing store in `dir`, whose segments have this length, can be opened with these options.
    pub(crate) fn check_segment_len(&self, found: usize, dir: &Path) -> Result<(), OpenError> {
        if let Some(asked) = self.segment_len.filter(|asked| *asked != found) {
            return Err(OpenError::SegmentLen { path: dir.to_owned(), found, asked });
        }
        self.check_max_bytes(found, Some(dir))
    }

    fn check_max_bytes(&self, segment_len: usize, dir: Option<&Path>) -> Result<(), OpenError> {
        let least = MIN_SEGMENTS * segment_len as u64;
        let Some(asked) = self.max_bytes.filter(|asked| *asked < least) else {
            return Ok(());
        };
        Err(match dir {
            Some(dir) => OpenError::MaxBytes { path: dir.to_owned(), asked, least, segment_len },
            None => OpenError::MaxBytesTooLow { asked, least, segment_len },
        })
    }

    pub(crate) fn resolve_boot_id(&self) -> Option<BootId> {
        match self.boot_id {
            BootIdSource::System => BootId::read(),
            BootIdSource::Given(boot_id) => boot_id,
        }
    }
}

#[cfg(test)]
impl Options {
    /// Without threads, for tests that maintain the store themselves.
    pub(crate) fn manual() -> Options {
        Options::new().background(Background::Manual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_be_are_refused_before_anything_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        for options in [
            Options::manual().segment_len(65_535),
            Options::manual().segment_len(32_768),
            Options::manual().segment_len(1 << 29),
            Options::manual().default_ttl(Duration::ZERO),
            Options::manual().max_value_len((1 << 31) + 1),
        ] {
            assert!(matches!(options.open(&path), Err(OpenError::Options { .. })));
        }
        assert!(!path.exists());
    }

    #[test]
    fn segments_shrink_with_the_limit_and_a_length_that_was_asked_for_stays() {
        let len = |max_bytes: u64| Options::manual().max_bytes(max_bytes).new_segment_len();
        let kib = 1 << 10;
        for (max_bytes, expected) in [
            (512 * kib, 64 * kib),
            (2048 * kib, 64 * kib),
            (3 << 20, 64 * kib),
            (8 << 20, 256 * kib),
            (63 << 20, 1024 * kib),
            (64 << 20, 2048 * kib),
            (255 << 20, 4096 * kib),
            (256 << 20, 8192 * kib),
            (u64::MAX, 8192 * kib),
        ] {
            assert_eq!(len(max_bytes) as u64, expected, "{max_bytes}");
        }
        assert_eq!(Options::manual().new_segment_len(), DEFAULT_SEGMENT_LEN);
        assert_eq!(Options::manual().max_bytes(1 << 20).segment_len(65_536).new_segment_len(), 65_536);
    }

    #[test]
    fn a_limit_that_is_too_low_is_refused_with_its_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |options: Options| options.open(dir.path()).unwrap_err().to_string();
        let text = refused(Options::manual().max_bytes(500_000));
        assert!(["500000", "65536", "524288"].iter().all(|number| text.contains(number)), "{text}");
        let text = refused(Options::manual().max_bytes(2 << 20).segment_len(1 << 20));
        assert!(["2097152", "1048576", "8388608"].iter().all(|number| text.contains(number)), "{text}");

        drop(Options::manual().open(dir.path()).unwrap());
        let text = refused(Options::manual().max_bytes(3 << 20));
        let path = dir.path().display().to_string();
        assert!([&path, "3145728", "8388608", "67108864"].iter().all(|part| text.contains(*part)), "{text}");
        Options::manual().max_bytes(64 << 20).open(dir.path()).unwrap();
        // Where it would have chosen segments of 1 MiB.
        let store = Options::manual().max_bytes(100 << 20).open(dir.path()).unwrap();
        assert_eq!(store.shared.engine.log.description().segment_len, DEFAULT_SEGMENT_LEN);
    }

    #[test]
    fn a_small_store_opens_with_a_higher_limit_and_with_no_limit() {
        let dir = tempfile::tempdir().unwrap();
        Options::manual().max_bytes(2 << 20).open(dir.path()).unwrap().set("key", "value").unwrap();
        for options in [Options::manual().max_bytes(1 << 30), Options::manual(), Options::manual().max_bytes(1 << 20)] {
            let store = options.open(dir.path()).unwrap();
            assert_eq!(store.get("key").unwrap(), "value");
            assert_eq!(store.stats().file_bytes % 65_536, 0);
        }
    }
}
