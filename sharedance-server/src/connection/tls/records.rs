//! Encrypts and decrypts the records of a connection. No I/O.

use std::io::IoSlice;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, WriteTraffic};
use rustls::{Error, HandshakeKind};

/// The most bytes of the application in one record.
const RECORD_LEN: usize = 16 * 1024;

/// Encrypted bytes that are to be sent. Its memory is kept and reused.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    bytes: Vec<u8>,
    len: usize,
}

impl Sealed {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends what `write` writes into the room that it gets, or into more room if it needs more.
    fn append<E>(&mut self, mut write: impl FnMut(&mut [u8]) -> Result<usize, E>) -> Result<(), E>
    where
        E: Insufficient,
    {
        loop {
            match write(&mut self.bytes[self.len..]) {
                Ok(len) => {
                    self.len += len;
                    return Ok(());
                }
                Err(error) => match error.required_len() {
                    Some(required) => self.bytes.resize(self.len + required, 0),
                    None => return Err(error),
                },
            }
        }
    }
}

/// An error that may be one of too little room.
trait Insufficient {
    fn required_len(&self) -> Option<usize>;
}

impl Insufficient for EncodeError {
    fn required_len(&self) -> Option<usize> {
        match self {
            EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            EncodeError::AlreadyEncoded => None,
        }
    }
}

impl Insufficient for EncryptError {
    fn required_len(&self) -> Option<usize> {
        match self {
            EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            EncryptError::EncryptExhausted => None,
        }
    }
}

/// The keys of a connection, and its handshake.
pub(super) struct Records {
    session: UnbufferedServerConnection,
    is_peer_closed: bool,
}

impl Records {
    pub(super) fn new(session: UnbufferedServerConnection) -> Records {
        Records { session, is_peer_closed: false }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Whether the handshake has resumed a session.
    pub(super) fn is_resumed(&self) -> bool {
        self.session.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Whether the peer has declared that it sends nothing more.
    pub(super) fn is_peer_closed(&self) -> bool {
        self.is_peer_closed
    }

    /// Decrypts the complete records of `input`, and passes what they contain to `take`. Appends to `output` what the
    /// protocol has to send. Returns how many bytes at the beginning of `input` were used; the rest is passed again,
    /// followed by more.
    ///
    /// # Errors
    /// The peer violates the protocol. An alert for it is in `output`. Or the error of `take`. After an error nothing else may
    /// be called.
    pub(super) fn open<E: From<Error>>(
        &mut self,
        input: &mut [u8],
        output: &mut Sealed,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut used = 0;
        // Ends: each state either uses input, or takes something from what the session has queued.
        loop {
            let status = self.session.process_tls_records(&mut input[used..]);
            let mut discard = status.discard;
            match status.state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        take(record.payload)?;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(output, |room| data.encode(room))?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.is_peer_closed = true,
                Ok(_) if self.is_peer_closed => return Ok(input.len()),
                Ok(_) => return Ok(used + discard),
                Err(error) => {
                    self.encode_alerts(input, output);
                    return Err(error.into());
                }
            }
            used += discard;
        }
    }

    /// Appends the alert that informs the peer of an error. As long as there is one, the session looks at no input: it would
    /// find the same error again, which it must not.
    fn encode_alerts(&mut self, input: &mut [u8], output: &mut Sealed) {
        while self.session.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(mut data)) = self.session.process_tls_records(input).state
            && encode(output, |room| data.encode(room)).is_ok()
        {}
    }

    /// Encrypts the first bytes of `pieces`, at most `max_len` of them. `input` is what [`Records::open`] has left. Returns
    /// how many bytes were encrypted.
    ///
    /// # Errors
    /// The handshake has not ended, or the keys are used up.
    pub(super) fn seal(
        &mut self,
        pieces: &[IoSlice<'_>],
        max_len: usize,
        input: &mut [u8],
        gathered: &mut Vec<u8>,
        output: &mut Sealed,
    ) -> Result<usize, Error> {
        self.write(input, output, |traffic, output| {
            if let [bytes] = pieces {
                let bytes = &bytes[..bytes.len().min(max_len)];
                seal(traffic, bytes, output)?;
                return Ok(bytes.len());
            }
            let mut sealed = 0;
            gathered.clear();
            for piece in pieces {
                let mut rest = &piece[..piece.len().min(max_len - sealed)];
                sealed += rest.len();
                while !rest.is_empty() {
                    // Whole records are encrypted from where they are; what precedes and follows them shares a record.
                    let whole = if gathered.is_empty() { rest.len() / RECORD_LEN * RECORD_LEN } else { 0 };
                    if whole > 0 {
                        seal(traffic, &rest[..whole], output)?;
                        rest = &rest[whole..];
                    } else {
                        let share = rest.len().min(RECORD_LEN - gathered.len());
                        gathered.extend_from_slice(&rest[..share]);
                        rest = &rest[share..];
                        if gathered.len() == RECORD_LEN {
                            seal(traffic, gathered, output)?;
                            gathered.clear();
                        }
                    }
                }
            }
            seal(traffic, gathered, output)?;
            Ok(sealed)
        })
    }

    /// Appends the message that nothing more will be sent.
    pub(super) fn seal_end(&mut self, input: &mut [u8], output: &mut Sealed) -> Result<(), Error> {
        self.write(input, output, |traffic, output| {
            output.append(|room| traffic.queue_close_notify(room)).map_err(|_| Error::EncryptError)
        })
    }

    fn write<T>(
        &mut self,
        input: &mut [u8],
        output: &mut Sealed,
        write: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>, &mut Sealed) -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            match self.session.process_tls_records(input).state? {
                ConnectionState::WriteTraffic(mut traffic) => return write(&mut traffic, output),
                ConnectionState::EncodeTlsData(mut data) => encode(output, |room| data.encode(room))?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.is_peer_closed = true,
                _ => return Err(Error::HandshakeNotComplete),
            }
        }
    }
}

fn encode(output: &mut Sealed, encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) -> Result<(), Error> {
    output.append(encode).map_err(|_| Error::EncryptError)
}

fn seal(traffic: &mut WriteTraffic<'_, ServerConnectionData>, bytes: &[u8], output: &mut Sealed) -> Result<(), Error> {
    output.append(|room| traffic.encrypt(bytes, room)).map_err(|_| Error::EncryptError)
}
