//! Calls as state machines without I/O: they choose the server and the connection, what is sent, and what is repeated.
//!
//! A driver, one for each [`Runtime`], executes the step that [`Call::step`] returns, and passes the result to the next
//! step:
//!
//! ```text
//! Start -> Acquire -> (Connect ->) Send <-> Receive -> Done
//! ```

mod batch;
mod exchange;
mod failover;
mod guarded;
mod sequence;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::lease::Lease;
use crate::pool::Connection;
use crate::runtime::Runtime;
use crate::servers::Server;
use crate::time::Deadline;

pub(crate) use crate::failure::Cause;
pub(crate) use batch::{for_each_server, for_keys};
pub(crate) use failover::{for_key, single};
pub(crate) use guarded::{Held, acquire, acquired};

/// The next step of the driver with the [`Link`] of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait for a permit for the server.
    Acquire,
    /// Connect to the server.
    Connect { timeout: Duration },
    /// Send some of the unsent bytes.
    Send,
    /// Receive into the spare space.
    Receive,
    /// Finish the call.
    Done,
}

/// The result of a [`Step`].
pub(crate) enum Event<R: Runtime> {
    /// There was no step yet.
    Start,
    /// A permit, or `None` if the deadline has passed first.
    Acquired(Option<R::Turn>),
    Connected(Result<R::Stream, Error>),
    /// The number of bytes.
    Sent(Result<usize, Cause>),
    /// The number of bytes; 0 if the peer has closed the connection.
    Received(Result<usize, Cause>),
}

pub(crate) trait Call<R: Runtime> {
    type Output;

    /// Takes the result of the last step and returns the next.
    fn step(&mut self, event: Event<R>) -> Step;

    /// The link for the steps. There is one until the call is done.
    fn link(&mut self) -> &mut Link<R>;

    /// The result of a completed call.
    fn finish(self) -> Self::Output;
}

/// A server, and the connection to it that a call uses.
pub(crate) struct Link<R: Runtime> {
    pub(crate) server: Arc<Server<R>>,
    pub(crate) deadline: Deadline,
    lease: Option<Lease<R>>,
    /// Not in the lease, so that a cancelled call closes it.
    connection: Option<Connection<R::Stream>>,
}

impl<R: Runtime> Link<R> {
    /// The connection to send and to receive on, and the deadline.
    pub(crate) fn connection(&mut self) -> (&mut Connection<R::Stream>, Deadline) {
        (self.connection.as_mut().expect("a call connects before it sends"), self.deadline)
    }
}
