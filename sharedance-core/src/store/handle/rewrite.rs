//! Making a new value from the one that is there, as one step.

use crate::store::api::request::{Outcome, Update};
use crate::store::api::value::Value;
use crate::store::error::StoreError;
use crate::store::handle::store::Store;
use crate::store::operations::draft::Rewrite;
use crate::store::segment::record::Pinned;

/// Making a new value from the one that is there, as one step.
impl Store {
    /// Puts `tail` behind the value of `key`, whose deadline and client flags stay. [`Outcome::Missing`] where there is
    /// no value. It is a write of the whole new value.
    ///
    /// ```
    /// # use sharedance_core::store::{Outcome, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// assert_eq!(store.append("seen:17", " tea")?, Outcome::Missing);
    /// store.set("seen:17", "milk")?;
    /// assert!(store.append("seen:17", " tea")?.is_done());
    /// assert_eq!(store.get("seen:17").unwrap(), "milk tea");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn append(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        tail: &(impl AsRef<[u8]> + ?Sized),
    ) -> Result<Outcome, StoreError> {
        let (key, tail) = (key.as_ref(), tail.as_ref());
        self.change(|shared| {
            shared.with_room(|writer| {
                let join =
                    |current: &Pinned| writer.write_after(key, current, &[current.value(), tail], Rewrite::default());
                writer.engine.rewrite(key, join)
            })
        })
    }

    /// Puts `head` in front of the value of `key`: otherwise as [`Store::append`].
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("path", "/bin")?;
    /// store.prepend("path", "/usr/local/bin:")?;
    /// assert_eq!(store.get("path").unwrap(), "/usr/local/bin:/bin");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn prepend(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        head: &(impl AsRef<[u8]> + ?Sized),
    ) -> Result<Outcome, StoreError> {
        let (key, head) = (key.as_ref(), head.as_ref());
        self.change(|shared| {
            shared.with_room(|writer| {
                let join =
                    |current: &Pinned| writer.write_after(key, current, &[head, current.value()], Rewrite::default());
                writer.engine.rewrite(key, join)
            })
        })
    }

    /// Replaces the value of `key` by what `change` makes of it, as one step: no other write comes in between. The
    /// client flags stay, and the deadline unless the [`Update`] has another. [`Outcome::Missing`] where there is no
    /// value.
    ///
    /// `change` runs without any lock, and again if another write was faster: the last call counts. An error of its
    /// ends the update, and the value stays.
    ///
    /// ```
    /// # use sharedance_core::store::{Store, StoreError, Update, Value};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("scores", "3,4")?;
    /// let add_score = |scores: &Value| -> Result<Update, StoreError> { Ok([scores, &b",5"[..]].concat().into()) };
    /// assert!(store.update("scores", add_score)?.is_done());
    /// assert_eq!(store.get("scores").unwrap(), "3,4,5");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of `change`; otherwise as for [`Store::set`].
    pub fn update<E: From<StoreError>>(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        change: impl Fn(&Value) -> Result<Update, E>,
    ) -> Result<Outcome, E> {
        let key = key.as_ref();
        self.change(|shared| {
            shared.engine.rewrite(key, |current| {
                let update = change(&Value::new(current.clone()))?;
                Ok(shared.with_room(|writer| writer.write_update(key, current, &update))?)
            })
        })
    }

    /// Adds `delta` to the number in decimal digits that is the value of `key`, wrapping at 2⁶⁴; answers the sum, or
    /// `None` where there is no value. Its deadline stays.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::store::{Store, StoreError};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// // Three attempts a minute for each address.
    /// let is_allowed = |address: &str| -> Result<bool, StoreError> {
    ///     let key = format!("attempts:{address}");
    ///     store.add(&key, "0", Duration::from_secs(60))?;
    ///     Ok(store.incr(&key, 1)?.is_none_or(|attempts| attempts <= 3))
    /// };
    /// for _ in 0..3 {
    ///     assert!(is_allowed("192.0.2.1")?);
    /// }
    /// assert!(!is_allowed("192.0.2.1")? && is_allowed("192.0.2.2")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::NotANumber`] where the value is not a number; otherwise as for [`Store::set`].
    pub fn incr(&self, key: &(impl AsRef<[u8]> + ?Sized), delta: u64) -> Result<Option<u64>, StoreError> {
        self.change(|shared| shared.with_room(|writer| writer.count(key.as_ref(), |number| number.wrapping_add(delta))))
    }

    /// Takes `delta` from the number in decimal digits that is the value of `key`, stopping at zero: otherwise as
    /// [`Store::incr`].
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("tickets", "2")?;
    /// assert_eq!(store.decr("tickets", 1)?, Some(1));
    /// assert_eq!(store.decr("tickets", 5)?, Some(0));
    /// assert_eq!(store.decr("prizes", 1)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Store::incr`].
    pub fn decr(&self, key: &(impl AsRef<[u8]> + ?Sized), delta: u64) -> Result<Option<u64>, StoreError> {
        self.change(|shared| {
            shared.with_room(|writer| writer.count(key.as_ref(), |number| number.saturating_sub(delta)))
        })
    }
}
