//! A Unix socket that can be reset.
//!
//! The end of a Unix socket is a reset for the peer if, and only if, input is unread; the option that makes it one on a
//! port has no effect. So the input that was received last stays in the socket until the dialect is known not to need a
//! reset, or its response is sent.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::io::ioctl_fionread;
use rustix::net::{RecvFlags, recv};

use super::close_reason::CloseReason;
use super::received::Received;

/// Enough for the usual request in one call.
const CONSUMED_AT_ONCE: usize = 4096;

/// The transport of a connection on a Unix socket.
pub(super) struct UnixTransport {
    socket: OwnedFd,
    /// How many bytes were received and are still in the socket.
    kept: u32,
    is_keeping: bool,
}

impl AsFd for UnixTransport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl UnixTransport {
    pub(super) fn new(socket: OwnedFd) -> UnixTransport {
        UnixTransport { socket, kept: 0, is_keeping: true }
    }

    /// Receives into `buffer`.
    #[inline]
    pub(super) fn recv(&mut self, buffer: &mut [u8]) -> Result<Received, CloseReason> {
        let room = buffer.len();
        if !self.is_keeping {
            let (len, _) = recv(&self.socket, buffer, RecvFlags::empty())?;
            return Ok(Received { len, may_have_more: len >= room });
        }
        self.consume()?;
        let (len, _) = recv(&self.socket, &mut *buffer, RecvFlags::PEEK)?;
        // A buffer is never that long.
        self.kept = u32::try_from(len).unwrap_or(u32::MAX);
        Ok(Received { len, may_have_more: len >= room })
    }

    /// Receives into the spare capacity of `buffer`, and keeps nothing: this is a part of an upload. Its client expects a
    /// response, and takes an end for a failure.
    pub(super) fn recv_spare(&mut self, buffer: &mut Vec<u8>, room: usize) -> Result<Received, CloseReason> {
        self.consume()?;
        let (_, len) = recv(&self.socket, spare_capacity(buffer), RecvFlags::empty())?;
        Ok(Received { len, may_have_more: len >= room })
    }

    /// From now on an end is one in order, and nothing is kept.
    pub(super) fn release_input(&mut self) -> Result<(), CloseReason> {
        self.is_keeping = false;
        self.consume()
    }

    /// Whether there is more input than what is kept.
    pub(super) fn has_unread_input(&self) -> bool {
        ioctl_fionread(&self.socket).is_ok_and(|len| len > self.kept.into())
    }

    pub(super) fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// Removes what is kept.
    fn consume(&mut self) -> Result<(), CloseReason> {
        let mut buffer = [0; CONSUMED_AT_ONCE];
        while self.kept > 0 {
            let len = buffer.len().min(self.kept as usize);
            // The socket has that many bytes: no other thread reads from it.
            let (consumed, _) = recv(&self.socket, &mut buffer[..len], RecvFlags::empty())?;
            self.kept = if consumed == 0 { 0 } else { self.kept.saturating_sub(consumed as u32) };
        }
        Ok(())
    }
}
