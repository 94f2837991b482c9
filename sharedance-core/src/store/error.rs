//! Why a store could not be opened, or an operation not done: cut by what the caller does next.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a store could not be opened. Nothing in the directory was changed, but that it may have been created.
///
/// ```
/// # use sharedance_core::store::{OpenError, Store};
/// # let dir = tempfile::tempdir()?;
/// let first = Store::open(dir.path())?;
/// let store = match Store::open(dir.path()) {
///     Ok(store) => store,
///     // Another one has it: ask that one, or come again later.
///     Err(OpenError::InUse { .. }) => first,
///     // An operator has to look into it: the message says what was tried, and what to do.
///     Err(error) => return Err(error.into()),
/// };
/// # assert!(store.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another store, of this process or of another one, has the directory open.
    #[error("{} is in use by another store; two must not share a directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory was written by a version of this crate whose format this one does not know.
    #[error(
        "{} has format version {found}, this program knows version {known}: open it with the program that wrote it, \
         or choose an empty directory",
        path.display()
    )]
    FormatVersion {
        /// The directory.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The version that this crate reads and writes.
        known: u32,
    },
    /// The directory was written with segments of another length than the one asked for.
    #[error(
        "{} has segments of {found} bytes, {asked} were asked for: the length is chosen once, when a store is created",
        path.display()
    )]
    SegmentLen {
        /// The directory.
        path: PathBuf,
        /// The length of the segments there, in bytes.
        found: usize,
        /// The length asked for, in bytes.
        asked: usize,
    },
    /// A limit below eight segments of the length that was asked for, or of the shortest ones.
    #[error(
        "max_bytes is {asked}, but {least} is the least for segments of {segment_len} bytes: a store needs eight of them. \
         Raise max_bytes, or lower segment_len, which may be left to the store, if it is above 65536"
    )]
    MaxBytesTooLow {
        /// The limit asked for, in bytes.
        asked: u64,
        /// The lowest limit, in bytes.
        least: u64,
        /// The length of the segments, in bytes.
        segment_len: usize,
    },
    /// A limit below eight segments of the store that is in the directory.
    #[error(
        "{} has segments of {segment_len} bytes and needs room for eight of them: max_bytes is {asked}, but {least} is the \
         least. Raise it, or choose an empty directory, where segments are as short as the limit needs",
        path.display()
    )]
    MaxBytes {
        /// The directory.
        path: PathBuf,
        /// The limit asked for, in bytes.
        asked: u64,
        /// The lowest limit for this store, in bytes.
        least: u64,
        /// The length of the segments there, in bytes.
        segment_len: usize,
    },
    /// Both copies of the store's description are damaged, so that its segments cannot be read. Nothing was deleted.
    #[error("{}: the store's description cannot be read; move the directory away to start with an empty one", path.display())]
    Damaged {
        /// The damaged file.
        path: PathBuf,
    },
    /// The directory has more segment files than the system allows the process memory mappings. Nothing was deleted.
    #[error(
        "{} has {files} segment files, each of which takes a memory mapping, and the system allows a process {allowed} of \
         them: raise the limit with `sysctl -w vm.max_map_count={}`",
        path.display(),
        files + files / 8 + 4096
    )]
    Mappings {
        /// The directory.
        path: PathBuf,
        /// The number of segment files.
        files: usize,
        /// The number of mappings that the system allows.
        allowed: usize,
    },
    /// An option has a value that cannot be.
    #[error("{option} must be {expected}")]
    Options {
        /// The option's name.
        option: &'static str,
        /// What would be accepted.
        expected: &'static str,
    },
    /// The machine stores numbers in an order that the format does not have.
    #[error("the store's format is little-endian, this machine is not")]
    BigEndian,
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why an operation was not done. The store is as it was before, except after a failed sync: see
/// [`StoreError::ReadOnly`].
///
/// ```
/// # use sharedance_core::store::{Options, StoreError};
/// # let dir = tempfile::tempdir()?;
/// # let store = Options::new().segment_len(65_536).max_bytes(8 * 65_536).open(dir.path())?;
/// # let page = vec![b'x'; 1 << 20];
/// match store.set("page", &page) {
///     Ok(()) => {}
///     // The caller's mistake: another key, or a smaller value, would do.
///     Err(StoreError::KeyLen { .. } | StoreError::ValueLen { .. }) => panic!("pages are not that long"),
///     // The page is served, and not kept.
///     Err(StoreError::Full) => assert!(!store.contains("page")),
///     // Read-only, or refused by the system: report it to an operator.
///     Err(error) => return Err(error.into()),
/// }
/// # assert_eq!(store.stats().refused_full, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The key is empty or too long: ask with another one.
    #[error("a key has 1 to {max} bytes, this one has {len}")]
    KeyLen {
        /// The key's length in bytes.
        len: usize,
        /// The greatest length in bytes.
        max: usize,
    },
    /// The value is too large: ask with a smaller one, or open the store with a greater
    /// [`max_value_len`](crate::store::Options::max_value_len).
    #[error("a value of {len} bytes is larger than the limit of {max} bytes")]
    ValueLen {
        /// The value's length in bytes.
        len: usize,
        /// The greatest length in bytes.
        max: usize,
    },
    /// The value of the key is no number in decimal digits below 2⁶⁴, so that nothing can be added to it.
    #[error("the value is no number in decimal digits below 2^64")]
    NotANumber,
    /// There is no room, on the file system, within [`max_bytes`](crate::store::Options::max_bytes) or among the memory mappings
    /// of the process ([`max_mappings`](crate::store::Options::max_mappings)), and none could be made.
    /// Stored pairs stay, and can be read, touched and deleted; writing works again once there is room.
    #[error(
        "there is no room for it: on the file system, within max_bytes, or among the memory mappings (vm.max_map_count)"
    )]
    Full,
    /// A sync has failed, so that it is unknown what is on the disk: pairs can be read, but not written
    /// or deleted. Open the store again once the disk works.
    #[error("the store is read-only since a sync failed: open it again once the disk works")]
    ReadOnly,
    /// The system refused.
    #[error("cannot {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    pub(crate) fn io(action: &'static str) -> impl Fn(io::Error) -> StoreError {
        move |source| StoreError::Io { action, source }
    }
}
