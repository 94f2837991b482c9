//! What callers of the store pass to it and get from it.
//!
//! | file | what |
//! | --- | --- |
//! | [`options`] | what a store is opened with |
//! | [`background`] | which threads maintain the store |
//! | [`durability`] | what acknowledged writes survive |
//! | [`request`] | the arguments and results of writes and deletes: TTL, attributes, condition, update |
//! | [`recache`] | the arguments and results of reads with metadata, which decide the reader that makes a new value |
//! | [`value`] | a value, pinned in its segment |
//! | [`stats`] | gauges and counters |

pub(crate) mod background;
pub(crate) mod durability;
pub(crate) mod options;
pub(crate) mod recache;
pub(crate) mod request;
pub(crate) mod stats;
pub(crate) mod value;
