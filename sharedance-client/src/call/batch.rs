//! Commands for several keys, or for each server: groups them by server, and returns the results in the order of the
//! commands.

use std::sync::Arc;

use crate::command::Command;
use crate::error::Error;
use crate::pipeline::Outputs;
use crate::reply::Rejection;
use crate::results::BatchResults;
use crate::runtime::Runtime;
use crate::servers::{Server, Servers};
use crate::time::Deadline;

use super::exchange::{Exchange, Finished};
use super::{Call, Event, Link, Step};

pub(crate) struct Batch<'s, R: Runtime, C: Command> {
    servers: &'s Servers<R>,
    deadline: Deadline,
    todo: Vec<Group<R, C>>,
    current: Option<(Keys, Exchange<R, C>)>,
    results: Vec<Option<Result<C::Output, Error>>>,
}

/// The commands for one server.
struct Group<R: Runtime, C> {
    server: Arc<Server<R>>,
    commands: Vec<C>,
    keys: Keys,
}

/// The keys of a group.
struct Keys {
    /// The indexes of their results.
    indexes: Vec<usize>,
    /// How many of their servers could not be reached; `None` if no other server may be used.
    attempts: Option<usize>,
}

impl<'s, R: Runtime, C: Command> Batch<'s, R, C> {
    /// A key for which there is no command is not sent; its error is its result.
    pub(crate) fn new(
        servers: &'s Servers<R>,
        commands: impl IntoIterator<Item = Result<C, Error>>,
        deadline: Deadline,
    ) -> Batch<'s, R, C> {
        let mut batch = Batch { servers, deadline, todo: Vec::new(), current: None, results: Vec::new() };
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

    /// The same command for each server, in the order in which they were configured.
    pub(crate) fn of_each_server(servers: &'s Servers<R>, command: C, deadline: Deadline) -> Batch<'s, R, C> {
        let mut batch = Batch::new(servers, [], deadline);
        for (index, server) in servers.all().iter().enumerate() {
            let keys = Keys { indexes: vec![index], attempts: None };
            batch.todo.push(Group { server: Arc::clone(server), commands: vec![command], keys });
            batch.results.push(None);
        }
        batch
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

    /// The exchange of the next group. Each group has an equal part of the time, so that a server that hangs leaves
    /// time for the others.
    fn next(&mut self) -> Option<(Keys, Exchange<R, C>)> {
        let Group { server, commands, keys } = self.todo.pop()?;
        let deadline = self.deadline.share(self.todo.len() + 1);
        Some((keys, Exchange::new(server, commands, deadline)))
    }

    /// Takes the result of a group. Success or not, the other groups follow.
    fn take(&mut self, keys: Keys, exchange: Exchange<R, C>) {
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

impl<R: Runtime, C: Command> Call<R> for Batch<'_, R, C> {
    type Output = BatchResults<C::Output>;

    fn step(&mut self, mut event: Event<R>) -> Step {
        loop {
            if self.current.is_none() {
                self.current = self.next();
            }
            let Some((_, exchange)) = &mut self.current else {
                return Step::Done;
            };
            match exchange.step(event) {
                Step::Done => event = Event::Start,
                step => return step,
            }
            if let Some((keys, exchange)) = self.current.take() {
                self.take(keys, exchange);
            }
        }
    }

    fn link(&mut self) -> &mut Link<R> {
        &mut self.current.as_mut().expect("the call is not done").1.link
    }

    fn finish(self) -> Self::Output {
        let results = self.results.into_iter().map(|result| result.expect("every group has a result"));
        BatchResults::new(results.collect())
    }
}
