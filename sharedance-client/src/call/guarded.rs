//! The calls of the holder of a lock, on the connection that holds it only.

use std::sync::Arc;

use crate::attributes::Attributes;
use crate::command::{Delete, Guarded, GuardedOutput, Touch};
use crate::error::Error;
use crate::guarded::{self, Found, Known, Stored};
use crate::operations::guarded_store;
use crate::options::LockOptions;
use crate::pool::Lease;
use crate::runtime::Runtime;
use crate::servers::{Server, Servers};
use crate::time::Deadline;

use super::exchange::{Exchange, Finished};
use super::failover::{Answered, Failover};
use super::{Call, Event, Link, Step};

/// A lock that is held.
pub(crate) struct Held<R: Runtime> {
    pub(crate) key: Vec<u8>,
    pub(crate) server: Arc<Server<R>>,
    state: State<R>,
}

struct State<R: Runtime> {
    /// Releases the lock on drop. `None` during a call, and once the connection has failed.
    lease: Option<Lease<R>>,
    known: Known,
}

/// Requests the lock of a key, and its value if `with_value`: see [`acquired`].
pub(crate) fn acquire<'s, R: Runtime>(
    servers: &'s Servers<R>,
    key: &'s [u8],
    options: LockOptions,
    with_value: bool,
) -> Failover<'s, R, Guarded<'s>> {
    let deadline = Deadline::after(servers.options.operation_timeout.saturating_add(options.wait));
    Failover::new(servers, guarded::acquire(key, options, with_value), deadline)
}

/// A lock, and the value that was read with it.
pub(crate) type Acquired<R> = (Held<R>, Option<Vec<u8>>);

/// The lock and the value; `None` if other clients held the lock.
pub(crate) fn acquired<R: Runtime>(
    key: &[u8],
    outcome: Result<Answered<R, Guarded<'_>>, Error>,
) -> Result<Option<Acquired<R>>, Error> {
    let Answered { lease, outputs } = outcome?;
    let server = Arc::clone(lease.server());
    let acquired = guarded::acquired(outputs, &server.name())?;
    Ok(acquired.map(|Found { value, known }| {
        (Held { key: key.to_vec(), server, state: State { lease: Some(lease), known } }, value)
    }))
}

impl<R: Runtime> Held<R> {
    pub(crate) fn get(&mut self) -> Holding<'_, R, Option<Vec<u8>>> {
        let get = Guarded::Get { key: &self.key };
        Holding::new(&self.key, &self.server, &mut self.state, vec![get], |known, outputs, server| {
            let found = guarded::found(outputs, server)?;
            *known = found.known;
            Ok(Then::Return(found.value))
        })
    }

    pub(crate) fn set<'h>(&'h mut self, value: &'h [u8], attributes: Attributes) -> Result<Holding<'h, R, ()>, Error> {
        let max_request_len = self.server.options.max_request_len;
        let set = guarded_store(self.state.known.mode(), &self.key, value, attributes, max_request_len)?;
        let commands = vec![Guarded::Store(set)];
        let exptime = set.exptime;
        Ok(Holding::new(&self.key, &self.server, &mut self.state, commands, move |known, outputs, server| {
            match guarded::stored(&outputs) {
                Stored::As(version) => {
                    *known = Known::Version(version).living(exptime);
                    Ok(Then::Return(()))
                }
                Stored::Refused => Ok(Then::ConflictUnlessExpired),
                Stored::Changed => Err(guarded::conflict(server)),
            }
        }))
    }

    pub(crate) fn touch(&mut self, exptime: i64) -> Holding<'_, R, bool> {
        let touch = Guarded::Touch(Touch { key: &self.key, exptime });
        Holding::new(&self.key, &self.server, &mut self.state, vec![touch], move |known, outputs, server| {
            let was_there = guarded::was(&outputs, server)?;
            *known = known.living(exptime);
            Ok(Then::Return(was_there))
        })
    }

    pub(crate) fn delete(&mut self) -> Holding<'_, R, bool> {
        let delete = Guarded::Delete(Delete { key: &self.key });
        Holding::new(&self.key, &self.server, &mut self.state, vec![delete], |known, outputs, server| {
            let was_there = guarded::was(&outputs, server)?;
            *known = Known::Absent;
            Ok(Then::Return(was_there))
        })
    }

    pub(crate) fn release(&mut self) -> Holding<'_, R, bool> {
        let unlock = Guarded::Unlock { key: &self.key };
        Holding::new(&self.key, &self.server, &mut self.state, vec![unlock], |_, outputs, _| {
            Ok(Then::Return(guarded::was_held(&outputs)))
        })
    }

    pub(crate) fn set_and_release<'h>(
        &'h mut self,
        value: &'h [u8],
        attributes: Attributes,
    ) -> Result<Holding<'h, R, ()>, Error> {
        let max_request_len = self.server.options.max_request_len;
        let set = guarded_store(self.state.known.mode(), &self.key, value, attributes, max_request_len)?;
        let commands = vec![Guarded::Store(set), Guarded::Unlock { key: &self.key }];
        Ok(Holding::new(
            &self.key,
            &self.server,
            &mut self.state,
            commands,
            |_, outputs, server| match guarded::stored(&outputs) {
                Stored::As(_) => Ok(Then::Return(())),
                Stored::Refused if !guarded::was_held(&outputs) => Err(guarded::expired(server)),
                Stored::Refused | Stored::Changed => Err(guarded::conflict(server)),
            },
        ))
    }
}

/// The next step after the responses.
enum Then<T> {
    Return(T),
    /// A store was refused because the value has changed, or because the lock is no longer held: a read decides which.
    ConflictUnlessExpired,
}

type Take<'h, T> = Box<dyn FnOnce(&mut Known, Vec<GuardedOutput>, &str) -> Result<Then<T>, Error> + Send + 'h>;

/// A call of the holder of a lock.
pub(crate) struct Holding<'h, R: Runtime, T> {
    key: &'h [u8],
    state: &'h mut State<R>,
    exchange: Option<Exchange<R, Guarded<'h>>>,
    /// `None` while a read determines why a store was refused.
    take: Option<Take<'h, T>>,
    outcome: Option<Result<T, Error>>,
}

impl<'h, R: Runtime, T> Holding<'h, R, T> {
    fn new(
        key: &'h [u8],
        server: &Arc<Server<R>>,
        state: &'h mut State<R>,
        commands: Vec<Guarded<'h>>,
        take: impl FnOnce(&mut Known, Vec<GuardedOutput>, &str) -> Result<Then<T>, Error> + Send + 'h,
    ) -> Holding<'h, R, T> {
        let deadline = Deadline::after(server.options.operation_timeout);
        let exchange = state.lease.take().map(|lease| Exchange::on(lease, commands, deadline));
        let lost = || Err(Error::LockLost { server: server.name() });
        let outcome = if exchange.is_none() { Some(lost()) } else { None };
        Holding { key, state, exchange, take: Some(Box::new(take)), outcome }
    }

    /// Takes the result of the exchange, and returns whether another one follows.
    fn goes_on(&mut self) -> bool {
        let Some(exchange) = self.exchange.take() else {
            return false;
        };
        let (server, deadline) = (exchange.link.server.name(), exchange.link.deadline);
        let Finished { lease, outcome, .. } = exchange.finish();
        let outcome = outcome.and_then(|outputs| {
            // After an error the connection is closed, and the lock is lost.
            self.state.lease = lease;
            let outputs = guarded::accepted(outputs, &server)?;
            match self.take.take() {
                Some(take) => take(&mut self.state.known, outputs, &server),
                None => guarded::found(outputs, &server).and_then(|_| Err(guarded::conflict(&server))),
            }
        });
        match outcome {
            Ok(Then::ConflictUnlessExpired) => {
                let get = Guarded::Get { key: self.key };
                self.exchange = self.state.lease.take().map(|lease| Exchange::on(lease, vec![get], deadline));
                self.outcome = Some(Err(Error::LockLost { server }));
            }
            Ok(Then::Return(value)) => self.outcome = Some(Ok(value)),
            Err(error) => self.outcome = Some(Err(error)),
        }
        self.exchange.is_some()
    }
}

impl<R: Runtime, T> Call<R> for Holding<'_, R, T> {
    type Output = Result<T, Error>;

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
