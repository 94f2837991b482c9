//! The client for tokio.

use std::fmt;
use std::sync::Arc;

use crate::builder::Builder;
use crate::call::{for_key, for_keys, single};
use crate::command::Command;
use crate::error::Error;
use crate::results::BatchResults;
use crate::servers::Servers;
use crate::time::Deadline;

use super::driver::{Tokio, drive};

/// A client of one server or several, for tokio. Cheap to clone, and can be shared between tasks; clones use the same
/// connections.
///
/// Keys have 1 to 250 bytes without a space or a control byte. Every call has a timeout (see [`Builder`]) and returns
/// an [`Error`] if it fails.
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
    pub(super) servers: Arc<Servers<Tokio>>,
}

impl Client {
    /// Returns a builder of a client for the servers in a text: a list of addresses, or a URL.
    ///
    /// | text | servers |
    /// | --- | --- |
    /// | `one:1043,two,[::1],unix:/run/s.sock` | addresses; the default port is 1042 |
    /// | `sharedance://one,two:1043/?operation_timeout=2s` | the same with options |
    /// | `memcached://one,two` | the default port is 11211 |
    /// | `tls://one,two:1043/?ca=/etc/sharedance/authority.pem` | with TLS (feature `tls`) |
    /// | `unix:///run/s.sock?max_connections=8` | a unix socket |
    ///
    /// The options are the methods of [`Builder`] that take a number or a duration, written as `250ms`, `2s` or `1m`:
    /// `connect_timeout`, `operation_timeout`, `idle_timeout`, `backoff_first`, `backoff_max`, `max_connections`,
    /// `max_request_len`; `when_down=fail` or `next_server`, `continuum=libketama` or `plain`; and for TLS the files `ca`,
    /// `cert` and `key`, and `server_name`, which turn it on for all servers with a host. A later call of a method
    /// overrides them.
    ///
    /// In a list, `tls://` or `tcp://` before a server is for this server alone. A name and a password precede the first
    /// host of a URL, or the path of a socket: `tls://web:a-password@one,two`, `unix://web:a-password@/run/s.sock`. They
    /// are sent to the servers of this URL only. They and the values of options are percent-decoded.
    ///
    /// ```
    /// # fn main() -> Result<(), sharedance_client::Error> {
    /// let client = sharedance_client::tokio::Client::builder("sharedance://one,two/?operation_timeout=2s").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(servers: impl AsRef<str>) -> Builder<Client> {
        Builder::new(servers.as_ref())
    }

    #[cfg(feature = "tower-sessions")]
    pub(crate) fn server_count(&self) -> usize {
        self.servers.all().len()
    }

    pub(super) fn max_request_len(&self) -> usize {
        self.servers.options.max_request_len
    }

    pub(super) async fn run<C: Command>(&self, command: Result<C, Error>) -> Result<C::Output, Error> {
        single(drive(for_key(&self.servers, vec![command?], self.deadline())).await)
    }

    pub(super) async fn run_all<C: Command>(
        &self,
        commands: impl IntoIterator<Item = Result<C, Error>>,
    ) -> BatchResults<C::Output> {
        drive(for_keys(&self.servers, commands, self.deadline())).await
    }

    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(self.servers.options.operation_timeout)
    }
}

impl Builder<Client> {
    /// Returns the client. It does not connect yet.
    ///
    /// # Errors
    /// [`Error::Address`] if an address cannot be parsed, [`Error::Credentials`], and [`Error::TlsOptions`] if a file for
    /// TLS cannot be used.
    ///
    /// ```
    /// # fn main() -> Result<(), sharedance_client::Error> {
    /// let client = sharedance_client::tokio::Client::builder("unix:/run/sharedance.sock").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn build(self) -> Result<Client, Error> {
        let (addresses, options) = self.finish()?;
        Ok(Client { servers: Arc::new(Servers::new(addresses, options)) })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("servers", &self.servers).finish()
    }
}
