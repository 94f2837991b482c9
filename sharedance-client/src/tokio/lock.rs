//! The locks of the client for tokio.

use std::fmt;

use crate::attributes::Attributes;
use crate::call::Held;
use crate::error::Error;
use crate::operations::exptime;
use crate::ttl::Ttl;

use super::driver::{Tokio, drive};

/// The lock of one key, held until this is dropped or its TTL has passed; see [`Client::lock`](super::Client::lock).
///
/// The key's value is read and written on the connection that holds the lock, and only while it holds the lock: once
/// the TTL has passed, every call changes nothing and fails with [`Error::LockExpired`], so that the value of the next
/// holder stays. A store replaces the value only if it is still the one that was read under the lock: if a client
/// without the lock has changed it, the store fails with [`Error::Conflict`].
///
/// Dropping a lock releases it without waiting for the server's response; [`release`](Lock::release) waits, and returns
/// whether the lock was held until then.
///
/// ```no_run
/// # use sharedance_client::{Error, LockOptions, Ttl};
/// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
/// if let Some(mut lock) = client.lock("visitors", LockOptions::new()).await? {
///     let visitors = lock.get().await?.unwrap_or_default();
///     lock.set([&visitors[..], b",ada"].concat(), Ttl::Never).await?;
/// } // released here
/// # Ok(())
/// # }
/// ```
#[must_use = "a lock that is not kept is released at once"]
pub struct Lock {
    pub(super) held: Held<Tokio>,
}

/// A lock, and the value that was read with it.
pub(super) type Locked = (Lock, Option<Vec<u8>>);

impl Lock {
    /// Returns the value of the key. A later store relies on it: see [`Lock`].
    ///
    /// # Errors
    /// [`Error::LockExpired`]; [`Error::LockLost`] once the connection has failed; and the errors of other calls.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(mut lock: sharedance_client::tokio::Lock) -> Result<(), Error> {
    /// let value: Option<Vec<u8>> = lock.get().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get(&mut self) -> Result<Option<Vec<u8>>, Error> {
        drive(self.held.get()).await
    }

    /// Stores `value` under the key.
    ///
    /// # Errors
    /// [`Error::LockExpired`] and [`Error::Conflict`]: nothing was stored; [`Error::LockLost`] once the connection has
    /// failed; and the errors of other calls.
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # async fn example(mut lock: sharedance_client::tokio::Lock) -> Result<(), Error> {
    /// lock.set("user=ada", Ttl::from_secs(1800)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set(&mut self, value: impl AsRef<[u8]>, attributes: impl Into<Attributes>) -> Result<(), Error> {
        drive(self.held.set(value.as_ref(), attributes.into())?).await
    }

    /// Sets the TTL of the key, and returns whether it existed.
    ///
    /// # Errors
    /// [`Error::LockExpired`]; [`Error::LockLost`] once the connection has failed; and the errors of other calls.
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # async fn example(mut lock: sharedance_client::tokio::Lock) -> Result<(), Error> {
    /// let is_there = lock.touch(Ttl::from_secs(1800)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn touch(&mut self, ttl: impl Into<Ttl>) -> Result<bool, Error> {
        drive(self.held.touch(exptime(ttl))).await
    }

    /// Deletes the key, and returns whether it existed.
    ///
    /// # Errors
    /// [`Error::LockExpired`]; [`Error::LockLost`] once the connection has failed; and the errors of other calls.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(mut lock: sharedance_client::tokio::Lock) -> Result<(), Error> {
    /// let was_there = lock.delete().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete(&mut self) -> Result<bool, Error> {
        drive(self.held.delete()).await
    }

    /// Releases the lock, and returns whether it was held until now: whether its TTL was long enough.
    ///
    /// # Errors
    /// See [`Error`]. The lock is released in any case: the connection is closed.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(lock: sharedance_client::tokio::Lock) -> Result<(), Error> {
    /// let was_held = lock.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn release(mut self) -> Result<bool, Error> {
        drive(self.held.release()).await
    }

    /// Stores `value` under the key and then releases the lock, in one round trip.
    ///
    /// # Errors
    /// As [`set`](Lock::set). The lock is released in any case.
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # async fn example(lock: sharedance_client::tokio::Lock) -> Result<(), Error> {
    /// lock.set_and_release("user=ada", Ttl::from_secs(1800)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set_and_release(
        mut self,
        value: impl AsRef<[u8]>,
        attributes: impl Into<Attributes>,
    ) -> Result<(), Error> {
        drive(self.held.set_and_release(value.as_ref(), attributes.into())?).await
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").field("server", &self.held.server.name()).field("key_len", &self.held.key.len()).finish()
    }
}
