//! The calls of the holder of a lock, on the connection that holds it only.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::attributes::Attributes;
use crate::command::{Delete, Guarded, GuardedOutput, Touch};
use crate::error::Error;
use crate::guarded::{self, Found, Known, Stored};
use crate::lease::Lease;
use crate::operations::guarded_store;
use crate::options::LockOptions;
use crate::runtime::Runtime;
use crate::servers::{Server, Servers};
use crate::time::Deadline;

use super::Call;
use super::exchange::{Exchange, Finished};
use super::failover::{Answered, for_key};
use super::sequence::{Next, Plan, Sequence};

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
) -> impl Call<R, Output = Result<Answered<R, Guarded<'s>>, Error>> {
    let deadline = Deadline::after(servers.options.operation_timeout.saturating_add(options.wait));
    for_key(servers, guarded::acquire(key, options, with_value), deadline)
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
    pub(crate) fn get(&mut self) -> impl Call<R, Output = Result<Option<Vec<u8>>, Error>> {
        let get = Guarded::Get { key: &self.key };
        Holding::call(&self.key, &self.server, &mut self.state, vec![get], |known, outputs, server| {
            let found = guarded::found(outputs, server)?;
            *known = found.known;
            Ok(Then::Return(found.value))
        })
    }

    pub(crate) fn set<'h>(
        &'h mut self,
        value: &'h [u8],
        attributes: Attributes,
    ) -> Result<impl Call<R, Output = Result<(), Error>>, Error> {
        let max_request_len = self.server.options.max_request_len;
        let set = guarded_store(self.state.known.mode(), &self.key, value, attributes, max_request_len)?;
        let commands = vec![Guarded::Store(set)];
        let exptime = set.exptime;
        Ok(Holding::call(&self.key, &self.server, &mut self.state, commands, move |known, outputs, server| {
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

    pub(crate) fn touch(&mut self, exptime: i64) -> impl Call<R, Output = Result<bool, Error>> {
        let touch = Guarded::Touch(Touch { key: &self.key, exptime });
        Holding::call(&self.key, &self.server, &mut self.state, vec![touch], move |known, outputs, server| {
            let was_there = guarded::was(&outputs, server)?;
            *known = known.living(exptime);
            Ok(Then::Return(was_there))
        })
    }

    pub(crate) fn delete(&mut self) -> impl Call<R, Output = Result<bool, Error>> {
        let delete = Guarded::Delete(Delete { key: &self.key });
        Holding::call(&self.key, &self.server, &mut self.state, vec![delete], |known, outputs, server| {
            let was_there = guarded::was(&outputs, server)?;
            *known = Known::Absent;
            Ok(Then::Return(was_there))
        })
    }

    pub(crate) fn release(&mut self) -> impl Call<R, Output = Result<bool, Error>> {
        let unlock = Guarded::Unlock { key: &self.key };
        Holding::call(&self.key, &self.server, &mut self.state, vec![unlock], |_, outputs, _| {
            Ok(Then::Return(guarded::was_held(&outputs)))
        })
    }

    pub(crate) fn set_and_release<'h>(
        &'h mut self,
        value: &'h [u8],
        attributes: Attributes,
    ) -> Result<impl Call<R, Output = Result<(), Error>>, Error> {
        let max_request_len = self.server.options.max_request_len;
        let set = guarded_store(self.state.known.mode(), &self.key, value, attributes, max_request_len)?;
        let commands = vec![Guarded::Store(set), Guarded::Unlock { key: &self.key }];
        Ok(Holding::call(
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
struct Holding<'h, R: Runtime, T> {
    key: &'h [u8],
    state: &'h mut State<R>,
    /// `None` while a read determines why a store was refused.
    take: Option<Take<'h, T>>,
}

impl<'h, R: Runtime, T> Holding<'h, R, T> {
    fn call(
        key: &'h [u8],
        server: &Arc<Server<R>>,
        state: &'h mut State<R>,
        commands: Vec<Guarded<'h>>,
        take: impl FnOnce(&mut Known, Vec<GuardedOutput>, &str) -> Result<Then<T>, Error> + Send + 'h,
    ) -> Sequence<R, Guarded<'h>, Self> {
        let mut holding = Holding { key, state, take: Some(Box::new(take)) };
        let first = holding.exchange(commands, server, Deadline::after(server.options.operation_timeout));
        Sequence::new(holding, first)
    }

    /// An exchange on the connection that holds the lock; an error if the connection has failed.
    fn exchange(
        &mut self,
        commands: Vec<Guarded<'h>>,
        server: &Server<R>,
        deadline: Deadline,
    ) -> Next<R, Guarded<'h>, Result<T, Error>> {
        match self.state.lease.take() {
            Some(lease) => ControlFlow::Continue(Exchange::on(lease, commands, deadline)),
            None => ControlFlow::Break(Err(Error::LockLost { server: server.name() })),
        }
    }
}

impl<'h, R: Runtime, T> Plan<R, Guarded<'h>> for Holding<'h, R, T> {
    type Output = Result<T, Error>;

    fn after(&mut self, exchange: Exchange<R, Guarded<'h>>) -> Next<R, Guarded<'h>, Self::Output> {
        let (server, deadline) = (Arc::clone(&exchange.link.server), exchange.link.deadline);
        let Finished { lease, outcome, .. } = exchange.finish();
        let outcome = outcome.and_then(|outputs| {
            // After an error the connection is closed, and the lock is lost.
            self.state.lease = lease;
            let name = server.name();
            let outputs = guarded::accepted(outputs, &name)?;
            match self.take.take() {
                Some(take) => take(&mut self.state.known, outputs, &name),
                None => guarded::found(outputs, &name).and_then(|_| Err(guarded::conflict(&name))),
            }
        });
        match outcome {
            Ok(Then::ConflictUnlessExpired) => {
                let get = Guarded::Get { key: self.key };
                self.exchange(vec![get], &server, deadline)
            }
            Ok(Then::Return(value)) => ControlFlow::Break(Ok(value)),
            Err(error) => ControlFlow::Break(Err(error)),
        }
    }
}
