//! The blocking client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::command::{Command, Count, Delete, Direction, Get, GetEntry, Mode, Touch};
use crate::entry::{Entry, Swap, Version};
use crate::error::Error;
use crate::lock::Lock;
use crate::operations::{checked, example, exptime, is_stored, operations, store};
use crate::options::Builder;
use crate::pool::{Lease, Pool};
use crate::servers::Servers;
use crate::time::Deadline;
use crate::ttl::Ttl;

/// A client of one server or several. Cheap to clone, and to be shared between threads as it is; clones use the same
/// connections.
///
/// Keys have 1 to 250 bytes, none of which is a space or a control byte. Every call is bounded in time, and tells what
/// went wrong: see [`Builder`] and [`Error`].
///
/// ```no_run
/// use sharedance_client::{Client, Ttl};
///
/// # fn main() -> Result<(), sharedance_client::Error> {
/// let client = Client::builder("sessions.example.org").build()?;
/// client.set("session-17", "user=ada", Ttl::from_secs(1800))?;
/// assert_eq!(client.get("session-17")?.as_deref(), Some(&b"user=ada"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    servers: Arc<Servers<Pool>>,
}

impl Client {
    /// Starts to describe a client of the server at `address`: `host`, `host:port`, `[::1]:port` or `unix:/path`.
    /// The port is 1042 where none is named.
    ///
    /// ```
    /// # fn main() -> Result<(), sharedance_client::Error> {
    /// let client = sharedance_client::Client::builder("localhost:1042").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(address: impl Into<String>) -> Builder<Client> {
        Builder::new(address.into())
    }

    /// Waits up to `wait` for the lock of `key`; `None` where others held it all that time. Who waits is served in the
    /// order of arrival. The lock ends with the [`Lock`], and after `ttl` at the latest (whole seconds, rounded up), so
    /// that nobody who hangs holds up the others for ever.
    ///
    /// Locks are advisory: they keep nobody from reading or writing without one.
    ///
    /// # Errors
    /// See [`Error`]; [`Rejection::Unsupported`](crate::Rejection::Unsupported) where the server has no locks.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn example(client: &sharedance_client::Client) -> Result<(), sharedance_client::Error> {
    /// let lock = client.lock("cart-3", Duration::from_secs(5), Duration::from_secs(30))?;
    /// match lock {
    ///     Some(lock) => println!("ours until the end of the block"),
    ///     None => println!("somebody is busy with it"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn lock(&self, key: impl AsRef<[u8]>, wait: Duration, ttl: Duration) -> Result<Option<Lock>, Error> {
        Lock::acquire(&self.servers, checked(key.as_ref())?, wait, ttl, false).map(|held| held.map(|(lock, _)| lock))
    }

    /// The same as [`lock`](Client::lock) and then [`Lock::get`], in one round trip.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use sharedance_client::Ttl;
    /// # fn example(client: &sharedance_client::Client) -> Result<(), sharedance_client::Error> {
    /// let (wait, ttl) = (Duration::from_secs(5), Duration::from_secs(30));
    /// if let Some((mut lock, session)) = client.lock_and_get("session-17", wait, ttl)? {
    ///     let session = [&session.unwrap_or_default()[..], b";seen"].concat();
    ///     lock.set(session, Ttl::from_secs(1800))?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[expect(clippy::type_complexity, reason = "a name would hide that both may be missing")]
    pub fn lock_and_get(
        &self,
        key: impl AsRef<[u8]>,
        wait: Duration,
        ttl: Duration,
    ) -> Result<Option<(Lock, Option<Vec<u8>>)>, Error> {
        Lock::acquire(&self.servers, checked(key.as_ref())?, wait, ttl, true)
    }

    fn run_all<C: Command>(&self, commands: impl IntoIterator<Item = C>) -> Result<Vec<C::Output>, Error> {
        let deadline = Deadline::after(self.servers.options.operation_timeout);
        let mut batch = Batch::new(&self.servers, commands);
        while let Some(group) = batch.next() {
            let outcome =
                Lease::take(&group.server, deadline).and_then(|mut lease| lease.run(&group.commands, deadline));
            batch.answered(group, outcome);
        }
        batch.finish()
    }
}

operations!(Client, "fn example(client: &sharedance_client::Client)", "?", {}, {});

impl Builder<Client> {
    /// The client. This connects to nobody yet.
    ///
    /// # Errors
    /// [`Error::Address`] where an address cannot be understood.
    ///
    /// ```
    /// # fn main() -> Result<(), sharedance_client::Error> {
    /// let client = sharedance_client::Client::builder("unix:/run/sharedance.sock").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn build(self) -> Result<Client, Error> {
        let (addresses, options) = self.finish()?;
        Ok(Client { servers: Arc::new(Servers::new(addresses, options, Pool::new)) })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("servers", &self.servers).finish()
    }
}
