//! What the pool does with a TLS connection between two calls. Nothing here waits.

use std::io::{self, ErrorKind, IoSlice};

use super::{Session, TlsProblem};

/// The space for what may arrive on an idle connection: tickets of the server, or its end.
const ROOM_LEN: usize = 4096;

/// Returns 1 if there are decrypted bytes, 0 if the peer has ended the connection, and fails with `WouldBlock` if there
/// is neither. What the server sends for the connection itself, for instance tickets, is taken. `peek` does the same for
/// the socket, and `receive` reads from it.
pub(crate) fn peek(
    session: &mut Session,
    peek: impl FnOnce() -> io::Result<usize>,
    receive: impl FnOnce(&mut [u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    if session.has_decrypted().map_err(invalid)? {
        return Ok(1);
    }
    if session.has_ended() || peek()? == 0 {
        return Ok(0);
    }
    let mut room = [0; ROOM_LEN];
    let len = receive(&mut room)?;
    session.absorb(&room[..len]).map_err(invalid)?;
    match session.has_decrypted().map_err(invalid)? {
        true => Ok(1),
        false if session.has_ended() => Ok(0),
        false => Err(ErrorKind::WouldBlock.into()),
    }
}

/// Encrypts and sends some of `bytes`. An error may leave some of them unsent: then the connection cannot be used again.
pub(crate) fn send(
    session: &mut Session,
    bytes: &[u8],
    mut send: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<usize> {
    let len = session.encrypt(bytes);
    while session.wants_send() {
        session.transmit(&mut send)?;
    }
    Ok(len)
}

fn invalid(error: impl Into<TlsProblem>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error.into())
}
