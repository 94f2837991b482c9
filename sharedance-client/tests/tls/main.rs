//! Connections with TLS, of the blocking client and of the one for tokio, to real servers and to peers that misbehave.

// A helper that fails panics, which fails the test.
#![allow(clippy::unwrap_used)]

#[path = "../support/auth_file.rs"]
mod auth_file;
#[path = "../support/certificates.rs"]
mod certificates;
#[cfg(target_os = "linux")]
#[path = "../support/child.rs"]
mod child;
#[path = "../support/memcached.rs"]
mod memcached;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/sharedanced.rs"]
mod sharedanced;

mod clients;
mod connections;
mod handshakes;
mod peer_with_tls;
#[cfg(target_os = "linux")]
mod real_servers;
mod sharedanced_with_tls;
