//! The transport of a connection. Every byte that a connection receives or sends passes it.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown};

use super::close_reason::CloseReason;
use super::context::BYTES_PER_TURN;

/// How the bytes of a connection are transported.
pub(super) enum Transport {
    /// The bytes are those on the socket.
    Plain(OwnedFd),
}

/// The result of receiving.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    /// How many bytes were received; 0 if the peer sends nothing more.
    pub(super) len: usize,
    /// Whether more may have arrived. A read that does not fill the buffer has emptied the socket.
    pub(super) may_have_more: bool,
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Transport::Plain(socket) => socket.as_fd(),
        }
    }
}

impl Transport {
    /// Receives into `buffer`.
    ///
    /// # Errors
    /// `WOULDBLOCK` if nothing has arrived; the connection has failed otherwise.
    #[inline]
    pub(super) fn recv(&mut self, buffer: &mut [u8]) -> Result<Received, CloseReason> {
        match self {
            Transport::Plain(socket) => {
                let room = buffer.len();
                let (len, _) = recv(socket, buffer, RecvFlags::empty())?;
                Ok(Received { len, may_have_more: len >= room })
            }
        }
    }

    /// Receives into the spare capacity of `buffer`.
    ///
    /// # Errors
    /// As [`Transport::recv`].
    #[inline]
    pub(super) fn recv_spare(&mut self, buffer: &mut Vec<u8>) -> Result<Received, CloseReason> {
        match self {
            Transport::Plain(socket) => {
                let room = (buffer.capacity() - buffer.len()).min(BYTES_PER_TURN);
                let (_, len) = recv(socket, spare_capacity(buffer), RecvFlags::empty())?;
                Ok(Received { len, may_have_more: len >= room })
            }
        }
    }

    /// Sends `pieces`, which are not empty, by one call. Returns how many bytes were accepted, which is 0 if the socket is full.
    ///
    /// # Errors
    /// The connection has failed.
    #[inline]
    pub(super) fn send(&mut self, pieces: &[IoSlice<'_>]) -> Result<usize, CloseReason> {
        match self {
            Transport::Plain(socket) => {
                let sent = match pieces {
                    [bytes] => send(socket, bytes, SendFlags::NOSIGNAL),
                    pieces => sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL),
                };
                match sent {
                    Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(0),
                    sent => Ok(sent?),
                }
            }
        }
    }

    /// Whether the peer has sent more. This costs a system call, which the usual path avoids. Called only where the
    /// connection ends if there is more: it may remove some of it.
    pub(super) fn has_unread_input(&mut self) -> bool {
        match self {
            Transport::Plain(socket) => {
                matches!(recv(socket, &mut [0_u8; 1], RecvFlags::PEEK), Ok((1.., _)))
            }
        }
    }

    /// Returns an error if the connection has failed, and receives nothing.
    pub(super) fn check(&self) -> Result<(), CloseReason> {
        match recv(self, &mut [0_u8; 1], RecvFlags::PEEK) {
            Ok(_) | Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The first byte on the socket, which stays there. `None` if nothing has arrived.
    pub(super) fn first_byte(&self) -> Option<u8> {
        let mut byte = [0];
        matches!(recv(self, &mut byte, RecvFlags::PEEK), Ok((1.., _))).then_some(byte[0])
    }

    /// The address of the peer, for the log.
    pub(super) fn peer(&self) -> String {
        let address = rustix::net::getpeername(self).ok().and_then(|address| address.map(SocketAddr::try_from));
        match address {
            Some(Ok(address)) => address.to_string(),
            _ => "a Unix socket".to_owned(),
        }
    }

    /// Ends the sending side.
    pub(super) fn shut_down_sending(&mut self) -> Result<(), CloseReason> {
        Ok(shutdown(self, Shutdown::Write)?)
    }

    /// Receives and discards bytes of any kind, with the help of `scratch`. Returns how many; 0 if the peer sends nothing
    /// more.
    ///
    /// # Errors
    /// As [`Transport::recv`].
    pub(super) fn discard(&mut self, scratch: &mut [u8]) -> Result<usize, CloseReason> {
        Ok(recv(self, scratch, RecvFlags::empty())?.0)
    }

    /// Whether any end of the connection from now on is a reset.
    pub(super) fn set_reset_at_end(&self, is_reset: bool) -> Result<(), CloseReason> {
        Ok(set_socket_linger(self, is_reset.then_some(Duration::ZERO))?)
    }

    /// The socket, without any further message to the peer.
    pub(super) fn into_socket(self) -> OwnedFd {
        match self {
            Transport::Plain(socket) => socket,
        }
    }
}
