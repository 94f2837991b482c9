//! The server's side of TLS: its certificate, its key, and the configuration of new connections.
//!
//! - [`TlsConfig`]: what new connections use; it can be reloaded.
//! - `files`: reads certificates and keys.
//! - [`TlsError`]: why that is impossible.

mod config;
mod error;
mod files;

pub(crate) use config::TlsConfig;
pub use error::TlsError;
