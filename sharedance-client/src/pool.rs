//! The connections of a client to one server, in use or idle, up to the maximum number.

use std::io::ErrorKind;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::credentials::Credentials;
use crate::idle::Idle;
use crate::options::Options;
use crate::runtime::{Runtime, Stream};
use crate::time::now;
use crate::wire::Wire;

/// A pooled connection. It is not used again after an error, or after a call that was cancelled.
pub(crate) struct Connection<S> {
    pub(crate) stream: S,
    pub(crate) wire: Wire,
}

impl<S: Stream> Connection<S> {
    /// The credentials are sent together with the first request.
    pub(crate) fn new(stream: S, credentials: Option<&Credentials>) -> Connection<S> {
        Connection { stream, wire: Wire::new(credentials) }
    }

    /// Whether the peer has neither closed the connection nor sent bytes that were not requested.
    fn is_fit(&mut self) -> bool {
        if !self.wire.is_idle() {
            return false;
        }
        match self.stream.try_peek() {
            Ok(0) => false,
            Ok(_) => self.wire.is_owed(),
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    /// Releases the locks that the connection may hold, without waiting for the response, and returns whether the
    /// connection can be used again. If it cannot, closing it releases them.
    pub(crate) fn unlock_all_at_once(&mut self) -> bool {
        if !self.wire.is_idle() {
            return false;
        }
        if self.wire.may_hold_lock() {
            self.wire.put_unlock_all();
            let sent = self.stream.try_send(self.wire.unsent());
            self.wire.sent(sent.unwrap_or(0));
        }
        self.wire.is_idle()
    }
}

pub(crate) struct Pool<R: Runtime> {
    idle: Mutex<Idle<Connection<R::Stream>>>,
    pub(crate) turns: R::Turns,
}

impl<R: Runtime> Pool<R> {
    pub(crate) fn new(options: &Options) -> Pool<R> {
        let turns = R::turns(options.max_connections.get());
        Pool { idle: Mutex::new(Idle::new(options.idle_timeout)), turns }
    }

    /// A panic while the mutex is held cannot leave inconsistent contents.
    fn idle(&self) -> MutexGuard<'_, Idle<Connection<R::Stream>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle connection that can be used. Connections that are too old are closed after the mutex is released.
    pub(crate) fn take(&self) -> Option<Connection<R::Stream>> {
        let (connection, outdated) = self.idle().take(now());
        drop(outdated);
        connection.and_then(|mut connection| connection.is_fit().then_some(connection))
    }

    pub(crate) fn put(&self, connection: Connection<R::Stream>) {
        let outdated = self.idle().put(connection, now());
        drop(outdated);
    }
}
