//! The background work of a store.
//!
//! | file | what |
//! | --- | --- |
//! | [`maintain`] | one bounded piece of work, and what a writer does that finds no room |
//! | [`expiry`] | TTL classes, and the sweep that removes expired records |
//! | [`compaction`] | copies live records out of segments that hold little else |
//! | [`eviction`] | removes old pairs where there is no room for new ones |
//! | [`threads`] | the threads that do the work |

pub(crate) mod compaction;
pub(crate) mod eviction;
pub(crate) mod expiry;
pub(crate) mod maintain;
pub(crate) mod threads;
