//! What a store's opener may choose.

use std::path::Path;
use std::time::Duration;

use crate::clock::Clock;

use super::Store;
use super::durability::{Durability, UncleanBoot};
use super::error::OpenError;
use super::format::RECORDS_OFFSET;
use super::meta::BootId;

/// Half an hour, as web sessions are wont to live.
const DEFAULT_TTL: Duration = Duration::from_secs(30 * 60);
const DEFAULT_SEGMENT_LEN: usize = 8 * 1024 * 1024;
const DEFAULT_MAX_VALUE_LEN: usize = 64 * 1024 * 1024;
/// Below, the page that each segment spends on its header would count.
const MIN_SEGMENT_LEN: usize = 16 * RECORDS_OFFSET;
/// Above, recycling comes in lumps that are too large.
pub(crate) const MAX_SEGMENT_LEN: usize = 256 * 1024 * 1024;
/// One open for new writes (so few segments have a single append point), one for what compaction carries forward, one
/// ready, one to be emptied, and as many to hold something.
const MIN_SEGMENTS: usize = 8;
/// Value lengths have 32 bits on disk; half of that keeps all sums within them.
const MAX_VALUE_LEN: usize = 1 << 31;

/// How a store is opened.
///
/// ```
/// use std::time::Duration;
/// use sharedance_core::store::Options;
///
/// # let dir = tempfile::tempdir()?;
/// let store = Options::new().default_ttl(Duration::from_secs(3600)).open(dir.path())?;
/// store.set(b"user:17", b"Ada")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) default_ttl: Duration,
    pub(crate) segment_len: usize,
    pub(crate) max_value_len: usize,
    pub(crate) clock: Clock,
    pub(crate) boot_id: BootIdSource,
    pub(crate) durability: Durability,
    pub(crate) unclean_boot: UncleanBoot,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) when_full: WhenFull,
    pub(crate) track_accesses: bool,
}

/// What happens to a write when there is no room for it, and none can be made by dropping what has expired or been
/// overwritten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It is refused with [`StoreError::Full`](super::StoreError::Full); everything stored stays. For sessions: a login
    /// that fails is better than another one that is lost.
    #[default]
    Refuse,
    /// Old pairs that are not being read make room for it. For caches.
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
    /// The defaults.
    pub fn new() -> Options {
        Options {
            default_ttl: DEFAULT_TTL,
            segment_len: DEFAULT_SEGMENT_LEN,
            max_value_len: DEFAULT_MAX_VALUE_LEN,
            clock: Clock::system(),
            boot_id: BootIdSource::System,
            durability: Durability::default(),
            unclean_boot: UncleanBoot::default(),
            max_bytes: None,
            when_full: WhenFull::default(),
            track_accesses: false,
        }
    }

    /// How long a pair lives that is set without a TTL of its own: 30 minutes unless told otherwise, at the least a
    /// millisecond.
    pub fn default_ttl(mut self, ttl: Duration) -> Options {
        self.default_ttl = ttl;
        self
    }

    /// Bytes of each segment file: a power of two from 64 KiB to 256 MiB, 8 MiB unless told otherwise. A value above a
    /// quarter of it gets a file of its own. Chosen when a store is created; another length is refused later.
    pub fn segment_len(mut self, bytes: usize) -> Options {
        self.segment_len = bytes;
        self
    }

    /// The longest value that is accepted, in bytes: 64 MiB unless told otherwise, 2 GiB at the most.
    pub fn max_value_len(mut self, bytes: usize) -> Options {
        self.max_value_len = bytes;
        self
    }

    /// The clock to live by, for tests: the system's unless told otherwise.
    pub fn clock(mut self, clock: Clock) -> Options {
        self.clock = clock;
        self
    }

    /// The boot that this is. Unless told, the store reads it when it is opened; a program that changes its root
    /// directory before reads it itself. Without one, every record is verified at each opening.
    pub fn boot_id(mut self, boot_id: Option<BootId>) -> Options {
        self.boot_id = BootIdSource::Given(boot_id);
        self
    }

    /// How much room the store's files may take, in bytes: as much as there is, unless told otherwise; at the least eight
    /// segments. A store that is opened with less than it has takes no new segment before it has shrunk. Overwritten
    /// records take room until compaction comes by: count with twice the bytes of all pairs.
    pub fn max_bytes(mut self, bytes: u64) -> Options {
        self.max_bytes = Some(bytes);
        self
    }

    /// What to do when there is no more room, within [`Options::max_bytes`] or on the file system:
    /// [`WhenFull::Refuse`] unless told otherwise.
    pub fn when_full(mut self, when_full: WhenFull) -> Options {
        self.when_full = when_full;
        self
    }

    /// Notes when each pair is read, for [`Store::look`] to tell: in memory only, four bytes a pair. Not unless told.
    pub fn track_accesses(mut self, track: bool) -> Options {
        self.track_accesses = track;
        self
    }

    /// What an acknowledged write survives: [`Durability::Os`] unless told otherwise.
    pub fn durability(mut self, durability: Durability) -> Options {
        self.durability = durability;
        self
    }

    /// What to do with what another boot of the machine left: [`UncleanBoot::Salvage`] unless told otherwise.
    pub fn unclean_boot(mut self, unclean_boot: UncleanBoot) -> Options {
        self.unclean_boot = unclean_boot;
        self
    }

    /// Opens the store in `dir`, which is created where it is missing, mode 0700.
    ///
    /// Pairs that an earlier life of the store left are there again, unless they have expired:
    /// [`Store::recovery`] tells how many, and what was dropped.
    ///
    /// # Errors
    /// [`OpenError`], of which [`OpenError::InUse`] means that another store has the directory open.
    pub fn open(self, dir: impl AsRef<Path>) -> Result<Store, OpenError> {
        self.check()?;
        Store::with_options(self, dir.as_ref())
    }

    fn check(&self) -> Result<(), OpenError> {
        let refuse = |option, expected| Err(OpenError::Options { option, expected });
        if cfg!(target_endian = "big") {
            return Err(OpenError::BigEndian);
        }
        if self.default_ttl < Duration::from_millis(1) {
            return refuse("default_ttl", "a millisecond at the least");
        }
        if !self.segment_len.is_power_of_two() || !(MIN_SEGMENT_LEN..=MAX_SEGMENT_LEN).contains(&self.segment_len) {
            return refuse("segment_len", "a power of two from 64 KiB to 256 MiB");
        }
        if self.max_bytes.is_some_and(|bytes| bytes < (MIN_SEGMENTS * self.segment_len) as u64) {
            return refuse("max_bytes", "eight segments at the least");
        }
        if matches!(self.durability, Durability::Interval(interval) if interval < Duration::from_millis(1)) {
            return refuse("durability", "an interval of a millisecond at the least");
        }
        if self.max_value_len > MAX_VALUE_LEN {
            return refuse("max_value_len", "2 GiB at the most");
        }
        Ok(())
    }

    pub(crate) fn resolve_boot_id(&self) -> Option<BootId> {
        match self.boot_id {
            BootIdSource::System => BootId::read(),
            BootIdSource::Given(boot_id) => boot_id,
        }
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
            Options::new().segment_len(65_535),
            Options::new().segment_len(32_768),
            Options::new().segment_len(1 << 29),
            Options::new().default_ttl(Duration::ZERO),
            Options::new().max_value_len((1 << 31) + 1),
        ] {
            assert!(matches!(options.open(&path), Err(OpenError::Options { .. })));
        }
        assert!(!path.exists());
    }
}
