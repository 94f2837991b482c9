//! The space of a store with a limit: dead space is reused, failed deletions are retried, and small limits work.

// A test that cannot use its own files fails at once.
#![allow(clippy::unwrap_used)]

mod dead;
mod deletions;
mod small;

use sharedance_test_support::scratch;

use std::time::Duration;

use sharedance_core::clock::ManualClock;
use sharedance_core::store::{Store, StoreError, Ttl};

/// Writes values of `len` bytes under keys from `first` on until one is refused. Returns how many were stored.
fn fill(store: &Store, first: u32, len: usize, ttl: Ttl) -> u32 {
    let is_stored = |key: &u32| match store.set_with_ttl(key.to_be_bytes(), vec![*key as u8; len], ttl) {
        Ok(()) => true,
        Err(StoreError::Full) => false,
        Err(error) => panic!("{error}"),
    };
    (first..).take_while(is_stored).count() as u32
}

/// Runs as much maintenance as maintenance threads without pauses do in a second.
fn maintain_for_a_second(store: &Store, hand: &ManualClock) {
    for _ in 0..10 {
        while store.maintain(1_024).unwrap().pending {}
        hand.advance(Duration::from_millis(100));
    }
}
