//! One connection under load: its unsent bytes, and its pending requests with their start times.

use crate::options::{Bench, Dialect};
use std::collections::VecDeque;

use super::Failure;
use super::pacing::Pacing;
use super::scanner::{Answer, Scanner, Unexpected};
use super::stream::{Received, Stream};
use super::target::Target;
use super::workload::{Kind, Workload};

/// The classic dialect's response to a store.
const OK_LEN: usize = b"OK\n".len();

pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) pacing: Pacing,
    /// Whether a new connection follows when all requests have responses.
    pub(super) is_single_use: bool,
    /// Connections of one number continue each other's TLS sessions.
    number: usize,
    dialect: Dialect,
    depth: usize,
    output: Vec<u8>,
    sent_len: usize,
    /// Whether each request has a TLS record of its own, and where in `output` these requests end.
    has_records: bool,
    request_ends: VecDeque<usize>,
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
    pub(super) fn open(target: &Target, number: usize, options: &Bench) -> Result<Connection, Failure> {
        let mut connection = Connection {
            stream: Stream::open(target, number)?,
            pacing: Pacing::Eager,
            is_single_use: false,
            number,
            dialect: options.dialect,
            depth: options.depth as usize,
            has_records: options.separate_records,
            request_ends: VecDeque::new(),
            output: Vec::new(),
            sent_len: 0,
            unanswered: VecDeque::new(),
            scanner: Scanner::new(options.dialect),
            received_len: 0,
        };
        connection.authenticate(target);
        Ok(connection)
    }

    /// Starts again on another socket.
    pub(super) fn reconnect(&mut self, target: &Target) -> Result<(), Failure> {
        self.stream = Stream::open(target, self.number)?;
        self.received_len = 0;
        self.authenticate(target);
        Ok(())
    }

    /// The credentials are sent with the first request.
    fn authenticate(&mut self, target: &Target) {
        if let Some(authentication) = &target.authentication {
            self.output.extend_from_slice(&authentication.request);
            self.scanner.expect(authentication.response);
        }
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
        (self.sent_len < self.output.len() && !self.is_idle()) || self.stream.has_unsent()
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
            self.end_request(kind, from_ns);
        }
    }

    /// Starts to store the keys of these numbers.
    pub(super) fn begin_sets(&mut self, workload: &mut Workload, keys: impl Iterator<Item = u64>, now_ns: u64) {
        for key in keys.take(self.depth) {
            workload.put_set(key, &mut self.output);
            self.end_request(Kind::Set, now_ns);
        }
    }

    fn end_request(&mut self, kind: Kind, from_ns: u64) {
        self.unanswered.push_back((kind, from_ns));
        if self.has_records {
            self.request_ends.push_back(self.output.len());
        }
    }

    pub(super) fn send(&mut self) -> Result<(), Failure> {
        if !self.has_unsent() {
            return Ok(());
        }
        while let Some(&end) = self.request_ends.front() {
            self.sent_len += self.stream.send(&self.output[self.sent_len..end])?;
            if self.sent_len < end {
                return Ok(());
            }
            self.request_ends.pop_front();
        }
        self.sent_len += self.stream.send(&self.output[self.sent_len..])?;
        if self.sent_len == self.output.len() {
            self.output.clear();
            self.sent_len = 0;
        }
        Ok(())
    }

    /// Continues a TLS handshake without a request, and returns whether it is complete.
    pub(super) fn shake_hands(&mut self, room: &mut [u8]) -> Result<bool, Failure> {
        self.stream.send(&[])?;
        let unexpected = |_: &[u8]| Err("the server sent something before the first request".into());
        match self.stream.receive(room, unexpected)? {
            Received::End => Err("the server has closed a connection during the handshake".into()),
            _ => Ok(!self.stream.is_handshaking()),
        }
    }

    /// Receives the available bytes, and calls `answered` for each response, with the time from which its latency
    /// counts.
    pub(super) fn receive(&mut self, room: &mut [u8], mut answered: impl FnMut(Answer, u64)) -> Result<Next, Failure> {
        if self.dialect == Dialect::Classic {
            return self.receive_classic(room, answered);
        }
        let (scanner, unanswered) = (&mut self.scanner, &mut self.unanswered);
        let received = self.stream.receive(room, |bytes| {
            let taken = scanner.take(bytes, |answer| match (unanswered.pop_front(), answer) {
                (Some((Kind::Get, from_ns)), Answer::Hit | Answer::Miss)
                | (Some((Kind::Set, from_ns)), Answer::Stored) => {
                    answered(answer, from_ns);
                    Ok(())
                }
                _ => Err(Unexpected("an answer to another request".into())),
            });
            Ok(taken.map_err(|Unexpected(said)| format!("the server said: {said}"))?)
        })?;
        match received {
            Received::End => Err("the server has closed a connection".into()),
            Received::Some if self.is_single_use && self.is_idle() => Ok(Next::Reconnect),
            _ => Ok(Next::Same),
        }
    }

    /// A response ends with its connection.
    fn receive_classic(&mut self, room: &mut [u8], mut answered: impl FnMut(Answer, u64)) -> Result<Next, Failure> {
        let received_len = &mut self.received_len;
        loop {
            let received = self.stream.receive(room, |bytes| {
                *received_len += bytes.len();
                Ok(())
            })?;
            match received {
                Received::Some => {}
                Received::Nothing => return Ok(Next::Same),
                Received::End => break,
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
