//! The set of segments, and where the next record goes.
//!
//! | file | what |
//! | --- | --- |
//! | [`segment_log`] | append points, prepared segments, recycling |
//! | [`queues`] | the two queues that pairs are evicted from |
//! | [`ghosts`] | fingerprints of pairs that were evicted recently |

pub(crate) mod ghosts;
pub(crate) mod queues;
pub(crate) mod segment_log;
