//! The client for tokio.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sharedance_core::{Version, WriteResult};

use crate::attributes::Attributes;
use crate::call::{Batch, Failover, acquire, acquired, single};
use crate::command::{Command, Direction, Flush, Mode, Ping, ServerVersion, Statistics};
use crate::entry::Entry;
use crate::error::Error;
use crate::operations::{self, checked, exptime};
use crate::options::{Builder, LockOptions};
use crate::refresh::{self, Need, RefreshOptions};
use crate::results::BatchResults;
use crate::servers::Servers;
use crate::time::Deadline;
use crate::ttl::Ttl;
#[cfg(feature = "serde")]
use crate::typed;

use super::driver::{Tokio, drive};
use super::lock::{Lock, Locked};

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
    servers: Arc<Servers<Tokio>>,
}

impl Client {
    /// Returns a builder of a client for the servers in a text: a list of addresses, or a URL.
    ///
    /// | text | servers |
    /// | --- | --- |
    /// | `one:1043,two,[::1],unix:/run/s.sock` | addresses; the default port is 1042 |
    /// | `sharedance://one,two:1043/?operation_timeout=2s` | the same with options |
    /// | `memcached://one,two` | the default port is 11211 |
    /// | `unix:///run/s.sock?max_connections=8` | a unix socket |
    ///
    /// The options are the methods of [`Builder`] that take a number or a duration, written as `250ms`, `2s` or `1m`:
    /// `connect_timeout`, `operation_timeout`, `idle_timeout`, `backoff_first`, `backoff_max`, `max_connections`,
    /// `max_request_len`; and `when_down=fail` or `next_server`, `continuum=libketama` or `plain`. A later call of a
    /// method overrides them.
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
}

impl Client {
    /// Returns the value of `key`.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let page: Option<Vec<u8>> = client.get("page-42").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Error> {
        self.run(operations::get(key.as_ref(), None)).await
    }

    /// Returns the value of `key` with its metadata.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// if let Some(entry) = client.get_entry("page-42").await? {
    ///     println!("{} bytes", entry.value.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>, Error> {
        self.run(operations::get_entry(key.as_ref())).await
    }

    /// Returns the value of `key`, and sets its TTL.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let session = client.get_and_touch("session-17", Ttl::from_secs(1800)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_and_touch(&self, key: impl AsRef<[u8]>, ttl: impl Into<Ttl>) -> Result<Option<Vec<u8>>, Error> {
        self.run(operations::get(key.as_ref(), Some(exptime(ttl)))).await
    }

    /// Sets the TTL of `key`, and returns whether it existed.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let is_there = client.touch("session-17", Ttl::from_secs(1800)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn touch(&self, key: impl AsRef<[u8]>, ttl: impl Into<Ttl>) -> Result<bool, Error> {
        self.run(operations::touch(key.as_ref(), exptime(ttl))).await
    }

    /// Stores `value` under `key`, and replaces an existing value. When this returns, the server has acknowledged it.
    ///
    /// # Errors
    /// See [`Error`]. If the value is too large for the server, the old value is deleted too.
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// client.set("page-42", "<p>Hello", Ttl::from_secs(60)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        attributes: impl Into<Attributes>,
    ) -> Result<(), Error> {
        self.run(operations::set(key.as_ref(), value.as_ref(), attributes.into(), self.max_request_len())).await
    }

    /// Stores `value` under `key` if there is no value; [`WriteResult::Conflict`] means that there is one.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let is_ours = client.add("job-9", "taken", Ttl::from_secs(60)).await?.is_stored();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn add(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        attributes: impl Into<Attributes>,
    ) -> Result<WriteResult, Error> {
        self.store(Mode::Add, key.as_ref(), value.as_ref(), attributes.into()).await
    }

    /// Stores `value` under `key` if there is a value; [`WriteResult::NotFound`] means that there is none.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let was_there = client.replace("session-17", "user=ada", Ttl::from_secs(1800)).await?.is_stored();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn replace(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        attributes: impl Into<Attributes>,
    ) -> Result<WriteResult, Error> {
        self.store(Mode::Replace, key.as_ref(), value.as_ref(), attributes.into()).await
    }

    /// Appends `suffix` to the value of `key`, which keeps its TTL and its client flags; [`WriteResult::NotFound`]
    /// means that there is no value.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let was_there = client.append("visitors", ",ada").await?.is_stored();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn append(&self, key: impl AsRef<[u8]>, suffix: impl AsRef<[u8]>) -> Result<WriteResult, Error> {
        self.store(Mode::Append, key.as_ref(), suffix.as_ref(), Attributes::new(Ttl::Never)).await
    }

    /// Prepends `prefix` to the value of `key`, which keeps its TTL and its client flags; [`WriteResult::NotFound`]
    /// means that there is no value.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let was_there = client.prepend("visitors", "ada,").await?.is_stored();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn prepend(&self, key: impl AsRef<[u8]>, prefix: impl AsRef<[u8]>) -> Result<WriteResult, Error> {
        self.store(Mode::Prepend, key.as_ref(), prefix.as_ref(), Attributes::new(Ttl::Never)).await
    }

    /// Stores `value` under `key` if the current value still has this version, which [`get_entry`](Client::get_entry)
    /// or an earlier write returned.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl, WriteResult};
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// if let Some(entry) = client.get_entry("cart-3").await? {
    ///     let more = [&entry.value[..], b",apples"].concat();
    ///     match client.compare_and_set("cart-3", more, Ttl::Never, entry.version).await? {
    ///         WriteResult::Stored(version) => println!("ours, as {version:?}"),
    ///         WriteResult::Conflict => println!("another client was faster: read it again"),
    ///         WriteResult::NotFound => println!("it is gone"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn compare_and_set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        attributes: impl Into<Attributes>,
        version: Version,
    ) -> Result<WriteResult, Error> {
        self.store(Mode::IfVersion(version), key.as_ref(), value.as_ref(), attributes.into()).await
    }

    /// Adds `by` to the decimal number under `key`, and returns the sum, or `None` if there is no value. It wraps
    /// around at 2⁶⁴.
    ///
    /// # Errors
    /// See [`Error`]; [`Rejection::NotANumber`](crate::Rejection::NotANumber) if the value is not a number.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let visits: Option<u64> = client.incr("visits", 1).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn incr(&self, key: impl AsRef<[u8]>, by: u64) -> Result<Option<u64>, Error> {
        self.run(operations::count(key.as_ref(), Direction::Up, by)).await
    }

    /// Subtracts `by` from the decimal number under `key`, but not below zero, and returns the difference, or `None` if
    /// there is no value.
    ///
    /// # Errors
    /// See [`Error`]; [`Rejection::NotANumber`](crate::Rejection::NotANumber) if the value is not a number.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let left: Option<u64> = client.decr("tickets", 2).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn decr(&self, key: impl AsRef<[u8]>, by: u64) -> Result<Option<u64>, Error> {
        self.run(operations::count(key.as_ref(), Direction::Down, by)).await
    }

    /// Deletes `key`, and returns whether it existed.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let was_there = client.delete("session-17").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.run(operations::delete(key.as_ref())).await
    }

    /// Returns the values of all `keys`, in one round trip to each server. If a server is down, only its keys fail.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// for value in client.get_many(&["page-1", "page-2"]).await.all()? {
    ///     println!("{} bytes", value.map_or(0, |value| value.len()));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> BatchResults<Option<Vec<u8>>> {
        self.run_all(keys.iter().map(|key| operations::get(key.as_ref(), None))).await
    }

    /// Stores all `pairs` of a key and a value, as [`set`](Client::set) does, in few round trips to each server. If a
    /// key occurs twice, the last value stays. If a server is down or refuses a value, only the affected keys fail.
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// client.set_many(&[("page-1", "one"), ("page-2", "two")], Ttl::from_secs(60)).await.all()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: &[(K, V)],
        attributes: impl Into<Attributes>,
    ) -> BatchResults<()> {
        let (attributes, max_request_len) = (attributes.into(), self.max_request_len());
        self.run_all(
            pairs.iter().map(|(key, value)| operations::set(key.as_ref(), value.as_ref(), attributes, max_request_len)),
        )
        .await
    }

    /// Deletes all `keys`, in few round trips to each server, and returns for each whether it existed. If a server is
    /// down, only its keys fail.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let were_there: Vec<bool> = client.delete_many(&["page-1", "page-2"]).await.all()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> BatchResults<bool> {
        self.run_all(keys.iter().map(|key| operations::delete(key.as_ref()))).await
    }

    /// Waits for the lock of `key`, as long as the options allow; returns `None` if other clients held it all that
    /// time. Waiting callers are served in the order of arrival. The lock ends when the [`Lock`] is dropped, or after
    /// its TTL.
    ///
    /// Locks are advisory: clients can read and write without a lock.
    ///
    /// # Errors
    /// See [`Error`]; [`Rejection::Unsupported`](crate::Rejection::Unsupported) if the server has no locks.
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, LockOptions};
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// match client.lock("cart-3", LockOptions::new()).await? {
    ///     Some(lock) => println!("ours until it is dropped"),
    ///     None => println!("another client holds it"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lock(&self, key: impl AsRef<[u8]>, options: LockOptions) -> Result<Option<Lock>, Error> {
        let locked = self.acquire(key.as_ref(), options, false).await?;
        Ok(locked.map(|(lock, _)| lock))
    }

    /// The same as [`lock`](Client::lock) and then [`Lock::get`], in one round trip.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, LockOptions, Ttl};
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// if let Some((lock, session)) = client.lock_and_get("session-17", LockOptions::new()).await? {
    ///     let session = [&session.unwrap_or_default()[..], b";seen"].concat();
    ///     lock.set_and_release(session, Ttl::from_secs(1800)).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lock_and_get(&self, key: impl AsRef<[u8]>, options: LockOptions) -> Result<Option<Locked>, Error> {
        self.acquire(key.as_ref(), options, true).await
    }

    /// Marks the value of `key` as stale, and returns whether it existed. The server still returns it; the next reader
    /// with [`get_or_refresh`](Client::get_or_refresh) computes it again.
    ///
    /// Read such a key by that call only: the server may choose any other read to compute the value, and that read
    /// ignores it.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let was_there = client.invalidate("page-42").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn invalidate(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.run(operations::invalidate(key.as_ref(), None)).await
    }

    /// The servers, in the order in which they were configured.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// for (server, result) in client.servers().iter().zip(client.ping().await) {
    ///     println!("{server}: {result:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn servers(&self) -> Vec<String> {
        self.servers.names()
    }

    /// Checks that each server responds.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// client.ping().await.all()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ping(&self) -> BatchResults<()> {
        self.ask_each(Ping).await
    }

    /// Returns the version of each server.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let versions: Vec<String> = client.version().await.all()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn version(&self) -> BatchResults<String> {
        self.ask_each(ServerVersion).await
    }

    /// Returns the statistics of each server, by their names.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// for stats in client.stats().await.all()? {
    ///     println!("{:?} pairs", stats.get("curr_items"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stats(&self) -> BatchResults<BTreeMap<String, String>> {
        self.ask_each(Statistics).await
    }

    /// Deletes all pairs of each server.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// client.flush().await.all()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn flush(&self) -> BatchResults<()> {
        self.ask_each(Flush).await
    }

    /// Returns the value of `key`. If there is none, it is computed and stored. If it expires soon, or was marked as
    /// stale, one caller of all clients computes it again, while the others use the old value.
    ///
    /// A value that another client stores meanwhile stays. If computing fails, the old value stays too, and the next
    /// caller is chosen.
    ///
    /// # Errors
    /// The error of `compute`, or of the client.
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, RefreshOptions, Ttl};
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let options = RefreshOptions::new(Ttl::from_secs(600));
    /// let page = client.get_or_refresh("page-42", options, || async { Ok::<_, Error>(b"<p>Hello".to_vec()) }).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_or_refresh<E, Computing>(
        &self,
        key: impl AsRef<[u8]>,
        options: RefreshOptions,
        compute: impl FnOnce() -> Computing,
    ) -> Result<Vec<u8>, E>
    where
        E: From<Error>,
        Computing: Future<Output = Result<Vec<u8>, E>>,
    {
        let key = key.as_ref();
        let version = match Need::of(self.run(operations::look(key, options.before)).await?) {
            Need::Nothing(value) => return Ok(value),
            Need::Compute(version) => version,
        };
        match compute().await {
            Ok(value) => {
                // A value that another client stored meanwhile stays.
                let _ = self.store(refresh::mode(version), key, &value, options.attributes).await?;
                Ok(value)
            }
            Err(error) => {
                if version.is_some() {
                    // Whether or not this succeeds, the error of `compute` is returned.
                    let _ = self.run(operations::invalidate(key, version)).await;
                }
                Err(error)
            }
        }
    }

    /// Returns the value of `key`, which was stored by [`set_json`](Client::set_json).
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Decode`] if the value is not JSON of this type.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let cart: Option<Vec<String>> = client.get_json("cart-3").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "serde")]
    pub async fn get_json<T: serde::de::DeserializeOwned>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>, Error> {
        self.get(key).await?.map(|value| typed::decode(&value)).transpose()
    }

    /// Stores `value` as JSON under `key`, and replaces an existing value: see [`set`](Client::set).
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Encode`] if the value cannot be written as JSON.
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// client.set_json("cart-3", &["apples", "pears"], Ttl::from_secs(1800)).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "serde")]
    pub async fn set_json(
        &self,
        key: impl AsRef<[u8]>,
        value: &impl serde::Serialize,
        attributes: impl Into<Attributes>,
    ) -> Result<(), Error> {
        self.set(key, typed::encode(value)?, attributes).await
    }

    async fn store(&self, mode: Mode, key: &[u8], value: &[u8], attributes: Attributes) -> Result<WriteResult, Error> {
        self.run(operations::store(mode, key, value, attributes, self.max_request_len())).await
    }

    fn max_request_len(&self) -> usize {
        self.servers.options.max_request_len
    }

    async fn acquire(&self, key: &[u8], options: LockOptions, with_value: bool) -> Result<Option<Locked>, Error> {
        let outcome = drive(acquire(&self.servers, checked(key)?, options, with_value)).await;
        Ok(acquired(key, outcome)?.map(|(held, value)| (Lock { held }, value)))
    }

    async fn run<C: Command>(&self, command: Result<C, Error>) -> Result<C::Output, Error> {
        single(drive(Failover::new(&self.servers, vec![command?], self.deadline())).await)
    }

    async fn run_all<C: Command>(
        &self,
        commands: impl IntoIterator<Item = Result<C, Error>>,
    ) -> BatchResults<C::Output> {
        drive(Batch::new(&self.servers, commands, self.deadline())).await
    }

    async fn ask_each<C: Command>(&self, command: C) -> BatchResults<C::Output> {
        drive(Batch::of_each_server(&self.servers, command, self.deadline())).await
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.servers.options.operation_timeout)
    }
}

impl Builder<Client> {
    /// Returns the client. It does not connect yet.
    ///
    /// # Errors
    /// [`Error::Address`] if an address cannot be parsed.
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
