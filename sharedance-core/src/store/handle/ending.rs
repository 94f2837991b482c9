//! Ending the life of pairs, or moving its end.

use super::Store;
use crate::store::error::StoreError;
use crate::store::value::Value;
use crate::store::writing::{Condition, Outcome, Ttl};

impl Store {
    /// Lets `key` live for `ttl` from now on; answers whether it has a value that has not expired. Costs no room, and
    /// leaves the version as it is.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] after a failed sync. Want of room is no hindrance.
    pub fn touch(&self, key: &(impl AsRef<[u8]> + ?Sized), ttl: impl Into<Ttl>) -> Result<bool, StoreError> {
        self.get_and_touch(key, ttl).map(|value| value.is_some())
    }

    /// The value of `key`, which lives for `ttl` from now on.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] after a failed sync. Want of room is no hindrance.
    pub fn get_and_touch(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        ttl: impl Into<Ttl>,
    ) -> Result<Option<Value>, StoreError> {
        let key = key.as_ref();
        self.inner.change(|inner| Ok(inner.touch(inner.hash(key), key, ttl.into()).map(Value::new)))
    }

    /// Marks the value of `key` as stale if `condition` holds, and lets it live for `ttl` from now on if one is given.
    /// Readers still get it; the first one who looks ([`Store::look`]) is told to make a new one, [`Refresh::You`],
    /// whoever was told so before. It gets a new [version](Value::version), so that whoever made a value from the one
    /// before does not take the mark away with a [`Store::compare_and_set`].
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn invalidate(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        condition: Condition,
        ttl: Option<Ttl>,
    ) -> Result<Outcome, StoreError> {
        self.inner.change(|inner| inner.invalidate(key.as_ref(), condition, ttl))
    }

    /// Deletes `key`; answers whether it had a value that had not expired. When this returns, the pair does not come
    /// back, whatever happens to the process.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] after a failed sync. Want of room is no hindrance.
    pub fn delete(&self, key: &(impl AsRef<[u8]> + ?Sized)) -> Result<bool, StoreError> {
        self.delete_if(key, Condition::Always).map(Outcome::is_done)
    }

    /// Deletes `key` if `condition` holds. [`Outcome::Missing`] where there was nothing to delete.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] after a failed sync. Want of room is no hindrance.
    pub fn delete_if(&self, key: &(impl AsRef<[u8]> + ?Sized), condition: Condition) -> Result<Outcome, StoreError> {
        let key = key.as_ref();
        self.inner.change(|inner| Ok(inner.remove(inner.hash(key), key, condition, inner.timeline.now_ms())))
    }

    /// Deletes every pair that was stored before the call. Pairs that other threads store meanwhile may stay.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] after a failed sync. Want of room is no hindrance.
    pub fn clear(&self) -> Result<(), StoreError> {
        self.inner.change(|inner| {
            inner.clear();
            Ok(())
        })
    }
}
