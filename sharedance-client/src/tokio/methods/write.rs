//! Writes, touches and deletes of one key.

use sharedance_core::{Version, WriteResult};

use crate::attributes::Attributes;
use crate::command::Mode;
use crate::error::Error;
use crate::operations::{self, exptime};
use crate::tokio::client::Client;
use crate::ttl::Ttl;

impl Client {
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

    /// Stores `value` under `key` if there is a value; otherwise returns [`WriteResult::NotFound`].
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

    pub(super) async fn store(
        &self,
        mode: Mode,
        key: &[u8],
        value: &[u8],
        attributes: Attributes,
    ) -> Result<WriteResult, Error> {
        self.run(operations::store(mode, key, value, attributes, self.max_request_len())).await
    }
}
