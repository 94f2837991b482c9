//! The connections of a client to one server, in use or idle, up to the maximum number.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::credentials::Credentials;
use crate::idle::Idle;
use crate::options::Options;
use crate::runtime::{Runtime, Stream};
use crate::servers::Server;
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
    fn unlock_all_at_once(&mut self) -> bool {
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
    fn take(&self) -> Option<Connection<R::Stream>> {
        let (connection, outdated) = self.idle().take(now());
        drop(outdated);
        connection.and_then(|mut connection| connection.is_fit().then_some(connection))
    }

    fn put(&self, connection: Connection<R::Stream>) {
        let outdated = self.idle().put(connection, now());
        drop(outdated);
    }
}

/// The permit to use a connection to a server, and the connection unless a call is using it. On drop, the locks that
/// the connection may hold are released, and the connection is kept for the next use.
pub(crate) struct Lease<R: Runtime> {
    server: Arc<Server<R>>,
    connection: Option<Connection<R::Stream>>,
    _turn: R::Turn,
}

impl<R: Runtime> Lease<R> {
    /// Takes an idle connection, if there is one.
    pub(crate) fn new(server: &Arc<Server<R>>, turn: R::Turn) -> Lease<R> {
        Lease { server: Arc::clone(server), connection: server.pool.take(), _turn: turn }
    }

    pub(crate) fn server(&self) -> &Arc<Server<R>> {
        &self.server
    }

    pub(crate) fn take_connection(&mut self) -> Option<Connection<R::Stream>> {
        self.connection.take()
    }

    /// `connection` is in sync: no response is pending.
    pub(crate) fn return_connection(&mut self, connection: Connection<R::Stream>) {
        self.connection = Some(connection);
    }
}

impl<R: Runtime> Drop for Lease<R> {
    fn drop(&mut self) {
        // Whether or not the call that took a lock succeeded: the next user must not find the lock on the connection.
        if let Some(mut connection) = self.connection.take()
            && connection.unlock_all_at_once()
        {
            self.server.pool.put(connection);
        }
    }
}
