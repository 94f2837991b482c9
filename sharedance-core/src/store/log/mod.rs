//! The set of segments, and where the next record goes.
//!
//! | file | what |
//! | --- | --- |
//! | [`segment_log`] | the log: reserves space for records; activates, seals and retires segments |
//! | [`append_points`] | which segments are open, and for which records |
//! | [`table`] | the segments in use, by number |
//! | [`files`] | the files: creates, prepares and deletes them |
//! | [`spares`] | blank segments that are ready for writers |
//! | [`queues`] | the two queues of eviction |
//! | [`ghosts`] | fingerprints of pairs that were evicted recently |

pub(crate) mod append_points;
pub(crate) mod files;
pub(crate) mod ghosts;
pub(crate) mod queues;
pub(crate) mod segment_log;
pub(crate) mod spares;
pub(crate) mod table;
