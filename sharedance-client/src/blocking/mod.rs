//! The blocking client: what is peculiar to it. The rest it shares with the one for tokio.

mod client;
mod connection;
mod lock;
mod pool;
mod turns;

pub use client::Client;
pub use lock::Lock;
