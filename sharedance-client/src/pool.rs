//! The connections of the blocking client to one server: some in use, some idle, no more than allowed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::command::Command;
use crate::connection::Connection;
use crate::error::Error;
use crate::failure::Failure;
use crate::idle::Idle;
use crate::options::Options;
use crate::pipeline::{Outputs, Pipeline};
use crate::servers::Server;
use crate::time::{Deadline, now};

pub(crate) struct Pool {
    state: Mutex<State>,
    freed: Condvar,
}

struct State {
    idle: Idle<Connection>,
    in_use: usize,
}

impl Pool {
    pub(crate) fn new(options: &Options) -> Pool {
        let state = State { idle: Idle::new(options.idle_timeout), in_use: 0 };
        Pool { state: Mutex::new(state), freed: Condvar::new() }
    }

    /// A panic while it is held cannot have left it half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its turn to use a connection, and takes an idle one if there is any.
    fn enter(&self, max: usize, deadline: Deadline) -> Option<Option<Connection>> {
        let mut state = self.state();
        while state.in_use >= max {
            let left = deadline.left()?;
            state = self.freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.in_use += 1;
        let (connection, outdated) = state.idle.take(now());
        drop(state);
        drop(outdated);
        Some(connection)
    }

    fn leave(&self, connection: Option<Connection>) {
        let mut state = self.state();
        state.in_use -= 1;
        let outdated = connection.map(|connection| state.idle.put(connection, now()));
        drop(state);
        self.freed.notify_one();
        drop(outdated);
    }
}

/// The right to use a connection to a server, and the connection. When it is dropped, the connection is kept for the
/// next one if nothing is under way on it, and closed otherwise.
pub(crate) struct Lease {
    server: Arc<Server<Pool>>,
    connection: Option<Connection>,
    is_reused: bool,
}

impl Lease {
    pub(crate) fn take(server: &Arc<Server<Pool>>, deadline: Deadline) -> Result<Lease, Error> {
        server.admit()?;
        let max = server.options.max_connections.get();
        let Some(idle) = server.pool.enter(max, deadline) else {
            return Err(server.none_free(deadline));
        };
        let mut lease = Lease { server: Arc::clone(server), connection: None, is_reused: false };
        match idle.filter(Connection::is_fit) {
            Some(connection) => {
                lease.connection = Some(connection);
                lease.is_reused = true;
            }
            None => lease.connect(deadline)?,
        }
        Ok(lease)
    }

    fn connect(&mut self, deadline: Deadline) -> Result<(), Error> {
        let server = &self.server;
        let Some(left) = deadline.left() else {
            return Err(server.none_free(deadline));
        };
        let timeout = server.options.connect_timeout.min(left);
        let opened = Connection::open(&server.address, timeout);
        self.connection = Some(opened.map_err(|error| server.observe(error))?);
        self.is_reused = false;
        Ok(())
    }

    /// Runs all the commands. The answers are in their order; where the connection went out of step, the last one is
    /// the rejection that says why, and those behind it are missing.
    pub(crate) fn run<C: Command>(&mut self, commands: &[C], deadline: Deadline) -> Result<Outputs<C>, Error> {
        loop {
            let Some(mut connection) = self.connection.take() else {
                return Err(Error::LockLost { server: self.server.name() });
            };
            let mut pipeline = Pipeline::new(commands, self.server.options.max_value_len);
            match connection.run(&mut pipeline, deadline) {
                Ok(()) => {
                    let (outputs, is_in_step) = pipeline.finish();
                    self.connection = is_in_step.then_some(connection);
                    // What held a lock until here must not be repeated without it.
                    self.is_reused = false;
                    self.server.answered();
                    return Ok(outputs);
                }
                Err(failure) if self.may_repeat(commands, &failure) => self.connect(deadline)?,
                Err(failure) => return Err(self.server.observe(failure.into_error(&self.server.name()))),
            }
        }
    }

    /// Whether the failure means no more than that a kept connection had ended.
    fn may_repeat<C: Command>(&self, commands: &[C], failure: &Failure) -> bool {
        self.is_reused && failure.is_silent_close() && commands.iter().all(C::is_repeatable)
    }

    pub(crate) fn server_name(&self) -> String {
        self.server.name()
    }

    /// Gives a lock back without waiting for the answer.
    pub(crate) fn unlock_at_once(&mut self, key: &[u8]) {
        if let Some(mut connection) = self.connection.take() {
            self.connection = connection.unlock_at_once(key).then_some(connection);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.server.pool.leave(self.connection.take());
    }
}
