//! Commands for one key: sent to the server that has it, or, with `WhenDown::NextServer`, to the next server that can
//! be reached.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::command::Command;
use crate::error::Error;
use crate::lease::Lease;
use crate::pipeline::Outputs;
use crate::runtime::Runtime;
use crate::servers::Servers;
use crate::time::Deadline;

use super::Call;
use super::exchange::{Exchange, Finished};
use super::sequence::{Next, Plan, Sequence};

struct Failover<'s, R: Runtime> {
    servers: &'s Servers<R>,
    /// How many servers could not be reached, and the error of the first.
    attempts: usize,
    unreached: Option<Error>,
}

/// The responses, and the lease of the connection on which they were received.
pub(crate) struct Answered<R: Runtime, C: Command> {
    pub(crate) lease: Lease<R>,
    pub(crate) outputs: Outputs<C>,
}

/// Executes commands for one key, of which there is at least one.
pub(crate) fn for_key<R: Runtime, C: Command>(
    servers: &Servers<R>,
    commands: Vec<C>,
    deadline: Deadline,
) -> impl Call<R, Output = Result<Answered<R, C>, Error>> {
    let failover = Failover { servers, attempts: 0, unreached: None };
    let first = failover.exchange(commands, deadline).expect("there is a server for each key");
    Sequence::new(failover, ControlFlow::Continue(first))
}

impl<R: Runtime> Failover<'_, R> {
    /// The exchange with the next server, if there is one.
    fn exchange<C: Command>(&self, commands: Vec<C>, deadline: Deadline) -> Option<Exchange<R, C>> {
        let server = self.servers.of(commands[0].key()).nth(self.attempts)?;
        Some(Exchange::new(Arc::clone(server), commands, deadline))
    }
}

impl<R: Runtime, C: Command> Plan<R, C> for Failover<'_, R> {
    type Output = Result<Answered<R, C>, Error>;

    fn after(&mut self, exchange: Exchange<R, C>) -> Next<R, C, Self::Output> {
        let deadline = exchange.link.deadline;
        let Finished { commands, lease, outcome } = exchange.finish();
        ControlFlow::Break(match (outcome, lease) {
            (Err(error), _) if error.is_unreached() => {
                self.attempts += 1;
                if let Some(exchange) = self.exchange(commands, deadline) {
                    self.unreached.get_or_insert(error);
                    return ControlFlow::Continue(exchange);
                }
                Err(self.unreached.take().unwrap_or(error))
            }
            (Err(error), _) => Err(error),
            (Ok(outputs), lease) => {
                Ok(Answered { lease: lease.expect("responses were received on a connection"), outputs })
            }
        })
    }
}

/// The result of a single command.
pub(crate) fn single<R: Runtime, C: Command>(outcome: Result<Answered<R, C>, Error>) -> Result<C::Output, Error> {
    let Answered { lease, mut outputs } = outcome?;
    let output = outputs.pop().expect("one command has one response");
    output.map_err(|rejection| Error::Rejected { server: lease.server().name(), rejection })
}
