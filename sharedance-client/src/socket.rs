//! Calls on a connected socket that never raise SIGPIPE, and calls that never block, with one system call each.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;

use socket2::Socket;

/// A connection that the peer has closed is reported as an error of the call, not by a signal that ends the host
/// process. On Apple's systems this is an option of the socket, which is set when the socket is created.
#[cfg(all(unix, not(target_vendor = "apple")))]
const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
const NO_SIGNAL: i32 = 0;

/// Sends some of `bytes`; waits for room if the socket is in blocking mode.
pub(crate) fn send(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    socket.send_with_flags(bytes, NO_SIGNAL)
}

/// Sends some of `parts`; waits for room if the socket is in blocking mode.
pub(crate) fn send_vectored(socket: &Socket, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    socket.send_vectored_with_flags(parts, NO_SIGNAL)
}

/// Sends some of `parts`. Fails with `WouldBlock` instead of waiting, in every mode of the socket.
pub(crate) fn try_send_vectored(socket: &Socket, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    without_waiting(socket, |flags| socket.send_vectored_with_flags(parts, NO_SIGNAL | flags))
}

/// Sends some of `bytes`. Fails with `WouldBlock` instead of waiting, in every mode of the socket.
pub(crate) fn try_send(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    without_waiting(socket, |flags| socket.send_with_flags(bytes, NO_SIGNAL | flags))
}

/// Returns 1 if there is something to read, 0 if the peer has closed the connection, and fails with `WouldBlock` if
/// there is nothing to read, in every mode of the socket.
pub(crate) fn try_peek(socket: &Socket) -> io::Result<usize> {
    without_waiting(socket, |flags| socket.recv_with_flags(&mut [MaybeUninit::uninit()], PEEK | flags))
}

#[cfg(unix)]
const PEEK: i32 = libc::MSG_PEEK;
/// `MSG_PEEK` of Winsock.
#[cfg(not(unix))]
const PEEK: i32 = 2;

#[cfg(unix)]
fn without_waiting(_: &Socket, call: impl FnOnce(i32) -> io::Result<usize>) -> io::Result<usize> {
    call(libc::MSG_DONTWAIT)
}

/// This system has no flag for it. If the mode cannot be restored, that error is returned, so that the connection is
/// closed.
#[cfg(not(unix))]
fn without_waiting(socket: &Socket, call: impl FnOnce(i32) -> io::Result<usize>) -> io::Result<usize> {
    socket.set_nonblocking(true)?;
    let outcome = call(0);
    socket.set_nonblocking(false)?;
    outcome
}
