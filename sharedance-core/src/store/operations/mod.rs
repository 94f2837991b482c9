//! What an operation does to pairs.
//!
//! | file | what |
//! | --- | --- |
//! | [`pairs`] | reads, writes under a condition, touches and deletions of one pair |
//! | [`recache`] | reads that decide which reader makes a new value |
//! | [`iterate`] | iteration over all pairs, and their verification |
//! | [`clear`] | deletion of all pairs, at once or at a scheduled time |

pub(crate) mod clear;
pub(crate) mod iterate;
pub(crate) mod pairs;
pub(crate) mod recache;
