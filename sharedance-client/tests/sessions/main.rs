//! The session store for tower-sessions, and an axum app that uses it.

// A helper that fails panics, which fails the test.
#![allow(clippy::unwrap_used)]

#[path = "../../../examples/axum_sessions.rs"]
#[allow(dead_code)]
mod axum_sessions;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/sharedanced.rs"]
mod sharedanced;

mod app;
mod store;
