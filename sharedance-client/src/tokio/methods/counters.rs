//! Decimal numbers.

use crate::command::Direction;
use crate::error::Error;
use crate::operations;
use crate::tokio::client::Client;

impl Client {
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
}
