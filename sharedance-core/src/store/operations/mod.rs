//! The operations on pairs.
//!
//! | file | what |
//! | --- | --- |
//! | [`read`] | reads of one pair |
//! | [`write`] | writes of one pair under a condition; where a record becomes visible |
//! | [`rewrite`] | writes that compute a new value from the old one |
//! | [`draft`] | the contents of a record that will be written |
//! | [`remove`] | touches and deletions |
//! | [`recache`] | reads that choose one reader to compute a new value |
//! | [`iterate`] | iteration over all pairs, and their verification |
//! | [`clear`] | deletion of all pairs, at once or at a scheduled time |

pub(crate) mod clear;
pub(crate) mod draft;
pub(crate) mod iterate;
pub(crate) mod read;
pub(crate) mod recache;
pub(crate) mod remove;
pub(crate) mod rewrite;
pub(crate) mod write;
