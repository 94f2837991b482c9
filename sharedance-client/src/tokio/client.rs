//! The client for tokio.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::command::{Command, Count, Delete, Direction, Get, GetEntry, Mode, Touch};
use crate::entry::{Entry, Swap, Version};
use crate::error::Error;
use crate::operations::{checked, example, exptime, is_stored, operations, store};
use crate::options::Builder;
use crate::results::BatchResults;
use crate::servers::Servers;
use crate::time::Deadline;
use crate::ttl::Ttl;

use super::lock::Lock;
use super::pool::{Lease, Pool};

/// A client of one server or several, for tokio. Cheap to clone, and to be shared between tasks as it is; clones use the
/// same connections.
///
/// Keys have 1 to 250 bytes, none of which is a space or a control byte. Every call is bounded in time, and tells what
/// went wrong: see [`Builder`] and [`Error`].
///
/// ```no_run
/// use sharedance_client::{Ttl, tokio::Client};
///
/// # async fn example() -> Result<(), sharedance_client::Error> {
/// let client = Client::builder("sessions.example.org").build()?;
/// client.set("session-17", "user=ada", Ttl::from_secs(1800)).await?;
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
    /// let client = sharedance_client::tokio::Client::builder("localhost:1042").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(address: impl Into<String>) -> Builder<Client> {
        Builder::new(address.into())
    }

    #[cfg(feature = "tower-sessions")]
    pub(crate) fn server_count(&self) -> usize {
        self.servers.count()
    }
}

operations!(
    "async fn example(client: &sharedance_client::tokio::Client)",
    ".await?",
    ".await",
    { async },
    { .await }
);

impl Builder<Client> {
    /// The client. This connects to nobody yet.
    ///
    /// # Errors
    /// [`Error::Address`] where an address cannot be understood.
    ///
    /// ```
    /// # fn main() -> Result<(), sharedance_client::Error> {
    /// let client = sharedance_client::tokio::Client::builder("unix:/run/sharedance.sock").build()?;
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
