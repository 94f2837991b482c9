//! The background work of a store.
//!
//! | file | what |
//! | --- | --- |
//! | [`maintain`] | one bounded piece of work, and the work of a writer that finds no space |
//! | [`expiry`] | the sweep that removes expired records |
//! | [`compaction`] | copies live records out of segments that contain little else |
//! | [`eviction`] | removes old pairs if there is no space for new ones |
//! | [`threads`] | the threads that do the work |

pub(crate) mod compaction;
pub(crate) mod eviction;
pub(crate) mod expiry;
pub(crate) mod maintain;
pub(crate) mod threads;
