//! Commands for several keys: which server gets which of them, and the answers in the order of the keys. Both clients
//! do what it says; it does no I/O.

use std::sync::Arc;

use crate::command::Command;
use crate::error::Error;
use crate::pipeline::Outputs;
use crate::reply::Rejection;
use crate::results::BatchResults;
use crate::servers::{Server, Servers};
use crate::time::Deadline;

/// What one server is asked.
pub(crate) struct Group<P, C> {
    pub(crate) server: Arc<Server<P>>,
    pub(crate) commands: Vec<C>,
    /// Where the answers belong.
    indexes: Vec<usize>,
    /// How many servers have been tried in vain.
    attempt: usize,
}

pub(crate) struct Batch<'s, P, C: Command> {
    servers: &'s Servers<P>,
    todo: Vec<Group<P, C>>,
    results: Vec<Option<Result<C::Output, Error>>>,
}

impl<'s, P, C: Command> Batch<'s, P, C> {
    /// What cannot be made a command is not sent; its error is its result.
    pub(crate) fn new(
        servers: &'s Servers<P>,
        commands: impl IntoIterator<Item = Result<C, Error>>,
    ) -> Batch<'s, P, C> {
        let mut batch = Batch { servers, todo: Vec::new(), results: Vec::new() };
        for (index, command) in commands.into_iter().enumerate() {
            match command {
                Ok(command) => {
                    batch.results.push(None);
                    batch.assign(index, command, 0);
                }
                Err(error) => batch.results.push(Some(Err(error))),
            }
        }
        batch
    }

    /// What is to be done next, and until when; `None` when all is done. A server that hangs leaves the others their
    /// part of the time.
    pub(crate) fn next(&mut self, deadline: Deadline) -> Option<(Group<P, C>, Deadline)> {
        let group = self.todo.pop()?;
        Some((group, deadline.share(self.todo.len() + 1)))
    }

    /// Takes the result of a group. Whatever it is, the other groups are still to be done.
    pub(crate) fn answered(&mut self, group: Group<P, C>, outcome: Result<Outputs<C>, Error>) {
        let outputs = match outcome {
            Ok(outputs) => outputs,
            Err(error) if error.is_unreached() => return self.move_on(group, error),
            Err(error) => return self.fail(group.indexes, &error),
        };
        let server = || group.server.name();
        let mut last = None;
        let mut indexes = group.indexes.into_iter();
        for (output, index) in outputs.into_iter().zip(indexes.by_ref()) {
            last = output.as_ref().err().copied();
            let result = output.map_err(|rejection| Error::Rejected { server: server(), rejection });
            self.results[index] = Some(result);
        }
        // The last rejection has ended the connection.
        match last {
            Some(rejection @ (Rejection::Unsupported | Rejection::TooManyConnections)) => {
                self.fail(indexes, &Error::Rejected { server: server(), rejection });
            }
            // The server may have executed what it has not answered.
            _ => self.fail(indexes, &Error::Cut { server: server(), received_len: 0, source: None }),
        }
    }

    /// The results of all commands in their order.
    pub(crate) fn finish(self) -> BatchResults<C::Output> {
        let results = self.results.into_iter().map(|result| result.expect("every group has been answered"));
        BatchResults::new(results.collect())
    }

    fn fail(&mut self, indexes: impl IntoIterator<Item = usize>, error: &Error) {
        for index in indexes {
            self.results[index] = Some(Err(error.clone()));
        }
    }

    /// The next servers get what this one did not, if there are any to ask.
    fn move_on(&mut self, group: Group<P, C>, error: Error) {
        let attempt = group.attempt + 1;
        for (index, command) in group.indexes.into_iter().zip(group.commands) {
            if !self.assign(index, command, attempt) {
                self.fail([index], &error);
            }
        }
    }

    fn assign(&mut self, index: usize, command: C, attempt: usize) -> bool {
        let Some(server) = self.servers.of(command.key()).nth(attempt) else {
            return false;
        };
        let is_for = |group: &&mut Group<P, C>| group.attempt == attempt && Arc::ptr_eq(&group.server, server);
        match self.todo.iter_mut().find(is_for) {
            Some(group) => {
                group.commands.push(command);
                group.indexes.push(index);
            }
            None => {
                let server = Arc::clone(server);
                self.todo.push(Group { server, commands: vec![command], indexes: vec![index], attempt });
            }
        }
        true
    }
}
