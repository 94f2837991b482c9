//! The client for the classic dialect of servers of the first generation: one connection for each request.
//!
//! The dialect has three commands, and the server sets the TTL. Servers of this project support it too; use
//! [`Client`](crate::Client) for them, which is faster and reports failures in more detail.

mod connection;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sharedance_core::protocol::classic::{self, EncodeError};
use sharedance_core::protocol::{DEFAULT_MAX_REQUEST_LEN, Request, Response};

use crate::address::{Address, DEFAULT_PORT};
use crate::error::Error;
use crate::time::in_range;

use connection::Connection;

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_IO_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one server. Cheap to clone, and can be shared between threads.
///
/// Each call opens its own connection, as the classic dialect requires, and closes it.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    address: Address,
    connect_timeout: Duration,
    io_timeout: Duration,
    max_request_len: usize,
}

impl Client {
    /// Returns a builder of a client for the server at `address`: `host`, `host:port`, `[::1]:port` or `unix:/path`.
    /// The default port is 1042.
    pub fn builder(address: impl Into<String>) -> Builder {
        Builder {
            address: address.into(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            io_timeout: DEFAULT_IO_TIMEOUT,
            max_request_len: DEFAULT_MAX_REQUEST_LEN,
        }
    }

    /// Stores `value` under `key` for the server's expiration time, and replaces an existing value. When this returns,
    /// the server has acknowledged it.
    ///
    /// An empty value is stored, but [`fetch`](Client::fetch) cannot distinguish it from a missing one.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn store(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let (connection, response) = self.exchange(&Request::Store { key, value })?;
        match response {
            Response::Stored => Ok(()),
            Response::Failed => Err(connection.refused(None)),
            _ => Err(connection.foreign()),
        }
    }

    /// Returns the value of `key`, or `None` if there is no value or an empty one.
    ///
    /// The dialect does not send the length of a value: if a server or a proxy closes the connection early and orderly,
    /// the received part is returned as the whole value. A connection that is *reset* is an error.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn fetch(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let (connection, response) = self.exchange(&Request::Fetch { key })?;
        match response {
            Response::Value(value) => Ok(Some(value)),
            Response::NotFound => Ok(None),
            _ => Err(connection.foreign()),
        }
    }

    /// Deletes `key`, and returns whether it existed.
    ///
    /// In this dialect the server closes the connection without a response both for a missing pair and for a delete
    /// that it could not execute: both return `false`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn delete(&self, key: &[u8]) -> Result<bool, Error> {
        let (connection, response) = self.exchange(&Request::Delete { key })?;
        match response {
            Response::Deleted => Ok(true),
            Response::NotFound => Ok(false),
            _ => Err(connection.foreign()),
        }
    }

    fn exchange(&self, request: &Request<'_>) -> Result<(Connection<'_>, Response<Vec<u8>>), Error> {
        let shared = &*self.shared;
        let value = match *request {
            Request::Store { value, .. } => value,
            _ => &[],
        };
        let too_large = |len| Error::TooLarge { len, max: shared.max_request_len };
        let header = classic::encode_header(request).map_err(|error| match error {
            EncodeError::Key(error) => Error::Key(error),
            _ => too_large(value.len() as u64),
        })?;
        let parts = [header.as_bytes(), request.key(), value];
        let request_len = parts.iter().map(|part| part.len() as u64).sum();
        if request_len > shared.max_request_len as u64 {
            return Err(too_large(request_len));
        }

        let mut connection = Connection::open(&shared.address, shared.connect_timeout, shared.io_timeout)?;
        connection.send(parts)?;
        let response = connection.receive(request, shared.max_request_len)?;
        Ok((connection, response))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.shared.address.to_string())
            .field("connect_timeout", &self.shared.connect_timeout)
            .field("io_timeout", &self.shared.io_timeout)
            .field("max_request_len", &self.shared.max_request_len)
            .finish()
    }
}

/// Configures a [`Client`]. Timeouts are limited to the range from one millisecond to one day.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    address: String,
    connect_timeout: Duration,
    io_timeout: Duration,
    max_request_len: usize,
}

impl Builder {
    /// The timeout for opening a connection, for all addresses of the server's name together; 1 s by default. The
    /// addresses are tried in turn. Each may use an equal part of the remaining time, so that an unresponsive address
    /// leaves time for the next one.
    ///
    /// The time that the system's resolver needs is not included; it has its own limits.
    pub fn connect_timeout(mut self, timeout: Duration) -> Builder {
        self.connect_timeout = timeout;
        self
    }

    /// The timeout for sending a request, and again for receiving its response; 5 s by default. It starts again only
    /// after each transferred mebibyte: a server that sends single bytes cannot delay a call for long, but 32 MiB may
    /// take longer on a slow connection. So a call takes at most twice this time, plus this time for each mebibyte,
    /// plus the connect timeout.
    pub fn io_timeout(mut self, timeout: Duration) -> Builder {
        self.io_timeout = timeout;
        self
    }

    /// The maximum length of a request in bytes: header, key and value together; 32 MiB by default, like the server's
    /// option `--maxreadsize`. A larger request is refused before it is sent, and a larger value is not received.
    pub fn max_request_len(mut self, max: usize) -> Builder {
        self.max_request_len = max;
        self
    }

    /// Returns the client. It does not connect yet.
    ///
    /// # Errors
    /// [`Error::Address`] if the address cannot be parsed.
    pub fn build(self) -> Result<Client, Error> {
        let shared = Shared {
            address: Address::parse(&self.address, DEFAULT_PORT)?,
            connect_timeout: in_range(self.connect_timeout),
            io_timeout: in_range(self.io_timeout),
            max_request_len: self.max_request_len,
        };
        Ok(Client { shared: Arc::new(shared) })
    }
}
