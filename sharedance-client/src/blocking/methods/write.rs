//! Writes, touches and deletes of one key.

use sharedance_core::{Version, WriteResult};

use crate::attributes::Attributes;
use crate::blocking::client::Client;
use crate::command::Mode;
use crate::error::Error;
use crate::operations::{self, exptime};
use crate::ttl::Ttl;

impl Client {
    /// Stores `value` under `key`, and replaces an existing value. When this returns, the server has acknowledged it.
    ///
    /// # Errors
    /// See [`Error`]. If the value is too large for the server, the old value is deleted too.
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// client.set("page-42", "<p>Hello", Ttl::from_secs(60))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        attributes: impl Into<Attributes>,
    ) -> Result<(), Error> {
        self.run(operations::set(key.as_ref(), value.as_ref(), attributes.into(), self.max_request_len()))
    }

    /// Stores `value` under `key` if there is no value; [`WriteResult::Conflict`] means that there is one.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// let is_ours = client.add("job-9", "taken", Ttl::from_secs(60))?.is_stored();
    /// # Ok(())
    /// # }
    /// ```
    pub fn add(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        attributes: impl Into<Attributes>,
    ) -> Result<WriteResult, Error> {
        self.store(Mode::Add, key.as_ref(), value.as_ref(), attributes.into())
    }

    /// Stores `value` under `key` if there is a value; otherwise returns [`WriteResult::NotFound`].
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// let was_there = client.replace("session-17", "user=ada", Ttl::from_secs(1800))?.is_stored();
    /// # Ok(())
    /// # }
    /// ```
    pub fn replace(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        attributes: impl Into<Attributes>,
    ) -> Result<WriteResult, Error> {
        self.store(Mode::Replace, key.as_ref(), value.as_ref(), attributes.into())
    }

    /// Appends `suffix` to the value of `key`, which keeps its TTL and its client flags; [`WriteResult::NotFound`]
    /// means that there is no value.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// let was_there = client.append("visitors", ",ada")?.is_stored();
    /// # Ok(())
    /// # }
    /// ```
    pub fn append(&self, key: impl AsRef<[u8]>, suffix: impl AsRef<[u8]>) -> Result<WriteResult, Error> {
        self.store(Mode::Append, key.as_ref(), suffix.as_ref(), Attributes::new(Ttl::Never))
    }

    /// Prepends `prefix` to the value of `key`, which keeps its TTL and its client flags; [`WriteResult::NotFound`]
    /// means that there is no value.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// let was_there = client.prepend("visitors", "ada,")?.is_stored();
    /// # Ok(())
    /// # }
    /// ```
    pub fn prepend(&self, key: impl AsRef<[u8]>, prefix: impl AsRef<[u8]>) -> Result<WriteResult, Error> {
        self.store(Mode::Prepend, key.as_ref(), prefix.as_ref(), Attributes::new(Ttl::Never))
    }

    /// Stores `value` under `key` if the current value still has this version, which [`get_entry`](Client::get_entry)
    /// or an earlier write returned.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl, WriteResult};
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// if let Some(entry) = client.get_entry("cart-3")? {
    ///     let more = [&entry.value[..], b",apples"].concat();
    ///     match client.compare_and_set("cart-3", more, Ttl::Never, entry.version)? {
    ///         WriteResult::Stored(version) => println!("ours, as {version:?}"),
    ///         WriteResult::Conflict => println!("another client was faster: read it again"),
    ///         WriteResult::NotFound => println!("it is gone"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn compare_and_set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        attributes: impl Into<Attributes>,
        version: Version,
    ) -> Result<WriteResult, Error> {
        self.store(Mode::IfVersion(version), key.as_ref(), value.as_ref(), attributes.into())
    }

    /// Sets the TTL of `key`, and returns whether it existed.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// let is_there = client.touch("session-17", Ttl::from_secs(1800))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn touch(&self, key: impl AsRef<[u8]>, ttl: impl Into<Ttl>) -> Result<bool, Error> {
        self.run(operations::touch(key.as_ref(), exptime(ttl)))
    }

    /// Deletes `key`, and returns whether it existed.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// let was_there = client.delete("session-17")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.run(operations::delete(key.as_ref()))
    }

    pub(super) fn store(
        &self,
        mode: Mode,
        key: &[u8],
        value: &[u8],
        attributes: Attributes,
    ) -> Result<WriteResult, Error> {
        self.run(operations::store(mode, key, value, attributes, self.max_request_len()))
    }
}
