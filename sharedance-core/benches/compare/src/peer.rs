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

    /// Whether there was a value to delete.
    fn delete(&self, key: &[u8]) -> Result<bool>;

    /// Bytes of memory that its index takes, where it can tell.
    fn index_bytes(&self) -> Option<u64> {
        None
    }
}

/// A way of storing pairs that takes part in the comparison.
pub(crate) struct Kind {
    /// What it is called on the command line…
    pub(crate) name: &'static str,
    /// …and in the table.
    pub(crate) title: &'static str,
    /// Whether its pairs are there again after the process was killed.
    pub(crate) survives_kill: bool,
    /// Opens it in a directory that exists, empty or as a process left it that was killed.
    pub(crate) open: fn(&Path, &Load) -> Result<Box<dyn Peer>>,
}

/// All that can be compared, in the order of the table. A further peer is a file in `peers/` and a line here.
pub(crate) const KINDS: [&Kind; 4] =
    [&peers::store::KIND, &peers::hash_map::KIND, &peers::lmdb::NO_SYNC, &peers::lmdb::WRITE_MAP];

pub(crate) fn kind(name: &str) -> Result<&'static Kind> {
    KINDS.into_iter().find(|kind| kind.name == name).ok_or_else(|| format!("there is no peer {name:?}").into())
}
