//! The interface that is measured: a key/value store that can be opened in a directory.

use std::error::Error;
use std::path::Path;

use crate::peers;
use crate::workload::Load;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// An open key/value store. Several threads use it at once.
pub(crate) trait Peer: Send + Sync {
    fn set(&self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Copies the value of `key` to `copy`, replacing its content. Returns false if there is no value.
    fn get(&self, key: &[u8], copy: &mut Vec<u8>) -> Result<bool>;

    /// Returns false if there was no value to delete. A peer that does not check returns true.
    fn delete(&self, key: &[u8]) -> Result<bool>;

    /// Bytes of memory of its index, if it reports them.
    fn index_bytes(&self) -> Option<u64> {
        None
    }

    /// Bytes of pairs that it has copied so far to reclaim space, if it reports them.
    fn copied_bytes(&self) -> Option<u64> {
        None
    }
}

/// Which pairs remain after the process was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterKill {
    /// All acknowledged writes.
    Everything,
    /// Writes that had reached a file.
    Something,
    /// None: the peer has no files.
    Nothing,
}

/// A store that can be compared.
pub(crate) struct Kind {
    /// Name on the command line.
    pub(crate) name: &'static str,
    /// Name in the tables.
    pub(crate) title: &'static str,
    /// Configuration, in short.
    pub(crate) setting: &'static str,
    pub(crate) after_kill: AfterKill,
    /// Takes as long as all others together, and therefore takes part in the first round only.
    pub(crate) slow: bool,
    /// Opens it in an existing directory that is empty or contains the files of a killed process.
    pub(crate) open: fn(&Path, &Load) -> Result<Box<dyn Peer>>,
}

impl Kind {
    pub(crate) fn has_files(&self) -> bool {
        self.after_kill != AfterKill::Nothing
    }
}

/// All stores that can be compared, in the order of the tables. A further peer is a file in `peers/` and a line here.
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
