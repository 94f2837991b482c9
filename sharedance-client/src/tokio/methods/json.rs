//! Values as JSON.

use crate::attributes::Attributes;
use crate::error::Error;
use crate::tokio::client::Client;
use crate::typed;

impl Client {
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
    pub async fn set_json(
        &self,
        key: impl AsRef<[u8]>,
        value: &impl serde::Serialize,
        attributes: impl Into<Attributes>,
    ) -> Result<(), Error> {
        self.set(key, typed::encode(value)?, attributes).await
    }
}
