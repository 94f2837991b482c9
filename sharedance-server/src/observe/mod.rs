//! What the server records about its work.

mod counters;

pub(crate) use counters::{AllCounters, Counters, Sums};
