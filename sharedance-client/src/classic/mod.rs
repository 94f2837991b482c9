//! For servers of the first generation: the classic dialect, one connection a request.
//!
//! It knows three commands, and one TTL, which is the server's. A server of this project understands it too; what its
//! [`Client`](crate::Client) offers costs less and tells more.

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

/// A client of one server. Cheap to clone, and to be shared between threads as it is.
///
/// Each call opens a connection of its own, which is what the classic dialect asks for, and closes it.
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
    /// Starts to describe a client of the server at `address`: `host`, `host:port`, `[::1]:port` or `unix:/path`.
    /// The port is 1042 where none is named.
    pub fn builder(address: impl Into<String>) -> Builder {
        Builder {
            address: address.into(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            io_timeout: DEFAULT_IO_TIMEOUT,
            max_request_len: DEFAULT_MAX_REQUEST_LEN,
        }
    }

    /// Stores `value` under `key` for the server's expiration time, and replaces what is there. When this returns, the
    /// server has acknowledged it.
    ///
    /// An empty value is stored, but [`fetch`](Client::fetch) cannot tell it from a missing one.
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

    /// The value that is stored under `key`, or `None` if there is none, or an empty one.
    ///
    /// The dialect has no length in front of a value: where a server, or something between, ends the connection early
    /// and in good order, what has arrived is taken for the whole. A connection that *breaks* is an error.
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

    /// Deletes `key`, and says whether it was there.
    ///
    /// The dialect answers a delete of a missing pair by closing the connection, and so it does one that the server
    /// could not execute: both are `false`.
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

/// Describes a [`Client`]. Timeouts below a millisecond count as one, those above a day as a day.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    address: String,
    connect_timeout: Duration,
    io_timeout: Duration,
    max_request_len: usize,
}

impl Builder {
    /// The time for opening a connection, with all the addresses of the server's name together; 1 s by default. They
    /// are tried in turn, and each may use an equal part of what is left, so that one that swallows everything does not
    /// keep the client from the next.
    ///
    /// The system's resolver, which turns the name into addresses, has its own limits, which come on top.
    pub fn connect_timeout(mut self, timeout: Duration) -> Builder {
        self.connect_timeout = timeout;
        self
    }

    /// The time for sending a request, and again for its answer; 5 s by default. It starts anew with each mebibyte that
    /// has been moved, and with nothing less: a server that sends a byte now and then holds nobody, while 32 MiB may
    /// take their time on a slow line. So a call takes at most this time twice, plus once for each mebibyte, plus the
    /// connect timeout.
    pub fn io_timeout(mut self, timeout: Duration) -> Builder {
        self.io_timeout = timeout;
        self
    }

    /// The largest request in bytes, header, key and value together; 32 MiB by default, as the server's own option
    /// `--maxreadsize`. What is larger is refused before it is sent, and a value that is larger is not received.
    pub fn max_request_len(mut self, max: usize) -> Builder {
        self.max_request_len = max;
        self
    }

    /// The client. It does not connect yet.
    ///
    /// # Errors
    /// [`Error::Address`] where the address cannot be understood.
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
