//! What several of the project's tests use. A function here panics where a test cannot go on.

#![allow(missing_docs, clippy::unwrap_used)]

pub mod chance;
pub mod layout;
pub mod map;
pub mod naive;
pub mod scratch;
pub mod server;
pub mod talk;
pub mod vectors;
