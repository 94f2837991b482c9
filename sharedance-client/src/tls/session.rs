//! One TLS connection of a client without I/O: the plain bytes are on one side, the bytes of the socket on the other.
//!
//! The command `sharedance` includes this file as well: it depends on rustls alone.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error, HandshakeKind};

pub(crate) struct Session {
    /// Large: not inside the connections that use no TLS.
    connection: Box<ClientConnection>,
    /// Received bytes that follow when the decrypted ones are taken: rustls limits how many it keeps.
    held: Vec<u8>,
    has_ended: bool,
}

impl Session {
    pub(crate) fn new(config: &Arc<ClientConfig>, name: &ServerName<'static>) -> Result<Session, Error> {
        let connection = Box::new(ClientConnection::new(Arc::clone(config), name.clone())?);
        Ok(Session { connection, held: Vec::new(), has_ended: false })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the handshake continued an earlier session, or `None` before its end.
    #[allow(dead_code, reason = "only the command and the tests use it")]
    pub(crate) fn is_resumed(&self) -> Option<bool> {
        let kind = self.connection.handshake_kind()?;
        (!self.is_handshaking()).then_some(kind == HandshakeKind::Resumed)
    }

    /// Encrypts some of `bytes`, and returns how many. During the handshake they are kept until its end.
    pub(crate) fn encrypt(&mut self, bytes: &[u8]) -> usize {
        // Writing to rustls's buffer does not fail.
        self.connection.writer().write(bytes).unwrap_or(0)
    }

    /// Whether there are bytes for the socket.
    pub(crate) fn wants_send(&self) -> bool {
        self.connection.wants_write()
    }

    /// Passes bytes for the socket to `send`, which returns how many of them it has sent.
    pub(crate) fn transmit(&mut self, send: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<usize> {
        self.connection.write_tls(&mut Transmitter(send))
    }

    /// Takes bytes from the socket.
    pub(crate) fn absorb(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            match self.connection.read_tls(&mut bytes) {
                // Nothing counts after the peer has ended the connection.
                Ok(0) => {
                    self.has_ended = true;
                    break;
                }
                Ok(_) => self.has_ended |= self.connection.process_new_packets()?.peer_has_closed(),
                Err(_) if self.connection.process_new_packets()?.plaintext_bytes_to_read() > 0 => {
                    self.held.extend_from_slice(bytes);
                    break;
                }
                Err(error) => return Err(Error::General(error.to_string())),
            }
        }
        Ok(())
    }

    /// Moves decrypted bytes to `room`, and returns how many: 0 if the peer has ended the connection, `None` if more
    /// must be received first.
    pub(crate) fn decrypted(&mut self, room: &mut [u8]) -> Result<Option<usize>, Error> {
        loop {
            match self.connection.reader().read(room) {
                Ok(len) => return Ok(Some(len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Ok(Some(0)),
            }
            if self.held.is_empty() {
                return Ok(None);
            }
            let held = std::mem::take(&mut self.held);
            self.absorb(&held)?;
        }
    }

    /// Whether there are decrypted bytes to take.
    #[allow(dead_code, reason = "the command does not use it")]
    pub(crate) fn has_decrypted(&mut self) -> Result<bool, Error> {
        Ok(self.connection.process_new_packets()?.plaintext_bytes_to_read() > 0)
    }

    /// Whether the peer has ended the connection.
    #[allow(dead_code, reason = "the command does not use it")]
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Ends the connection: the peer learns of it by the next bytes that are sent.
    #[allow(dead_code, reason = "the command does not use it")]
    pub(crate) fn close(&mut self) {
        self.connection.send_close_notify();
    }
}

/// Sends each batch of records by one call of the function.
struct Transmitter<F>(F);

impl<F: FnMut(&[IoSlice<'_>]) -> io::Result<usize>> Write for Transmitter<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        (self.0)(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
