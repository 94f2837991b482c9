//! The options of the store, and opening it with them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use sharedance_core::store::{self, BootId, Durability, OpenError, Store, UncleanBoot, WhenFull};

use thiserror::Error;

use super::units::{Plain, Size, size, time};

const MIN_TIME: Duration = Duration::from_millis(1);
/// Times have 31 bits of seconds: 68 years.
const MAX_TIME: Duration = Duration::from_secs(i32::MAX as u64);

/// A 32nd of this is the length of the shortest segment that a store can have. With less room, the segments that are open
/// or prepared would be most of it.
const MIN_BYTES: u64 = 2 * 1024 * 1024;

const MAX_SYNC_INTERVAL: Duration = Duration::from_secs(3600);

/// How the pairs are stored. Each field has the name of its option.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StorageOptions {
    /// The directory of the store.
    pub directory: PathBuf,
    /// The TTL of a pair that is stored without one.
    pub expiration: Duration,
    /// The most bytes that the files may use; `None` is as many as the file system has.
    pub max_bytes: Option<u64>,
    /// What happens when there is no more room.
    pub when_full: WhenFull,
    /// Which crashes a pair survives.
    pub durability: Durability,
    /// What to do after a crash of the system.
    pub after_crash: UncleanBoot,
}

impl StorageOptions {
    /// Describes the limits of the store, for the log.
    pub fn limits(&self) -> String {
        let room = match self.max_bytes {
            Some(bytes) => format!("at most {} of files", Size(bytes)),
            None => "as many bytes of files as there is room for".to_owned(),
        };
        let when_full = match self.when_full {
            WhenFull::Evict => "old pairs are evicted when that is full",
            _ => "new pairs are refused when that is full",
        };
        format!("{room} ({when_full})")
    }

    /// Opens the store at `path`, the directory as this process sees it. Errors contain `outer_path`, the directory as the
    /// operator sees it. The values of the store have at most `max_value_len` bytes.
    ///
    /// # Errors
    /// [`StorageError::MaxBytes`] if the store in the directory needs more room; otherwise as for
    /// [`store::Options::open`].
    pub fn open(
        &self,
        path: &Path,
        outer_path: &Path,
        max_value_len: usize,
        boot_id: Option<BootId>,
        max_mappings: usize,
    ) -> Result<Store, StorageError> {
        let options = store::Options::new()
            .default_ttl(self.expiration)
            .max_value_len(max_value_len)
            .boot_id(boot_id)
            .max_mappings(max_mappings)
            .when_full(self.when_full)
            .durability(self.durability)
            .unclean_boot(self.after_crash)
            // The server starts the threads, with names and priorities of its own.
            .background(store::Background::Manual)
            // For the meta commands that return it.
            .track_accesses(true);
        match self.max_bytes {
            Some(bytes) => options.max_bytes(bytes),
            None => options,
        }
        .open(path)
        .map_err(|error| match seen_from_outside(error, path, outer_path) {
            OpenError::MaxBytes { path, asked, least, segment_len } => {
                StorageError::MaxBytes { path, asked, least, segment_len }
            }
            error => StorageError::Open(error),
        })
    }
}

/// Why the store cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The store in the directory has segments that are too long for the limit.
    #[error(
        "--max-bytes={} is too small for the store in {}, which has segments of {} and needs room for eight of them: give at \
         least {}, or choose an empty directory, where segments are as short as the limit needs",
        Size(*asked), path.display(), Size(*segment_len as u64), Size(*least)
    )]
    MaxBytes {
        /// The directory.
        path: PathBuf,
        /// The limit, in bytes.
        asked: u64,
        /// The lowest limit for this store, in bytes.
        least: u64,
        /// The length of its segments, in bytes.
        segment_len: usize,
    },
    /// Another reason.
    #[error(transparent)]
    Open(OpenError),
}

/// The same error, with the paths as the operator sees them.
fn seen_from_outside(mut error: OpenError, inner: &Path, outer: &Path) -> OpenError {
    if let OpenError::InUse { path }
    | OpenError::FormatVersion { path, .. }
    | OpenError::SegmentLen { path, .. }
    | OpenError::MaxBytes { path, .. }
    | OpenError::Damaged { path }
    | OpenError::Io { path, .. } = &mut error
        && let Ok(rest) = path.strip_prefix(inner)
    {
        *path = if rest.as_os_str().is_empty() { outer.to_owned() } else { outer.join(rest) };
    }
    error
}

/// The same options, as they are given.
#[derive(Debug, Args)]
pub(super) struct StorageArguments {
    /// The directory of the pairs; created if it is missing
    #[arg(short, long, default_value = "/tmp/sharedance")]
    directory: PathBuf,

    /// How long a pair lives after it was last stored
    #[arg(short, long, value_name = "TIME", default_value = "30m", allow_negative_numbers = true,
          value_parser = time(Plain::Seconds, MIN_TIME..=MAX_TIME))]
    expiration: Duration,

    /// The most bytes that the files in the directory may use, at least 2 MiB; they normally use up to twice as many as the
    /// pairs have [default: as many as the file system has]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = size(MIN_BYTES..=u64::MAX))]
    max_bytes: Option<u64>,

    /// What happens to new pairs when there is no more room, within --max-bytes or on the disk: they are refused, or old
    /// pairs that are not being read are evicted
    #[arg(long, value_enum, default_value_t = Full::Refuse)]
    when_full: Full,

    /// What pairs survive besides any end of the server process: `os`, nothing for certain; `interval`, a power cut, except
    /// pairs stored in the last --sync-interval; `always`, a power cut at any time: a pair is on the disk before it is
    /// acknowledged
    #[arg(long, value_enum, default_value_t = Survives::Os)]
    durability: Survives,

    /// For --durability=interval; a plain number is in milliseconds
    #[arg(long, value_name = "TIME", default_value = "1s", allow_negative_numbers = true,
          value_parser = time(Plain::Milliseconds, MIN_TIME..=MAX_SYNC_INTERVAL))]
    sync_interval: Duration,

    /// What to do after a power cut, or any other restart of the machine: keep the pairs that are intact, or start empty,
    /// so that a session whose logout was lost does not return
    #[arg(long, value_enum, default_value_t = AfterCrash::Salvage)]
    after_crash: AfterCrash,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Full {
    Refuse,
    Evict,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Survives {
    Os,
    Interval,
    Always,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AfterCrash {
    Salvage,
    Discard,
}

impl From<StorageArguments> for StorageOptions {
    fn from(arguments: StorageArguments) -> StorageOptions {
        StorageOptions {
            directory: arguments.directory,
            expiration: arguments.expiration,
            max_bytes: arguments.max_bytes,
            when_full: match arguments.when_full {
                Full::Refuse => WhenFull::Refuse,
                Full::Evict => WhenFull::Evict,
            },
            durability: match arguments.durability {
                Survives::Os => Durability::Os,
                Survives::Interval => Durability::Interval(arguments.sync_interval),
                Survives::Always => Durability::Always,
            },
            after_crash: match arguments.after_crash {
                AfterCrash::Salvage => UncleanBoot::Salvage,
                AfterCrash::Discard => UncleanBoot::Discard,
            },
        }
    }
}
