//! The client for programs that run on tokio, with the same calls, options and errors as the blocking
//! [`Client`](crate::Client).
//!
//! It needs a runtime with I/O and time enabled. If the future of a call is dropped before it is ready, its connection
//! is closed; the request may or may not have been executed.
//!
//! ```no_run
//! use sharedance_client::{Ttl, tokio::Client};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sharedance_client::Error> {
//! let client = Client::builder("sessions.example.org").build()?;
//! client.set("session-17", "user=ada", Ttl::from_secs(1800)).await?;
//! assert_eq!(client.get("session-17").await?.as_deref(), Some(&b"user=ada"[..]));
//! # Ok(())
//! # }
//! ```

mod client;
mod driver;
mod lock;
mod methods;
mod stream;
mod turns;

pub use client::Client;
pub use lock::Lock;
