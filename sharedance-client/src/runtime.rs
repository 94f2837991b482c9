//! The differences between the blocking client and the one for tokio: how they wait.

use std::io;

/// The parts of a client that wait. The calls themselves are the same for all runtimes: see `call`.
pub(crate) trait Runtime {
    type Stream: Stream;
    /// A semaphore that limits the number of connections.
    type Turns;
    /// A permit to use a connection, released on drop.
    type Turn;

    fn turns(max: usize) -> Self::Turns;
}

/// The calls on a connected socket that never block.
pub(crate) trait Stream {
    /// Returns 1 if there is something to read, 0 if the peer has closed the connection, and fails with `WouldBlock` if
    /// there is nothing to read.
    fn try_peek(&mut self) -> io::Result<usize>;

    /// Sends some of `bytes`, or fails with `WouldBlock`.
    fn try_send(&mut self, bytes: &[u8]) -> io::Result<usize>;
}
