//! The store for tower-sessions: what it promises, and an axum app on it.

// A helper that cannot do its work fails its test.
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
