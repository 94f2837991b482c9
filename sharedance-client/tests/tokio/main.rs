//! The client for tokio: its calls work like those of the blocking client; and cancelling, which only tasks have.

// A helper that fails panics, which fails the test.
#![allow(clippy::unwrap_used)]

#[cfg(target_os = "linux")]
#[path = "../support/child.rs"]
mod child;
#[path = "../support/memcached.rs"]
mod memcached;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/sharedanced.rs"]
mod sharedanced;

mod cancelling;
mod faults;
mod operations;
#[cfg(target_os = "linux")]
mod system_calls;

use peer::AMPLE;
use sharedance_client::Builder;
use sharedance_client::tokio::Client;
use sharedanced::Sharedanced;

/// A client of an empty server.
fn client() -> (Sharedanced, Client) {
    let server = Sharedanced::start();
    let client = ample(server.address()).build().unwrap();
    (server, client)
}

/// A builder with timeouts that are never reached.
fn ample(address: &str) -> Builder<Client> {
    Client::builder(address).connect_timeout(AMPLE).operation_timeout(AMPLE)
}
