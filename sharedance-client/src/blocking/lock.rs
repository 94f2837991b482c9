//! The locks of the blocking client.

use std::fmt;

use crate::attributes::Attributes;
use crate::call::Held;
use crate::error::Error;
use crate::operations::exptime;
use crate::ttl::Ttl;

use super::driver::{Blocking, drive};

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
/// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
/// if let Some(mut lock) = client.lock("visitors", LockOptions::new())? {
///     let visitors = lock.get()?.unwrap_or_default();
///     lock.set([&visitors[..], b",ada"].concat(), Ttl::Never)?;
/// } // released here
/// # Ok(())
/// # }
/// ```
#[must_use = "a lock that is not kept is released at once"]
pub struct Lock {
    pub(super) held: Held<Blocking>,
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
    /// # fn example(mut lock: sharedance_client::Lock) -> Result<(), Error> {
    /// let value: Option<Vec<u8>> = lock.get()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get(&mut self) -> Result<Option<Vec<u8>>, Error> {
        drive(self.held.get())
    }

    /// Stores `value` under the key.
    ///
    /// # Errors
    /// [`Error::LockExpired`] and [`Error::Conflict`]: nothing was stored; [`Error::LockLost`] once the connection has
    /// failed; and the errors of other calls.
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # fn example(mut lock: sharedance_client::Lock) -> Result<(), Error> {
    /// lock.set("user=ada", Ttl::from_secs(1800))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set(&mut self, value: impl AsRef<[u8]>, attributes: impl Into<Attributes>) -> Result<(), Error> {
        drive(self.held.set(value.as_ref(), attributes.into())?)
    }

    /// Sets the TTL of the key, and returns whether it existed.
    ///
    /// # Errors
    /// [`Error::LockExpired`]; [`Error::LockLost`] once the connection has failed; and the errors of other calls.
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # fn example(mut lock: sharedance_client::Lock) -> Result<(), Error> {
    /// let is_there = lock.touch(Ttl::from_secs(1800))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn touch(&mut self, ttl: impl Into<Ttl>) -> Result<bool, Error> {
        drive(self.held.touch(exptime(ttl)))
    }

    /// Deletes the key, and returns whether it existed.
    ///
    /// # Errors
    /// [`Error::LockExpired`]; [`Error::LockLost`] once the connection has failed; and the errors of other calls.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # fn example(mut lock: sharedance_client::Lock) -> Result<(), Error> {
    /// let was_there = lock.delete()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete(&mut self) -> Result<bool, Error> {
        drive(self.held.delete())
    }

    /// Releases the lock, and returns whether it was held until now: whether its TTL was long enough.
    ///
    /// # Errors
    /// See [`Error`]. The lock is released in any case: the connection is closed.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # fn example(lock: sharedance_client::Lock) -> Result<(), Error> {
    /// let was_held = lock.release()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn release(mut self) -> Result<bool, Error> {
        drive(self.held.release())
    }

    /// Stores `value` under the key and then releases the lock, in one round trip.
    ///
    /// # Errors
    /// As [`set`](Lock::set). The lock is released in any case.
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # fn example(lock: sharedance_client::Lock) -> Result<(), Error> {
    /// lock.set_and_release("user=ada", Ttl::from_secs(1800))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_and_release(mut self, value: impl AsRef<[u8]>, attributes: impl Into<Attributes>) -> Result<(), Error> {
        drive(self.held.set_and_release(value.as_ref(), attributes.into())?)
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").field("server", &self.held.server.name()).field("key_len", &self.held.key.len()).finish()
    }
}
