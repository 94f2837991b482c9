//! What `sharedanced` listens on: several listeners at once, Unix sockets, sockets of the service manager, and who may
//! connect.

// A test panics when it cannot continue.
#![allow(clippy::unwrap_used)]

mod allow;
mod restart;
mod several;
mod unix;
