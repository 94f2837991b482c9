//! Reads of one key.

use crate::entry::Entry;
use crate::error::Error;
use crate::operations::{self, exptime};
use crate::tokio::client::Client;
use crate::ttl::Ttl;

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
}
