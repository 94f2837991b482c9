//! The public API of the client for the classic dialect, against servers on threads of this process.

// A helper that fails panics, which fails the test.
#![allow(clippy::unwrap_used)]

#[path = "../support/peer.rs"]
mod peer;

mod faults;
mod round_trips;
mod server;

use sharedance_test_support::map;
