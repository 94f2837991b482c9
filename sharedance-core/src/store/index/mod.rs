//! Which record is live for a key: a sharded table of locations. It is authoritative.
//!
//! | file | what |
//! | --- | --- |
//! | [`shards`] | the index: selects the shard of a hash; operations on all shards |
//! | [`shard`] | a table of locations by hash |
//! | [`location`] | segment, slot and offset of a record in eight bytes |

mod location;
mod shard;
mod shards;

pub(crate) use location::{Location, MAX_SEGMENTS};
pub(crate) use shard::Shard;
pub(crate) use shards::Index;
