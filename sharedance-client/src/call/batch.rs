//! Commands for several keys, or for each server: groups them by server, and returns the results in the order of the
//! commands.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::command::Command;
use crate::error::Error;
use crate::pipeline::Outputs;
use crate::reply::Rejection;
use crate::results::BatchResults;
use crate::runtime::Runtime;
use crate::servers::{Server, Servers};
use crate::time::Deadline;

use super::Call;
use super::exchange::{Exchange, Finished};
use super::sequence::{Next, Plan, Sequence};

struct Batch<'s, R: Runtime, C: Command> {
    servers: &'s Servers<R>,
    deadline: Deadline,
    todo: Vec<Group<R, C>>,
    /// The keys of the exchange that is in progress.
    current: Keys,
    results: Vec<Option<Result<C::Output, Error>>>,
}

/// The commands for one server.
struct Group<R: Runtime, C> {
    server: Arc<Server<R>>,
    commands: Vec<C>,
    keys: Keys,
}

/// The keys of a group.
#[derive(Default)]
struct Keys {
    /// The indexes of their results.
    indexes: Vec<usize>,
    /// How many of their servers could not be reached; `None` if no other server may be used.
    attempts: Option<usize>,
}

/// Executes commands for several keys. A key for which there is no command is not sent; its error is its result.
pub(crate) fn for_keys<R: Runtime, C: Command>(
    servers: &Servers<R>,
    commands: impl IntoIterator<Item = Result<C, Error>>,
    deadline: Deadline,
) -> impl Call<R, Output = BatchResults<C::Output>> {
    let mut batch = Batch::new(servers, deadline);
    for (index, command) in commands.into_iter().enumerate() {
        match command {
            Ok(command) => {
                batch.results.push(None);
                batch.assign(index, command, 0);
            }
            Err(error) => batch.results.push(Some(Err(error))),
        }
    }
    batch.start()
}

/// Executes the same command on each server, in the order in which they were configured.
pub(crate) fn for_each_server<R: Runtime, C: Command>(
    servers: &Servers<R>,
    command: C,
    deadline: Deadline,
) -> impl Call<R, Output = BatchResults<C::Output>> {
    let mut batch = Batch::new(servers, deadline);
    for (index, server) in servers.all().iter().enumerate() {
        let keys = Keys { indexes: vec![index], attempts: None };
        batch.todo.push(Group { server: Arc::clone(server), commands: vec![command], keys });
        batch.results.push(None);
    }
    batch.start()
}

impl<'s, R: Runtime, C: Command> Batch<'s, R, C> {
    fn new(servers: &'s Servers<R>, deadline: Deadline) -> Batch<'s, R, C> {
        Batch { servers, deadline, todo: Vec::new(), current: Keys::default(), results: Vec::new() }
    }

    fn start(mut self) -> Sequence<R, C, Self> {
        let first = self.next();
        Sequence::new(self, first)
    }

    /// Adds the command to the group of its server; returns `false` if there is no server left to try.
    fn assign(&mut self, index: usize, command: C, attempts: usize) -> bool {
        let Some(server) = self.servers.of(command.key()).nth(attempts) else {
            return false;
        };
        let is_for =
            |group: &&mut Group<R, C>| group.keys.attempts == Some(attempts) && Arc::ptr_eq(&group.server, server);
        match self.todo.iter_mut().find(is_for) {
            Some(group) => {
                group.commands.push(command);
                group.keys.indexes.push(index);
            }
            None => {
                let (server, keys) = (Arc::clone(server), Keys { indexes: vec![index], attempts: Some(attempts) });
                self.todo.push(Group { server, commands: vec![command], keys });
            }
        }
        true
    }

    /// The exchange of the next group, or all results. Each group has an equal part of the time, so that a server that
    /// hangs leaves time for the others.
    fn next(&mut self) -> Next<R, C, BatchResults<C::Output>> {
        let Some(Group { server, commands, keys }) = self.todo.pop() else {
            let results = std::mem::take(&mut self.results).into_iter();
            let results = results.map(|result| result.expect("every group has a result"));
            return ControlFlow::Break(BatchResults::new(results.collect()));
        };
        self.current = keys;
        let deadline = self.deadline.share(self.todo.len() + 1);
        ControlFlow::Continue(Exchange::new(server, commands, deadline))
    }

    fn answered(&mut self, server: &Server<R>, indexes: Vec<usize>, outputs: Outputs<C>) {
        let rejected = |rejection| Error::Rejected { server: server.name(), rejection };
        let mut last = None;
        let mut indexes = indexes.into_iter();
        for (output, index) in outputs.into_iter().zip(indexes.by_ref()) {
            last = output.as_ref().err().copied();
            self.results[index] = Some(output.map_err(rejected));
        }
        if indexes.len() == 0 {
            return;
        }
        // The last rejection has ended the connection.
        match last {
            Some(rejection @ (Rejection::Unsupported | Rejection::TooManyConnections)) => {
                self.fail(indexes, &rejected(rejection));
            }
            // The server may have executed the commands without a response.
            _ => self.fail(indexes, &Error::ConnectionLost { server: server.name(), received_len: 0, source: None }),
        }
    }

    fn fail(&mut self, indexes: impl IntoIterator<Item = usize>, error: &Error) {
        for index in indexes {
            self.results[index] = Some(Err(error.clone()));
        }
    }
}

impl<R: Runtime, C: Command> Plan<R, C> for Batch<'_, R, C> {
    type Output = BatchResults<C::Output>;

    /// Success or not, the other groups follow.
    fn after(&mut self, exchange: Exchange<R, C>) -> Next<R, C, Self::Output> {
        let keys = std::mem::take(&mut self.current);
        let server = Arc::clone(&exchange.link.server);
        let Finished { commands, outcome, .. } = exchange.finish();
        match outcome {
            Ok(outputs) => self.answered(&server, keys.indexes, outputs),
            Err(error) if error.is_unreached() => {
                for (index, command) in keys.indexes.into_iter().zip(commands) {
                    let is_assigned = keys.attempts.is_some_and(|attempts| self.assign(index, command, attempts + 1));
                    if !is_assigned {
                        self.fail([index], &error);
                    }
                }
            }
            Err(error) => self.fail(keys.indexes, &error),
        }
        self.next()
    }
}
