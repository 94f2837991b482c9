//! Helpers that several tests of the project share. They panic when a test cannot continue.

#![allow(missing_docs, clippy::unwrap_used)]

pub mod chance;
pub mod layout;
pub mod map;
pub mod naive;
pub mod scratch;
pub mod server;
pub mod talk;
pub mod vectors;
