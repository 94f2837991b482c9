//! The stores that are compared, one per file. The head of each file describes its configuration and the reasons.

pub(crate) mod fjall;
pub(crate) mod hash_map;
pub(crate) mod lmdb;
pub(crate) mod moka;
pub(crate) mod redb;
#[cfg(feature = "rocksdb")]
pub(crate) mod rocksdb;
pub(crate) mod sled;
pub(crate) mod store;

/// Memory for a peer's own cache of its files: a good part of the data, as the documentation of such peers recommends,
/// and not more than a program with other tasks can spare.
const CACHE_LEN: usize = 512 * 1024 * 1024;
