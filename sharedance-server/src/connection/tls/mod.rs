//! TLS on a connection.
//!
//! - [`TlsStream`]: the socket, and the bytes that wait on either side of the encryption. It keeps an incomplete record,
//!   decrypted bytes that were not taken yet, and encrypted bytes that the socket did not take, all of them within the
//!   budget. Between requests it keeps none of them.
//! - `records`: encrypts and decrypts records; no I/O.
//! - [`TlsWorker`]: the buffers that the connections of a worker share, and the configuration of new connections.
//! - [`TlsFailure`]: why a connection has failed.

mod failure;
mod records;
mod stream;
mod worker;

pub(super) use failure::TlsFailure;
pub(super) use stream::{Handshake, TlsStream};
pub(crate) use worker::TlsWorker;
