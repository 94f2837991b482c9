//! The set of segments, and where the next record goes.
//!
//! | file | what |
//! | --- | --- |
//! | [`segment_log`] | the log: reserves room for records, creates and activates segments |
//! | [`append_points`] | which segments are open, and for which records |
//! | [`spares`] | blank segments that are ready for writers |
//! | [`table`] | the segments in use, by number |
//! | [`retire`] | recycling and deletion of files that are no longer in use |
//! | [`queues`] | the two queues that pairs are evicted from |
//! | [`ghosts`] | fingerprints of pairs that were evicted recently |

pub(crate) mod append_points;
pub(crate) mod ghosts;
pub(crate) mod queues;
pub(crate) mod retire;
pub(crate) mod segment_log;
pub(crate) mod spares;
pub(crate) mod table;
