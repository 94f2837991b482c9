//! Compares the store with a simple map: random operations, changes of the clocks, restarts, and many threads.
//!
//! Segments have the minimum length, so that they rotate, are compacted and are recycled often. `PROPTEST_CASES` makes
//! it run longer. A test named `invariant_…` checks the invariant of that number in `tests/store/invariants`.

// A test that cannot use its own store fails at once.
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

    /// Also 4, 5, 7, 9 and 12: every restart checks all of them, and at the end all space is freed.
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
