//! Credentials, and what a connection may do.
//!
//! - [`Access`]: what one connection may do. [`Access::decide`] is the only place that decides it, for a request of any
//!   dialect, before the request reaches the store.
//! - [`AccessControl`]: what the workers share: the credentials, and the limit on delayed refusals.
//! - [`Credentials`]: the names and passwords of a file, in the format of memcached's `-Y`, with options.

mod auth_file;
mod connection;
mod control;
mod credentials;
mod delays;
mod rights;
mod user;

pub use auth_file::AuthFileError;
pub(crate) use connection::{Access, Refusal};
pub(crate) use control::{AccessControl, Revoked};
pub(crate) use credentials::Credentials;
pub use credentials::CredentialsError;
pub(crate) use delays::{Delay, REFUSAL_DELAY};
pub(crate) use user::LogIn;
