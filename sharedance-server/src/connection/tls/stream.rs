//! A TLS connection on a socket.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::failure::TlsFailure;
use super::records::Records;
use super::worker::TlsWorker;
use crate::buffers::{Buffer, Lease};
use crate::connection::close_reason::CloseReason;
use crate::connection::received::Received;

/// The first byte of a record of a handshake. No dialect begins with it.
const HANDSHAKE_RECORD: u8 = 0x16;

/// The most that is kept of an incomplete record, or of a message of the handshake in several records. A record has at most
/// 18 KiB; a chain of client certificates is smaller than 64 KiB.
pub(super) const MAX_KEPT_LEN: usize = 80 * 1024;

/// The least and the most that one call reads.
const MIN_READ_LEN: usize = 4 * 1024;
const MAX_READ_LEN: usize = 64 * 1024;

/// Besides its content, a record has at most this many bytes for 16 KiB.
const RECORD_OVERHEAD: usize = 64;

/// How many bytes of the application one call encrypts and sends.
const BYTES_PER_SEND: usize = 128 * 1024;

/// What a handshake in progress uses outside of the buffers here, at most: measured, with some reserve.
const HANDSHAKE_LEN: usize = 12 * 1024;

/// How many reads one handshake may make in a turn.
const READS_PER_HANDSHAKE: usize = 4;

/// What a handshake waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connection) enum Handshake {
    Done,
    /// More from the peer.
    Input,
    /// Room in the socket.
    SocketRoom,
    /// Its turn: this turn allows no more expensive steps.
    Turn,
}

/// A connection with TLS.
pub(in crate::connection) struct TlsStream {
    socket: OwnedFd,
    /// `None` until the first byte has arrived, so that a peer that only connects costs nothing more; and after an error,
    /// which leaves a session that must not be used.
    records: Option<Box<Records>>,
    is_established: bool,
    /// An incomplete record.
    kept: Buffer,
    /// Decrypted bytes that were not taken yet.
    opened: Buffer,
    unsent: Option<Box<Unsent>>,
    /// The peer has closed the socket, with or without having declared that.
    is_at_end: bool,
    /// The caller has received that end.
    is_end_received: bool,
    /// The end was declared to the peer.
    is_end_sent: bool,
    /// The memory of the handshake.
    handshake: Lease,
}

/// Encrypted bytes that did not fit into the socket.
struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
    /// Returned to the budget together with the memory.
    _lease: Lease,
}

impl AsFd for TlsStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl TlsStream {
    pub(in crate::connection) fn new(socket: OwnedFd) -> TlsStream {
        TlsStream {
            socket,
            records: None,
            is_established: false,
            kept: Buffer::default(),
            opened: Buffer::default(),
            unsent: None,
            is_at_end: false,
            is_end_received: false,
            is_end_sent: false,
            handshake: Lease::default(),
        }
    }

    pub(in crate::connection) fn is_established(&self) -> bool {
        self.is_established
    }

    /// Whether there is input that the poller does not report, because it is no longer in the socket.
    pub(in crate::connection) fn has_buffered_input(&self) -> bool {
        !self.opened.is_empty() || self.is_peer_closed() && !self.is_end_received
    }

    /// The first byte that was decrypted and not received yet.
    pub(in crate::connection) fn first_byte(&self) -> Option<u8> {
        self.opened.unread().first().copied()
    }

    /// Whether a part of what was accepted for sending is not in the socket yet.
    pub(in crate::connection) fn has_unsent(&self) -> bool {
        self.unsent.is_some()
    }

    pub(in crate::connection) fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// Continues the handshake as far as the socket and the turn allow. A socket that fails within it was closed by the
    /// peer, which has not read everything then.
    pub(in crate::connection) fn handshake(&mut self, worker: &mut TlsWorker) -> Result<Handshake, CloseReason> {
        self.continue_handshake(worker).map_err(|reason| match reason {
            CloseReason::SocketFailed(Errno::CONNRESET | Errno::PIPE) => TlsFailure::HandshakeAborted.into(),
            reason => reason,
        })
    }

    fn continue_handshake(&mut self, worker: &mut TlsWorker) -> Result<Handshake, CloseReason> {
        for _ in 0..READS_PER_HANDSHAKE {
            self.flush()?;
            if self.has_unsent() {
                return Ok(Handshake::SocketRoom);
            }
            if self.records.as_ref().is_some_and(|records| !records.is_handshaking()) {
                self.end_handshake(worker);
                return Ok(Handshake::Done);
            }
            if !worker.may_handshake() {
                return Ok(Handshake::Turn);
            }
            match self.read(0, MIN_READ_LEN, worker, |_| {}) {
                Ok(_) if self.is_at_end => return Err(TlsFailure::HandshakeAborted.into()),
                Ok(_) => {}
                Err(CloseReason::SocketFailed(Errno::WOULDBLOCK | Errno::INTR)) => return Ok(Handshake::Input),
                Err(reason) => return Err(reason),
            }
        }
        Ok(Handshake::Input)
    }

    fn end_handshake(&mut self, worker: &mut TlsWorker) {
        self.is_established = true;
        self.handshake = Lease::default();
        worker.counters.tls_handshakes.add(1);
        if self.records.as_ref().is_some_and(|records| records.is_resumed()) {
            worker.counters.tls_resumed.add(1);
        }
    }

    /// Receives decrypted bytes into `buffer`, by one read at most.
    pub(in crate::connection) fn recv(
        &mut self,
        buffer: &mut [u8],
        worker: &mut TlsWorker,
    ) -> Result<Received, CloseReason> {
        let mut filled = 0;
        self.receive(buffer.len(), worker, |bytes| {
            buffer[filled..filled + bytes.len()].copy_from_slice(bytes);
            filled += bytes.len();
        })
    }

    /// Receives up to `room` decrypted bytes, by one read at most, and appends them to `buffer`.
    pub(in crate::connection) fn recv_appending(
        &mut self,
        buffer: &mut Vec<u8>,
        room: usize,
        worker: &mut TlsWorker,
    ) -> Result<Received, CloseReason> {
        self.receive(room, worker, |bytes| buffer.extend_from_slice(bytes))
    }

    /// Passes decrypted bytes to `fill`, at most `room` of them.
    fn receive(
        &mut self,
        room: usize,
        worker: &mut TlsWorker,
        mut fill: impl FnMut(&[u8]),
    ) -> Result<Received, CloseReason> {
        let len = self.opened.len().min(room);
        if len > 0 {
            fill(&self.opened.unread()[..len]);
            self.opened.consume(len);
            return Ok(Received { len, may_have_more: true });
        }
        if self.is_peer_closed() {
            self.is_end_received = true;
            return Ok(Received { len: 0, may_have_more: false });
        }
        let max_len = (room + RECORD_OVERHEAD).clamp(MIN_READ_LEN, MAX_READ_LEN);
        let received = self.read(room, max_len, worker, fill)?;
        if received.len > 0 {
            return Ok(received);
        }
        if self.is_peer_closed() {
            self.is_end_received = true;
            return Ok(received);
        }
        // No record is complete.
        Err(Errno::WOULDBLOCK.into())
    }

    fn is_peer_closed(&self) -> bool {
        self.is_at_end || self.records.as_ref().is_some_and(|records| records.is_peer_closed())
    }

    /// Reads once, up to `max_len` bytes, and decrypts the records that are complete. Passes the first `room` bytes to
    /// `fill`, and keeps the others.
    fn read(
        &mut self,
        room: usize,
        max_len: usize,
        worker: &mut TlsWorker,
        fill: impl FnMut(&[u8]),
    ) -> Result<Received, CloseReason> {
        let read = self.read_records(room, max_len, worker, fill);
        if !matches!(read, Ok(_) | Err(CloseReason::SocketFailed(Errno::WOULDBLOCK | Errno::INTR))) {
            self.records = None;
        }
        read
    }

    fn read_records(
        &mut self,
        room: usize,
        max_len: usize,
        worker: &mut TlsWorker,
        mut fill: impl FnMut(&[u8]),
    ) -> Result<Received, CloseReason> {
        let begin = worker.begin_input(self.kept.unread());
        let (len, _) = recv(&self.socket, &mut worker.input[begin..begin + max_len], RecvFlags::empty())?;
        if len == 0 {
            self.is_at_end = true;
            return Ok(Received { len: 0, may_have_more: false });
        }
        let records = match &mut self.records {
            Some(records) => records,
            None => self.records.insert(begin_session(&mut self.handshake, worker)?),
        };
        let TlsWorker { input, output, budget, .. } = worker;
        let (input, opened) = (&mut input[..begin + len], &mut self.opened);
        let mut filled = 0;
        output.clear();
        let used = records.open(input, output, |payload| -> Result<(), CloseReason> {
            let (fitting, rest) = payload.split_at(payload.len().min(room - filled));
            fill(fitting);
            filled += fitting.len();
            if !rest.is_empty() {
                opened.append(rest, usize::MAX - 1, budget)?;
            }
            Ok(())
        });
        let used = match used {
            Ok(used) => used,
            Err(reason) => {
                // The alert tells the peer why, if it has room for it.
                let _ = send(&self.socket, output.bytes(), SendFlags::NOSIGNAL);
                return Err(reason);
            }
        };
        let rest = &input[used..];
        if rest.len() > MAX_KEPT_LEN {
            return Err(rustls::Error::PeerSentOversizedRecord.into());
        }
        self.kept.replace(rest, budget)?;
        let (is_handshaking, has_output) = (records.is_handshaking(), !output.bytes().is_empty());
        if !self.is_established && (has_output || !is_handshaking) {
            worker.count_handshake();
        }
        if has_output {
            self.send_output(worker)?;
        }
        Ok(Received { len: filled, may_have_more: len == max_len || self.has_buffered_input() })
    }

    /// Encrypts and sends a part of `pieces`, by one call. Returns how many of their bytes were accepted: they are in the
    /// socket, or [unsent](TlsStream::has_unsent).
    pub(in crate::connection) fn send(
        &mut self,
        pieces: &[IoSlice<'_>],
        worker: &mut TlsWorker,
    ) -> Result<usize, CloseReason> {
        self.flush()?;
        if self.has_unsent() {
            return Ok(0);
        }
        let TlsWorker { output, gathered, .. } = worker;
        let records = self.records.as_mut().ok_or(TlsFailure::HandshakeAborted)?;
        output.clear();
        let sealed =
            records.seal(pieces, BYTES_PER_SEND, self.kept.unread_mut(), gathered, output).map_err(TlsFailure::from)?;
        self.send_output(worker)?;
        Ok(sealed)
    }

    /// Sends the worker's output, and keeps what the socket does not take.
    fn send_output(&mut self, worker: &TlsWorker) -> Result<(), CloseReason> {
        let bytes = worker.output.bytes();
        if self.has_unsent() {
            return self.keep_unsent(bytes, worker);
        }
        let sent = send_some(&self.socket, bytes)?;
        if sent == bytes.len() { Ok(()) } else { self.keep_unsent(&bytes[sent..], worker) }
    }

    fn keep_unsent(&mut self, bytes: &[u8], worker: &TlsWorker) -> Result<(), CloseReason> {
        let before = self.unsent.as_ref().map_or(&[][..], |unsent| &unsent.bytes[unsent.sent..]);
        let mut lease = Lease::default();
        lease.grow_to(before.len() + bytes.len(), &worker.budget)?;
        let bytes = [before, bytes].concat();
        self.unsent = Some(Box::new(Unsent { bytes, sent: 0, _lease: lease }));
        Ok(())
    }

    /// Sends more of what is unsent. Returns how many bytes that were.
    pub(in crate::connection) fn flush(&mut self) -> Result<usize, CloseReason> {
        let Some(unsent) = &mut self.unsent else {
            return Ok(0);
        };
        let sent = send_some(&self.socket, &unsent.bytes[unsent.sent..])?;
        unsent.sent += sent;
        if unsent.sent == unsent.bytes.len() {
            self.unsent = None;
        }
        Ok(sent)
    }

    /// Declares, behind everything that was accepted for sending, that nothing more will be sent. A part of that may be
    /// [unsent](TlsStream::has_unsent) then. Further calls have no effect.
    pub(in crate::connection) fn send_end(&mut self, worker: &mut TlsWorker) -> Result<(), CloseReason> {
        let Some(records) = &mut self.records else {
            return Ok(());
        };
        if !self.is_established || std::mem::replace(&mut self.is_end_sent, true) {
            return Ok(());
        }
        worker.output.clear();
        records.seal_end(self.kept.unread_mut(), &mut worker.output)?;
        self.send_output(worker)
    }
}

/// Creates the session of a connection whose first bytes are in the worker's input.
fn begin_session(lease: &mut Lease, worker: &TlsWorker) -> Result<Box<Records>, CloseReason> {
    if worker.input[0] != HANDSHAKE_RECORD {
        return Err(TlsFailure::PlainText.into());
    }
    lease.grow_to(HANDSHAKE_LEN, &worker.budget)?;
    let config = worker.config().ok_or(TlsFailure::HandshakeAborted)?;
    Ok(Box::new(Records::new(config.connection()?)))
}

fn send_some(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    match send(socket, bytes, SendFlags::NOSIGNAL) {
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(0),
        sent => sent,
    }
}
