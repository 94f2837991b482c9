//! Commands for one key: sent to the server that has it, or, with `WhenDown::NextServer`, to the next server that can
//! be reached.

use std::sync::Arc;

use crate::command::Command;
use crate::error::Error;
use crate::pipeline::Outputs;
use crate::pool::Lease;
use crate::runtime::Runtime;
use crate::servers::Servers;
use crate::time::Deadline;

use super::exchange::{Exchange, Finished};
use super::{Call, Event, Link, Step};

pub(crate) struct Failover<'s, R: Runtime, C: Command> {
    servers: &'s Servers<R>,
    exchange: Option<Exchange<R, C>>,
    /// How many servers could not be reached, and the error of the first.
    attempts: usize,
    unreached: Option<Error>,
    outcome: Option<Result<Answered<R, C>, Error>>,
}

/// The responses, and the lease of the connection on which they were received.
pub(crate) struct Answered<R: Runtime, C: Command> {
    pub(crate) lease: Lease<R>,
    pub(crate) outputs: Outputs<C>,
}

impl<'s, R: Runtime, C: Command> Failover<'s, R, C> {
    /// `commands` are for one key, and there is at least one.
    pub(crate) fn new(servers: &'s Servers<R>, commands: Vec<C>, deadline: Deadline) -> Failover<'s, R, C> {
        let mut failover = Failover { servers, exchange: None, attempts: 0, unreached: None, outcome: None };
        let is_assigned = failover.assign(commands, deadline);
        debug_assert!(is_assigned, "there is a server for each key");
        failover
    }

    /// Prepares for the next server; `false` if there is none.
    fn assign(&mut self, commands: Vec<C>, deadline: Deadline) -> bool {
        let server = self.servers.of(commands[0].key()).nth(self.attempts).map(Arc::clone);
        self.exchange = server.map(|server| Exchange::new(server, commands, deadline));
        self.exchange.is_some()
    }

    /// Takes the result of the exchange, and returns whether another one follows.
    fn goes_on(&mut self) -> bool {
        let Some(exchange) = self.exchange.take() else {
            return false;
        };
        let deadline = exchange.link.deadline;
        let Finished { commands, lease, outcome } = exchange.finish();
        self.outcome = Some(match (outcome, lease) {
            (Err(error), _) if error.is_unreached() => {
                self.attempts += 1;
                if self.assign(commands, deadline) {
                    self.unreached.get_or_insert(error);
                    return true;
                }
                Err(self.unreached.take().unwrap_or(error))
            }
            (Err(error), _) => Err(error),
            (Ok(outputs), lease) => {
                Ok(Answered { lease: lease.expect("responses were received on a connection"), outputs })
            }
        });
        false
    }
}

impl<R: Runtime, C: Command> Call<R> for Failover<'_, R, C> {
    type Output = Result<Answered<R, C>, Error>;

    fn step(&mut self, mut event: Event<R>) -> Step {
        while let Some(exchange) = &mut self.exchange {
            match exchange.step(event) {
                Step::Done if self.goes_on() => event = Event::Start,
                step => return step,
            }
        }
        Step::Done
    }

    fn link(&mut self) -> &mut Link<R> {
        &mut self.exchange.as_mut().expect("the call is not done").link
    }

    fn finish(self) -> Self::Output {
        self.outcome.expect("the call is done")
    }
}

/// The result of a single command.
pub(crate) fn single<R: Runtime, C: Command>(outcome: Result<Answered<R, C>, Error>) -> Result<C::Output, Error> {
    let Answered { lease, mut outputs } = outcome?;
    let output = outputs.pop().expect("one command has one response");
    output.map_err(|rejection| Error::Rejected { server: lease.server().name(), rejection })
}
