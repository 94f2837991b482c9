//! What is measured, seen from outside: a key/value store that can be opened in a directory.

use std::error::Error;
use std::path::Path;

use crate::peers;
use crate::workload::Load;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// An open key/value store. Several threads use it at once.
pub(crate) trait Peer: Send + Sync {
    fn set(&self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Copies the value of `key` to `copy`, in place of what that held; false where there is none.
    fn get(&self, key: &[u8], copy: &mut Vec<u8>) -> Result<bool>;

    /// False where there was no value to delete; a peer that does not look answers true.
    fn delete(&self, key: &[u8]) -> Result<bool>;

    /// Bytes of memory that its index takes, where it can tell.
    fn index_bytes(&self) -> Option<u64> {
        None
    }

    /// Bytes of pairs that it has copied so far to reclaim room, where it can tell.
    fn copied_bytes(&self) -> Option<u64> {
        None
    }
}

/// What is there again after the process was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterKill {
    /// What was acknowledged.
    Everything,
    /// What had reached a file by then.
    Something,
    /// It has no files.
    Nothing,
}

/// A way of storing pairs that takes part in the comparison.
pub(crate) struct Kind {
    /// What it is called on the command line…
    pub(crate) name: &'static str,
    /// …and in the tables.
    pub(crate) title: &'static str,
    /// How it is set up, in short.
    pub(crate) setting: &'static str,
    pub(crate) after_kill: AfterKill,
    /// Takes as long as all others together, so it takes part in the first round alone.
    pub(crate) slow: bool,
    /// Opens it in a directory that exists, empty or as a process left it that was killed.
    pub(crate) open: fn(&Path, &Load) -> Result<Box<dyn Peer>>,
}

impl Kind {
    pub(crate) fn has_files(&self) -> bool {
        self.after_kill != AfterKill::Nothing
    }
}

/// All that can be compared, in the order of the tables. A further peer is a file in `peers/` and a line here.
pub(crate) const KINDS: &[&Kind] = &[
    &peers::store::KIND,
    &peers::hash_map::KIND,
    &peers::moka::KIND,
    &peers::lmdb::NO_SYNC,
    &peers::lmdb::WRITE_MAP,
    #[cfg(feature = "rocksdb")]
    &peers::rocksdb::KIND,
    &peers::fjall::KIND,
    &peers::redb::UNSYNCED,
    &peers::redb::NONE,
    &peers::sled::KIND,
];

pub(crate) fn kind(name: &str) -> Result<&'static Kind> {
    KINDS.iter().copied().find(|kind| kind.name == name).ok_or_else(|| format!("there is no peer {name:?}").into())
}
