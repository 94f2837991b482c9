//! The use of one connection to a server.

use std::sync::Arc;

use crate::pool::Connection;
use crate::runtime::Runtime;
use crate::servers::Server;

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
