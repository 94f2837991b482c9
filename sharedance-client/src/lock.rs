//! A lock of the blocking client. It belongs to one connection, which it keeps until it is given back.

use std::fmt;
use std::time::Duration;

use crate::command::{Delete, Get, Guarded, GuardedOutput, Mode, Touch};
use crate::error::Error;
use crate::guarded::{self, guarded};
use crate::operations::{example, exptime, store};
use crate::options::Options;
use crate::pool::{Lease, Pool};
use crate::reply::Rejection;
use crate::servers::Servers;
use crate::time::Deadline;
use crate::ttl::Ttl;

/// The lock of one key, held until this is dropped or its TTL is over; see [`Client::lock`](crate::Client::lock).
///
/// The key's value is read and written on the connection that holds the lock. Dropping it gives the lock back without
/// waiting for the server to say so; [`release`](Lock::release) waits, and tells whether it was held to the end.
///
/// ```no_run
/// # use std::time::Duration;
/// # use sharedance_client::Ttl;
/// # fn example(client: &sharedance_client::Client) -> Result<(), sharedance_client::Error> {
/// let (wait, ttl) = (Duration::from_secs(5), Duration::from_secs(30));
/// if let Some(mut lock) = client.lock("visitors", wait, ttl)? {
///     let visitors = lock.get()?.unwrap_or_default();
///     lock.set([&visitors[..], b",ada"].concat(), Ttl::Never)?;
/// } // given back here
/// # Ok(())
/// # }
/// ```
#[must_use = "a lock that is not kept is given back at once"]
pub struct Lock {
    lease: Lease,
    key: Vec<u8>,
    options: Options,
    is_held: bool,
}

/// A lock, and the key's value where it was asked for.
type Locked = (Lock, Option<Vec<u8>>);

impl Lock {
    pub(crate) fn acquire(
        servers: &Servers<Pool>,
        key: &[u8],
        wait: Duration,
        ttl: Duration,
        with_value: bool,
    ) -> Result<Option<Locked>, Error> {
        let options = servers.options;
        let deadline = Deadline::after(options.operation_timeout.saturating_add(wait));
        let commands = guarded::acquire(key, wait, ttl, with_value);
        let mut unreached = None;
        for server in servers.of(key) {
            let mut lease = match Lease::take(server, deadline) {
                Ok(lease) => lease,
                Err(error) if error.is_unreached() => {
                    unreached.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let outputs = lease.run(&commands, deadline)?;
            let value = guarded::acquired(outputs, &lease.server_name())?;
            return Ok(value.map(|value| (Lock { lease, key: key.to_vec(), options, is_held: true }, value)));
        }
        Err(unreached.expect("there is a server for each key"))
    }
}

guarded!(Lock, "fn example(mut lock: sharedance_client::Lock)", "?", {}, {});
