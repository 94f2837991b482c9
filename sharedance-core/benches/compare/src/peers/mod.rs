//! One file for each store that takes part. Its head says how it is set up, and why.

pub(crate) mod fjall;
pub(crate) mod hash_map;
pub(crate) mod lmdb;
pub(crate) mod moka;
pub(crate) mod redb;
#[cfg(feature = "rocksdb")]
pub(crate) mod rocksdb;
pub(crate) mod sled;
pub(crate) mod store;

/// Memory for what a peer caches of its own files, where it does so: a good part of the data, which the documentations
/// of such peers ask for, and no more than a program may spare that has other things to do.
const CACHE_LEN: usize = 512 * 1024 * 1024;
