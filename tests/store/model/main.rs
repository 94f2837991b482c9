//! The store against a naive map: random operations, turned clocks, restarts; and many threads at once.
//!
//! Segments are as short as they can be, so that everything rotates, is carried forward and is recycled.
//! `PROPTEST_CASES` makes it run longer. A test that is named `invariant_…` holds the store to the invariant of that
//! number: `invariants.rs` lists them all.

// A test that cannot use its own store is to fail at once.
#![allow(clippy::unwrap_used)]

mod ops;
mod pair;
mod strategies;
mod threads;

use pair::Pair;
use proptest::prelude::*;
use sharedance_test_support::{naive, scratch};
use strategies::{durabilities, ops};

fn cases(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(cases), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(60))]

    /// Also 4, 5, 7, 9 and 12: every check is made at every restart, and all room comes back at the end.
    #[test]
    fn invariant_01_any_order_of_operations_equals_the_model(
        ops in prop::collection::vec(ops(), 1..160),
        durability in durabilities(),
    ) {
        let mut pair = Pair::promising(durability);
        for (i, op) in ops.into_iter().enumerate() {
            pair.apply(op);
            if i % 8 == 0 {
                pair.check();
            }
        }
        pair.check();
        pair.wind_up();
    }
}
