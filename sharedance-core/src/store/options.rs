//! What a store's opener may choose.

use std::path::Path;
use std::time::Duration;

use crate::clock::Clock;

use super::Store;
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
const MAX_SEGMENT_LEN: usize = 256 * 1024 * 1024;
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
