//! One file for each store that takes part.

pub(crate) mod hash_map;
pub(crate) mod lmdb;
pub(crate) mod store;
