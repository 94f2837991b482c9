//! One connection under load: its unsent bytes, and its pending requests with their start times.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::options::Dialect;

use super::Failure;
use super::pacing::Pacing;
use super::scanner::{Answer, Scanner, Unexpected};
use super::workload::{Kind, Workload};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The classic dialect's response to a store.
const OK_LEN: usize = b"OK\n".len();

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) pacing: Pacing,
    dialect: Dialect,
    depth: usize,
    output: Vec<u8>,
    sent_len: usize,
    /// The pending requests, the oldest first.
    unanswered: VecDeque<(Kind, u64)>,
    scanner: Scanner,
    /// The bytes of the only response of the classic dialect.
    received_len: usize,
}

/// The state of a connection after a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The connection stays open.
    Same,
    /// The classic exchange is complete: the next one needs a new connection.
    Reconnect,
}

impl Connection {
    pub(super) fn open(server: SocketAddr, dialect: Dialect, depth: usize) -> Result<Connection, Failure> {
        Ok(Connection {
            stream: connect(server)?,
            pacing: Pacing::Eager,
            dialect,
            depth,
            output: Vec::new(),
            sent_len: 0,
            unanswered: VecDeque::new(),
            scanner: Scanner::new(dialect),
            received_len: 0,
        })
    }

    /// Starts again on another socket.
    pub(super) fn reconnect(&mut self, server: SocketAddr) -> Result<(), Failure> {
        self.stream = connect(server)?;
        self.received_len = 0;
        Ok(())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// When the next request is due, if that depends on time.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        let has_room = self.unanswered.len() < self.depth;
        has_room.then(|| self.pacing.next_due_ns()).flatten()
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.sent_len < self.output.len()
    }

    /// Starts as many requests as are due and as fit: no request before all earlier ones have responses, unless
    /// requests are due at fixed times.
    pub(super) fn begin_due(&mut self, workload: &mut Workload, now_ns: u64) {
        if matches!(self.pacing, Pacing::Eager) && !self.is_idle() {
            return;
        }
        while self.unanswered.len() < self.depth
            && let Some(from_ns) = self.pacing.take(now_ns)
        {
            let kind = workload.put_next(&mut self.output);
            self.unanswered.push_back((kind, from_ns));
        }
    }

    /// Starts to store the keys of these numbers.
    pub(super) fn begin_sets(&mut self, workload: &mut Workload, keys: impl Iterator<Item = u64>, now_ns: u64) {
        for key in keys.take(self.depth) {
            workload.put_set(key, &mut self.output);
            self.unanswered.push_back((Kind::Set, now_ns));
        }
    }

    pub(super) fn send(&mut self) -> Result<(), Failure> {
        while self.has_unsent() {
            match self.stream.write(&self.output[self.sent_len..]) {
                Ok(len) => self.sent_len += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.output.clear();
        self.sent_len = 0;
        Ok(())
    }

    /// Receives the available bytes, and calls `answered` for each response, with the time from which its latency
    /// counts.
    pub(super) fn receive(&mut self, room: &mut [u8], mut answered: impl FnMut(Answer, u64)) -> Result<Next, Failure> {
        if self.dialect == Dialect::Classic {
            return self.receive_classic(room, answered);
        }
        let Some(len) = self.read(room)? else {
            return Ok(Next::Same);
        };
        if len == 0 {
            return Err("the server has closed a connection".into());
        }
        let unanswered = &mut self.unanswered;
        let taken = self.scanner.take(&room[..len], |answer| match (unanswered.pop_front(), answer) {
            (Some((Kind::Get, from_ns)), Answer::Hit | Answer::Miss) | (Some((Kind::Set, from_ns)), Answer::Stored) => {
                answered(answer, from_ns);
                Ok(())
            }
            _ => Err(Unexpected("an answer to another request".into())),
        });
        taken.map_err(|Unexpected(said)| format!("the server said: {said}"))?;
        Ok(Next::Same)
    }

    /// The received bytes; `None` if there are none yet.
    fn read(&mut self, room: &mut [u8]) -> Result<Option<usize>, Failure> {
        match self.stream.read(room) {
            Ok(len) => Ok(Some(len)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A response ends with its connection.
    fn receive_classic(&mut self, room: &mut [u8], mut answered: impl FnMut(Answer, u64)) -> Result<Next, Failure> {
        loop {
            match self.read(room)? {
                None => return Ok(Next::Same),
                Some(0) => break,
                Some(len) => self.received_len += len,
            }
        }
        let answer = match (self.unanswered.pop_front(), self.received_len) {
            (Some((Kind::Set, from_ns)), OK_LEN) => (Answer::Stored, from_ns),
            (Some((Kind::Get, from_ns)), 0) => (Answer::Miss, from_ns),
            (Some((Kind::Get, from_ns)), _) => (Answer::Hit, from_ns),
            _ => return Err("the server closed a connection without storing what it was given".into()),
        };
        answered(answer.0, answer.1);
        Ok(Next::Reconnect)
    }
}

/// A connection without a TIME_WAIT state when it is closed: tens of thousands of them would exhaust the ports.
fn connect(server: SocketAddr) -> Result<TcpStream, Failure> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    socket.connect_timeout(&server.into(), CONNECT_TIMEOUT)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
