//! The same client for programs that run on tokio: the same calls, options and errors as the blocking
//! [`Client`](crate::Client), to be awaited.
//!
//! It needs a runtime with I/O and time enabled. A call that is dropped before it has ended costs its connection, and
//! nothing else: what it sent may or may not have been executed.
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
mod stream;
mod turns;

pub use client::Client;
pub use lock::Lock;
