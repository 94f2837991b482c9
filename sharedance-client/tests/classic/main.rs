//! The client for the classic dialect as its users see it, against servers on threads of this process.

// A helper that cannot do its work fails its test.
#![allow(clippy::unwrap_used)]

#[path = "../support/peer.rs"]
mod peer;

mod faults;
mod round_trips;
mod server;

use sharedance_test_support::map;
