//! Locks of keys.

use crate::blocking::client::Client;
use crate::blocking::driver::drive;
use crate::blocking::lock::{Lock, Locked};
use crate::call::{acquire, acquired};
use crate::error::Error;
use crate::operations::checked;
use crate::options::LockOptions;

impl Client {
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
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// match client.lock("cart-3", LockOptions::new())? {
    ///     Some(lock) => println!("ours until it is dropped"),
    ///     None => println!("another client holds it"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn lock(&self, key: impl AsRef<[u8]>, options: LockOptions) -> Result<Option<Lock>, Error> {
        let locked = self.acquire(key.as_ref(), options, false)?;
        Ok(locked.map(|(lock, _)| lock))
    }

    /// The same as [`lock`](Client::lock) and then [`Lock::get`], in one round trip.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, LockOptions, Ttl};
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// if let Some((lock, session)) = client.lock_and_get("session-17", LockOptions::new())? {
    ///     let session = [&session.unwrap_or_default()[..], b";seen"].concat();
    ///     lock.set_and_release(session, Ttl::from_secs(1800))?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn lock_and_get(&self, key: impl AsRef<[u8]>, options: LockOptions) -> Result<Option<Locked>, Error> {
        self.acquire(key.as_ref(), options, true)
    }

    fn acquire(&self, key: &[u8], options: LockOptions, with_value: bool) -> Result<Option<Locked>, Error> {
        let outcome = drive(acquire(&self.servers, checked(key)?, options, with_value));
        Ok(acquired(key, outcome)?.map(|(held, value)| (Lock { held }, value)))
    }
}
