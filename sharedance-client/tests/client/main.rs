//! The client as its users see it, against servers on threads of this process.

// A helper that cannot do its work fails its test.
#![allow(clippy::unwrap_used)]

mod faults;
mod round_trips;
mod server;
