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
use super::received::Received;
#[cfg(feature = "tls")]
use super::tls::{Handshake, TlsStream, TlsWorker};
use super::unix::UnixTransport;
use super::waiting_for::WaitingFor;
use crate::listen::ListenerKind;

/// How the bytes of a connection are transported.
pub(super) enum Transport {
    /// The bytes are those on the socket.
    Plain(OwnedFd),
    /// The same, on a Unix socket.
    Unix(UnixTransport),
    /// The bytes on the socket are encrypted.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
}

/// What a worker lends to the transports of its connections.
pub(crate) struct TransportContext {
    #[cfg(feature = "tls")]
    pub(crate) tls: TlsWorker,
}

impl TransportContext {
    /// Sets how many expensive steps of handshakes may follow.
    pub(crate) fn allow_handshakes(&mut self, _count: usize) {
        #[cfg(feature = "tls")]
        self.tls.allow_handshakes(_count);
    }

    /// Whether an expensive step of a handshake may follow.
    pub(crate) fn may_handshake(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.may_handshake();
        #[cfg(not(feature = "tls"))]
        false
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Transport::Plain(socket) => socket.as_fd(),
            Transport::Unix(unix) => unix.as_fd(),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.as_fd(),
        }
    }
}

// Only encryption needs what the worker lends.
#[cfg_attr(not(feature = "tls"), allow(unused_variables, clippy::unused_self))]
impl Transport {
    /// The transport of a connection that a listener of this kind has accepted.
    pub(super) fn new(kind: ListenerKind, socket: OwnedFd) -> Transport {
        match kind {
            ListenerKind::Unix => Transport::Unix(UnixTransport::new(socket)),
            #[cfg(feature = "tls")]
            ListenerKind::Tls => Transport::Tls(Box::new(TlsStream::new(socket))),
            _ => Transport::Plain(socket),
        }
    }

    /// What the connection waits for before its first byte has arrived.
    pub(super) fn first_wait(&self) -> WaitingFor {
        match self {
            Transport::Plain(_) | Transport::Unix(_) => WaitingFor::Request,
            #[cfg(feature = "tls")]
            Transport::Tls(_) => WaitingFor::HandshakeInput,
        }
    }

    /// Does what must precede receiving: a handshake, or the sending of bytes that were accepted before. Returns what it
    /// waits for, and how many bytes were sent.
    #[inline]
    pub(super) fn prepare(
        &mut self,
        context: &mut TransportContext,
    ) -> Result<(Option<WaitingFor>, usize), CloseReason> {
        match self {
            Transport::Plain(_) | Transport::Unix(_) => Ok((None, 0)),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) if !stream.is_established() => {
                let waiting_for = match stream.handshake(&mut context.tls)? {
                    Handshake::Done => None,
                    Handshake::Input => Some(WaitingFor::HandshakeInput),
                    Handshake::SocketRoom => Some(WaitingFor::HandshakeRoom),
                    Handshake::Turn => Some(WaitingFor::HandshakeTurn),
                };
                Ok((waiting_for, 0))
            }
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => {
                let sent = stream.flush()?;
                Ok((stream.has_unsent().then_some(WaitingFor::SocketRoom), sent))
            }
        }
    }

    /// Receives into `buffer`.
    ///
    /// # Errors
    /// `WOULDBLOCK` if nothing has arrived; the connection has failed otherwise.
    #[inline]
    pub(super) fn recv(&mut self, buffer: &mut [u8], context: &mut TransportContext) -> Result<Received, CloseReason> {
        match self {
            Transport::Plain(socket) => {
                let room = buffer.len();
                let (len, _) = recv(socket, buffer, RecvFlags::empty())?;
                Ok(Received { len, may_have_more: len >= room })
            }
            Transport::Unix(unix) => unix.recv(buffer),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.recv(buffer, &mut context.tls),
        }
    }

    /// Receives into the spare capacity of `buffer`.
    ///
    /// # Errors
    /// As [`Transport::recv`].
    #[inline]
    pub(super) fn recv_spare(
        &mut self,
        buffer: &mut Vec<u8>,
        context: &mut TransportContext,
    ) -> Result<Received, CloseReason> {
        let room = (buffer.capacity() - buffer.len()).min(BYTES_PER_TURN);
        match self {
            Transport::Plain(socket) => {
                let (_, len) = recv(socket, spare_capacity(buffer), RecvFlags::empty())?;
                Ok(Received { len, may_have_more: len >= room })
            }
            Transport::Unix(unix) => unix.recv_spare(buffer, room),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.recv_appending(buffer, room, &mut context.tls),
        }
    }

    /// Sends a part of `pieces`, of which at least one is not empty, by one call. Returns how many of their bytes were
    /// accepted; 0 if the socket is full.
    ///
    /// # Errors
    /// The connection has failed.
    #[inline]
    pub(super) fn send(
        &mut self,
        pieces: &[IoSlice<'_>],
        context: &mut TransportContext,
    ) -> Result<usize, CloseReason> {
        match self {
            Transport::Plain(socket) => send_pieces(socket, pieces),
            Transport::Unix(unix) => send_pieces(unix, pieces),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.send(pieces, &mut context.tls),
        }
    }

    /// Whether a part of what was accepted for sending is not in the socket yet.
    #[inline]
    pub(super) fn has_unsent(&self) -> bool {
        match self {
            Transport::Plain(_) | Transport::Unix(_) => false,
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.has_unsent(),
        }
    }

    /// A reset is no longer needed: the dialect never needs one, or its response is sent. Until then, received bytes may
    /// stay in the socket.
    #[inline]
    pub(super) fn release_input(&mut self) -> Result<(), CloseReason> {
        match self {
            Transport::Unix(unix) => unix.release_input(),
            _ => Ok(()),
        }
    }

    /// Whether there is input that the poller does not report, because it is no longer in the socket.
    #[inline]
    pub(super) fn has_buffered_input(&self) -> bool {
        match self {
            Transport::Plain(_) | Transport::Unix(_) => false,
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.has_buffered_input(),
        }
    }

    /// Whether the peer has sent more. This costs a system call, which the usual path avoids. Called only where the
    /// connection ends if there is more: it may remove some of it.
    pub(super) fn has_unread_input(&mut self, context: &mut TransportContext) -> bool {
        match self {
            Transport::Plain(socket) => {
                matches!(recv(socket, &mut [0_u8; 1], RecvFlags::PEEK), Ok((1.., _)))
            }
            Transport::Unix(unix) => unix.has_unread_input(),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => {
                matches!(stream.recv(&mut [0_u8; 1], &mut context.tls), Ok(Received { len: 1.., .. }))
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

    /// The first byte that was not received yet, and stays that. `None` if nothing has arrived, or nothing was decrypted.
    pub(super) fn first_byte(&self) -> Option<u8> {
        #[cfg(feature = "tls")]
        if let Transport::Tls(stream) = self {
            return stream.first_byte();
        }
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
    pub(super) fn shut_down_sending(&mut self, context: &mut TransportContext) -> Result<(), CloseReason> {
        self.send_end(context)?;
        Ok(shutdown(self, Shutdown::Write)?)
    }

    /// Receives and discards bytes of any kind, with the help of `scratch`. Returns how many; 0 if the peer sends nothing
    /// more.
    ///
    /// # Errors
    /// As [`Transport::recv`].
    pub(super) fn discard(&self, scratch: &mut [u8]) -> Result<usize, CloseReason> {
        Ok(recv(self, scratch, RecvFlags::empty())?.0)
    }

    /// Whether any end of the connection from now on is a reset.
    pub(super) fn set_reset_at_end(&self, is_reset: bool) -> Result<(), CloseReason> {
        Ok(set_socket_linger(self, is_reset.then_some(Duration::ZERO))?)
    }

    /// Declares, if the transport can, that nothing follows what was accepted for sending. A part of that may be
    /// [unsent](Transport::has_unsent) then. Further calls have no effect.
    #[inline]
    pub(super) fn send_end(&mut self, context: &mut TransportContext) -> Result<(), CloseReason> {
        match self {
            Transport::Plain(_) | Transport::Unix(_) => Ok(()),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.send_end(&mut context.tls),
        }
    }

    /// The socket, without any further message to the peer.
    pub(super) fn into_socket(self) -> OwnedFd {
        match self {
            Transport::Plain(socket) => socket,
            Transport::Unix(unix) => unix.into_socket(),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.into_socket(),
        }
    }
}

/// Sends a part of `pieces`. Returns how many bytes that are; 0 if the socket is full.
#[inline]
fn send_pieces(socket: impl AsFd, pieces: &[IoSlice<'_>]) -> Result<usize, CloseReason> {
    let sent = match pieces {
        [bytes] => send(socket, bytes, SendFlags::NOSIGNAL),
        pieces => sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL),
    };
    match sent {
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(0),
        sent => Ok(sent?),
    }
}
