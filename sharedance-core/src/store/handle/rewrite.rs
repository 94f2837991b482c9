//! Making a new value from the one that is there, as one step.

use crate::WriteResult;
use crate::store::api::request::Update;
use crate::store::api::value::Value;
use crate::store::error::StoreError;
use crate::store::handle::store::Store;
use crate::store::operations::draft::Rewrite;
use crate::store::segment::record::Pinned;

/// Making a new value from the one that is there, as one step.
impl Store {
    /// Puts `tail` behind the value of `key`, whose deadline and client flags stay. [`WriteResult::NotFound`] where there is
    /// no value. It is a write of the whole new value.
    ///
    /// ```
    /// # use sharedance_core::WriteResult;
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// assert_eq!(store.append("seen:17", " tea")?, WriteResult::NotFound);
    /// store.set("seen:17", "milk")?;
    /// assert!(store.append("seen:17", " tea")?.is_stored());
    /// assert_eq!(store.get("seen:17").unwrap(), "milk tea");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn append(&self, key: impl AsRef<[u8]>, tail: impl AsRef<[u8]>) -> Result<WriteResult, StoreError> {
        self.append_bytes(key.as_ref(), tail.as_ref())
    }

    fn append_bytes(&self, key: &[u8], tail: &[u8]) -> Result<WriteResult, StoreError> {
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
    /// assert!(store.prepend("path", "/usr/local/bin:")?.is_stored());
    /// assert_eq!(store.get("path").unwrap(), "/usr/local/bin:/bin");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn prepend(&self, key: impl AsRef<[u8]>, head: impl AsRef<[u8]>) -> Result<WriteResult, StoreError> {
        self.prepend_bytes(key.as_ref(), head.as_ref())
    }

    fn prepend_bytes(&self, key: &[u8], head: &[u8]) -> Result<WriteResult, StoreError> {
        self.change(|shared| {
            shared.with_room(|writer| {
                let join =
                    |current: &Pinned| writer.write_after(key, current, &[head, current.value()], Rewrite::default());
                writer.engine.rewrite(key, join)
            })
        })
    }

    /// Replaces the value of `key` by what `change` makes of it, as one step: no other write comes in between. The
    /// client flags stay, and the deadline unless the [`Update`] has another. [`WriteResult::NotFound`] where there is no
    /// value.
    ///
    /// `change` is called without any lock, and again if another thread has stored a value meanwhile: the result of the last
    /// call is stored. It may keep what it computes in variables around it. If it returns an error, the update ends, and
    /// the value stays.
    ///
    /// ```
    /// # use sharedance_core::store::{Store, StoreError, Update, Value};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("scores", "3,4")?;
    /// let mut len_before = 0;
    /// let add_score = |scores: &Value| -> Result<Update, StoreError> {
    ///     len_before = scores.len();
    ///     Ok(Update::new([scores, &b",5"[..]].concat()))
    /// };
    /// assert!(store.update("scores", add_score)?.is_stored());
    /// assert_eq!(len_before, 3);
    /// assert_eq!(store.get("scores").unwrap(), "3,4,5");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of `change`; otherwise as for [`Store::set`].
    pub fn update<E: From<StoreError>>(
        &self,
        key: impl AsRef<[u8]>,
        mut change: impl FnMut(&Value) -> Result<Update, E>,
    ) -> Result<WriteResult, E> {
        let key = key.as_ref();
        self.change(|shared| {
            shared.engine.rewrite(key, |current| {
                let update = change(&Value::new(current.clone()))?;
                Ok(shared.with_room(|writer| writer.write_update(key, current, &update))?)
            })
        })
    }

    /// Adds `delta` to the number in decimal digits that is the value of `key`, wrapping at 2⁶⁴; returns the sum, or
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
    pub fn incr(&self, key: impl AsRef<[u8]>, delta: u64) -> Result<Option<u64>, StoreError> {
        self.count(key.as_ref(), |number| number.wrapping_add(delta))
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
    pub fn decr(&self, key: impl AsRef<[u8]>, delta: u64) -> Result<Option<u64>, StoreError> {
        self.count(key.as_ref(), |number| number.saturating_sub(delta))
    }

    fn count(&self, key: &[u8], change: impl Fn(u64) -> u64) -> Result<Option<u64>, StoreError> {
        self.change(|shared| shared.with_room(|writer| writer.count(key, &change)))
    }
}
