//! Who may do what: credentials, prefixes, read-only users, administrators, listeners.
//!
//! - `matrix`: every combination of listener, dialect, credentials and operation. The expected result of each cell follows
//!   from the rules in `rights`, not from a list, and the response to what is allowed is that of a server without credentials.
//! - `retrievals`: which keys of a retrieval with several keys are returned and touched.
//! - `credentials`: how a connection sends them, in every form and in pieces, and what happens when they change.
//! - `secrets`: nothing that the server writes contains a password, a name, a key or a value.

// A test panics when it cannot continue.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "tls")]
#[allow(dead_code)]
#[path = "../encryption/certificates.rs"]
mod certificates;
mod credentials;
#[cfg(feature = "tls")]
mod encryption;
mod matrix;
mod operations;
mod retrievals;
mod rights;
mod secrets;
mod site;
