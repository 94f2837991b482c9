//! Making a new value from the one that is there, as one step.

use super::Store;
use crate::store::error::StoreError;
use crate::store::pairs::Marks;
use crate::store::value::Value;
use crate::store::writing::{Outcome, Update};

impl Store {
    /// Puts `tail` behind the value of `key`, whose deadline and client flags stay. [`Outcome::Missing`] where there is
    /// no value.
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn append(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        tail: &(impl AsRef<[u8]> + ?Sized),
    ) -> Result<Outcome, StoreError> {
        let (key, tail) = (key.as_ref(), tail.as_ref());
        self.inner.change(|inner| {
            inner.rewrite(key, |current| {
                inner.write_after(key, current, &[current.value(), tail], None, Marks::default())
            })
        })
    }

    /// Puts `head` in front of the value of `key`: otherwise as [`Store::append`].
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn prepend(
        &self,
        key: &(impl AsRef<[u8]> + ?Sized),
        head: &(impl AsRef<[u8]> + ?Sized),
    ) -> Result<Outcome, StoreError> {
        let (key, head) = (key.as_ref(), head.as_ref());
        self.inner.change(|inner| {
            inner.rewrite(key, |current| {
                inner.write_after(key, current, &[head, current.value()], None, Marks::default())
            })
        })
    }

    /// Replaces the value of `key` by what `change` makes of it, as one step: no other write comes in between. The client
    /// flags stay, and the deadline unless the [`Update`] has another. `change` may be called more than once; the last call counts, and an error of its ends the
    /// update. [`Outcome::Missing`] where there is no value.
    ///
    /// ```
    /// # use sharedance_core::store::{Store, StoreError};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set(b"name", b"ada")?;
    /// store.update(b"name", |name| Ok::<_, StoreError>(name.to_ascii_uppercase().into()))?;
    /// assert_eq!(store.get(b"name").expect("it is there"), b"ADA");
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
        self.inner.change(|inner| {
            inner.rewrite(key, |current| {
                let update = change(&Value::new(current.clone()))?;
                Ok(inner.write_update(key, current, &update)?)
            })
        })
    }

    /// Adds `delta` to the number in decimal digits that is the value of `key`, wrapping at 2⁶⁴; answers the sum, or
    /// `None` where there is no value.
    ///
    /// # Errors
    /// [`StoreError::NotANumber`] where the value is none; otherwise as for [`Store::set`].
    pub fn incr(&self, key: &(impl AsRef<[u8]> + ?Sized), delta: u64) -> Result<Option<u64>, StoreError> {
        self.inner.change(|inner| inner.count(key.as_ref(), |number| number.wrapping_add(delta)))
    }

    /// Takes `delta` from the number in decimal digits that is the value of `key`, stopping at zero: otherwise as
    /// [`Store::incr`].
    ///
    /// # Errors
    /// As for [`Store::incr`].
    pub fn decr(&self, key: &(impl AsRef<[u8]> + ?Sized), delta: u64) -> Result<Option<u64>, StoreError> {
        self.inner.change(|inner| inner.count(key.as_ref(), |number| number.saturating_sub(delta)))
    }
}
