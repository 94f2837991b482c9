//! The public API of the blocking client, against real servers and against peers that misbehave.

// A helper that fails panics, which fails the test.
#![allow(clippy::unwrap_used)]

#[path = "../support/auth_file.rs"]
mod auth_file;
#[cfg(target_os = "linux")]
#[path = "../support/child.rs"]
mod child;
#[path = "../support/memcached.rs"]
mod memcached;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/sharedanced.rs"]
mod sharedanced;

mod backends;
mod batches;
mod credentials;
mod faults;
mod limits;
mod locks;
mod operations;
mod outages;
mod pooling;
mod refresh;
#[cfg(target_os = "linux")]
mod system_calls;
#[cfg(feature = "tracing")]
mod tracing_events;
#[cfg(feature = "serde")]
mod typed;
