//! Commands for several keys: which server gets which of them, and the answers in the order of the keys. Both clients
//! do what it says; it does no I/O.

use std::sync::Arc;

use crate::command::Command;
use crate::error::Error;
use crate::pipeline::Outputs;
use crate::servers::{Server, Servers};

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
    outputs: Vec<Option<C::Output>>,
    first_error: Option<Error>,
}

impl<'s, P, C: Command> Batch<'s, P, C> {
    pub(crate) fn new(servers: &'s Servers<P>, commands: impl IntoIterator<Item = C>) -> Batch<'s, P, C> {
        let mut batch = Batch { servers, todo: Vec::new(), outputs: Vec::new(), first_error: None };
        for (index, command) in commands.into_iter().enumerate() {
            batch.outputs.push(None);
            batch.assign(index, command, 0);
        }
        batch
    }

    /// What is to be done next; `None` when all is done.
    pub(crate) fn next(&mut self) -> Option<Group<P, C>> {
        self.todo.pop()
    }

    /// Takes what came of a group. Whatever it is, the other groups are still to be done.
    pub(crate) fn answered(&mut self, group: Group<P, C>, outcome: Result<Outputs<C>, Error>) {
        let outputs = match outcome {
            Ok(outputs) => outputs,
            Err(error) if error.is_unreached() => return self.move_on(group, error),
            Err(error) => return self.fail(error),
        };
        for (index, output) in group.indexes.into_iter().zip(outputs) {
            match output {
                Ok(output) => self.outputs[index] = Some(output),
                Err(rejection) => self.fail(Error::Rejected { server: group.server.name(), rejection }),
            }
        }
    }

    /// The answers to all commands in their order, or the first thing that went wrong.
    pub(crate) fn finish(self) -> Result<Vec<C::Output>, Error> {
        match self.first_error {
            Some(error) => Err(error),
            // Without an error each command has its answer.
            None => Ok(self.outputs.into_iter().flatten().collect()),
        }
    }

    fn fail(&mut self, error: Error) {
        self.first_error.get_or_insert(error);
    }

    /// The next servers get what this one did not, if there are any to ask.
    fn move_on(&mut self, group: Group<P, C>, error: Error) {
        let attempt = group.attempt + 1;
        let mut is_moved = true;
        for (index, command) in group.indexes.into_iter().zip(group.commands) {
            is_moved &= self.assign(index, command, attempt);
        }
        if !is_moved {
            self.fail(error);
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
