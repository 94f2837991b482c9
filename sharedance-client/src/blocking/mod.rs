//! The blocking client: the parts that differ from the one for tokio.

mod client;
mod driver;
mod lock;
mod methods;
mod stream;
mod turns;

pub use client::Client;
pub use lock::Lock;
