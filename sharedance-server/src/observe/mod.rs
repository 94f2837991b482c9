//! What the server records about itself.

mod counters;

pub(crate) use counters::{AllCounters, Counters, Sums};
