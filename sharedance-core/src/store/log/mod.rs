//! The set of segments, and where the next record goes.
//!
//! | file | what |
//! | --- | --- |
//! | [`segment_log`] | append points, prepared segments, recycling |
//! | [`ghosts`] | fingerprints of pairs that were evicted recently |

pub(crate) mod ghosts;
pub(crate) mod segment_log;
