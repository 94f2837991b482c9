//! Commands on one connection to one server: the connection is acquired or opened, and replaced once if it turns out to
//! have ended while it was idle.

use std::sync::Arc;

use crate::command::Command;
use crate::error::{Error, Phase};
use crate::failure::Failure;
use crate::lease::Lease;
use crate::pipeline::{Outputs, Pipeline, Progress};
use crate::pool::Connection;
use crate::runtime::Runtime;
use crate::servers::Server;
use crate::time::Deadline;
use crate::trace;

use super::{Cause, Event, Link, Step};

pub(super) struct Exchange<R: Runtime, C: Command> {
    pub(super) link: Link<R>,
    pipeline: Pipeline<C>,
    /// Whether the connection was used before: the server may have closed it meanwhile.
    is_reused: bool,
    received_len: usize,
    failure: Option<Error>,
}

/// A completed exchange.
pub(super) struct Finished<R: Runtime, C: Command> {
    pub(super) commands: Vec<C>,
    /// The lease, with the connection if that can be used again.
    pub(super) lease: Option<Lease<R>>,
    /// The responses in the order of the commands. If the connection is out of sync, the last one is the rejection that
    /// caused it, and the responses after it are missing.
    pub(super) outcome: Result<Outputs<C>, Error>,
}

impl<R: Runtime, C: Command> Exchange<R, C> {
    /// On a connection from the pool, or a new one.
    pub(super) fn new(server: Arc<Server<R>>, commands: Vec<C>, deadline: Deadline) -> Exchange<R, C> {
        let pipeline = Pipeline::new(commands, server.options.max_request_len);
        let link = Link { server, deadline, lease: None, connection: None };
        Exchange { link, pipeline, is_reused: false, received_len: 0, failure: None }
    }

    /// On the connection of `lease` only.
    pub(super) fn on(mut lease: Lease<R>, commands: Vec<C>, deadline: Deadline) -> Exchange<R, C> {
        let mut exchange = Exchange::new(Arc::clone(lease.server()), commands, deadline);
        exchange.link.connection = lease.take_connection();
        exchange.link.lease = Some(lease);
        exchange
    }

    pub(super) fn step(&mut self, event: Event<R>) -> Step {
        let outcome = match event {
            Event::Start => self.start(),
            Event::Acquired(turn) => self.acquired(turn),
            Event::Connected(stream) => self.connected(stream),
            Event::Sent(sent) => self.sent(sent),
            Event::Received(received) => self.received(received),
        };
        outcome.unwrap_or_else(|error| {
            self.link.connection = None;
            self.failure = Some(error);
            Step::Done
        })
    }

    pub(super) fn finish(self) -> Finished<R, C> {
        let Link { server, mut lease, connection, .. } = self.link;
        let (commands, outputs, is_in_step) = self.pipeline.finish();
        if let Some(error) = self.failure {
            return Finished { commands, lease, outcome: Err(error) };
        }
        if let (Some(lease), Some(connection), true) = (&mut lease, connection, is_in_step) {
            lease.return_connection(connection);
        }
        server.answered();
        Finished { commands, lease, outcome: Ok(outputs) }
    }

    fn start(&mut self) -> Result<Step, Error> {
        if self.link.lease.is_none() {
            self.link.server.admit()?;
            return Ok(Step::Acquire);
        }
        match self.link.connection {
            Some(_) => self.advance(),
            None => Err(Error::LockLost { server: self.link.server.name() }),
        }
    }

    fn acquired(&mut self, turn: Option<R::Turn>) -> Result<Step, Error> {
        let turn = turn.ok_or_else(|| self.link.server.none_free(self.link.deadline))?;
        let mut lease = Lease::new(&self.link.server, turn);
        self.link.connection = lease.take_connection();
        self.link.lease = Some(lease);
        self.is_reused = self.link.connection.is_some();
        if self.is_reused { self.advance() } else { self.connect() }
    }

    fn connect(&mut self) -> Result<Step, Error> {
        let server = &self.link.server;
        let left = self.link.deadline.left().ok_or_else(|| server.none_free(self.link.deadline))?;
        Ok(Step::Connect { timeout: server.options.connect_timeout.min(left) })
    }

    fn connected(&mut self, stream: Result<R::Stream, Error>) -> Result<Step, Error> {
        let stream = stream.map_err(|error| self.link.server.observe(error))?;
        trace::connected(&self.link.server.address);
        self.link.connection = Some(Connection::new(stream, self.link.server.credentials.as_ref()));
        self.is_reused = false;
        self.advance()
    }

    fn sent(&mut self, sent: Result<usize, Cause>) -> Result<Step, Error> {
        match sent {
            Ok(len) => {
                self.link.connection().0.wire.sent(len);
                self.advance()
            }
            Err(cause) => self.fail(self.failure_of(cause, Phase::Send)),
        }
    }

    fn received(&mut self, received: Result<usize, Cause>) -> Result<Step, Error> {
        match received {
            Ok(0) => self.fail(Failure::Closed { received_len: self.received_len, source: None }),
            Ok(len) => {
                self.received_len += len;
                self.link.connection().0.wire.received(len);
                self.advance()
            }
            Err(cause) => self.fail(self.failure_of(cause, Phase::Receive)),
        }
    }

    fn advance(&mut self) -> Result<Step, Error> {
        let wire = &mut self.link.connection().0.wire;
        match self.pipeline.step(wire) {
            Ok(Progress::Send) => Ok(Step::Send),
            Ok(Progress::Receive) => Ok(Step::Receive),
            Ok(Progress::Done) => Ok(Step::Done),
            Err(error) => self.fail(self.pipeline.failure(error)),
        }
    }

    fn failure_of(&self, cause: Cause, phase: Phase) -> Failure {
        match cause {
            Cause::TimedOut => Failure::TimedOut { phase, after: self.link.deadline.elapsed() },
            Cause::Io(error) => Failure::of_io(error, phase, self.received_len),
            Cause::Tls(problem) => Failure::of_tls(problem, phase),
        }
    }

    /// Handles a failed connection. It may have ended while it was idle: then commands that are safe to repeat are sent
    /// on a new connection.
    fn fail(&mut self, failure: Failure) -> Result<Step, Error> {
        let had_ended = self.is_reused && failure.is_silent_close();
        if !had_ended || !self.pipeline.is_repeatable() {
            let server = &self.link.server;
            return Err(server.observe(failure.into_error(&server.name())));
        }
        trace::reconnects(&self.link.server.address);
        self.link.connection = None;
        self.received_len = 0;
        self.pipeline.restart();
        self.connect()
    }
}
