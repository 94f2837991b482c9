//! The client for tokio: that its calls are those of the blocking one, and what is peculiar to waiting in tasks.

// A helper that cannot do its work fails its test.
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

/// A client of a server with nothing in it.
fn client() -> (Sharedanced, Client) {
    let server = Sharedanced::start();
    let client = ample(server.address()).build().unwrap();
    (server, client)
}

/// With timeouts that are never reached.
fn ample(address: &str) -> Builder<Client> {
    Client::builder(address).connect_timeout(AMPLE).operation_timeout(AMPLE)
}
