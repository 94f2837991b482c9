//! The real server over TLS: what clients get, what hostile peers cost, and how certificates are replaced.
//!
//! All certificates are made at run time. `ENCRYPTION_IDLE_HANDSHAKES=10000` is a longer run of one test.

#![allow(clippy::unwrap_used)]

mod certificates;
mod dialects;
mod foreign;
mod handshakes;
mod hostile;
mod limits;
mod reload;
mod site;
