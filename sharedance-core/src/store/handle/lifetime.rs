//! Ending the life of pairs, or moving its end.

use std::time::Duration;

use crate::WriteResult;
use crate::store::api::request::{Condition, DeleteResult, Ttl};
use crate::store::api::value::Value;
use crate::store::error::StoreError;
use crate::store::handle::store::Shared;
use crate::store::handle::store::Store;

/// Ending the life of pairs, or moving its end.
impl Store {
    /// Lets `key` live for `ttl` from now on, whether that is longer or shorter; returns whether it has a value that has not
    /// expired. Costs no room, and leaves the version as it is.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::{Options, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let (clock, hand) = Clock::manual();
    /// # let store = Options::new().clock(clock).open(dir.path())?;
    /// store.set_with_ttl("session:17", "user=ada", Duration::from_secs(60))?;
    /// hand.advance(Duration::from_secs(50));
    /// assert!(store.touch("session:17", Duration::from_secs(60))?);
    /// hand.advance(Duration::from_secs(50));
    /// assert!(store.contains("session:17"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] after a failed sync. Want of room is no hindrance.
    pub fn touch(&self, key: impl AsRef<[u8]>, ttl: impl Into<Ttl>) -> Result<bool, StoreError> {
        self.touch_bytes(key.as_ref(), ttl.into())
    }

    fn touch_bytes(&self, key: &[u8], ttl: Ttl) -> Result<bool, StoreError> {
        self.change(|Shared { engine, .. }| {
            Ok(engine.touch(engine.hash(key), key, ttl, engine.timeline.now()).is_some())
        })
    }

    /// The value of `key`, which lives for `ttl` from now on: for pairs that live for as long as they are read.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::{Options, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let (clock, hand) = Clock::manual();
    /// # let store = Options::new().clock(clock).open(dir.path())?;
    /// let half_an_hour = Duration::from_secs(30 * 60);
    /// store.set_with_ttl("session:17", "user=ada", half_an_hour)?;
    /// for _ in 0..10 {
    ///     hand.advance(half_an_hour / 2);
    ///     let session = store.get_and_touch("session:17", half_an_hour)?;
    ///     assert!(session.is_some_and(|session| session == "user=ada"));
    /// }
    /// hand.advance(half_an_hour);
    /// assert!(store.get_and_touch("session:17", half_an_hour)?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] after a failed sync. Want of room is no hindrance.
    pub fn get_and_touch(&self, key: impl AsRef<[u8]>, ttl: impl Into<Ttl>) -> Result<Option<Value>, StoreError> {
        self.get_and_touch_bytes(key.as_ref(), ttl.into())
    }

    fn get_and_touch_bytes(&self, key: &[u8], ttl: Ttl) -> Result<Option<Value>, StoreError> {
        self.change(|Shared { engine, .. }| {
            let now = engine.timeline.now();
            let touched = engine.touch(engine.hash(key), key, ttl, now);
            Ok(touched.inspect(|pinned| pinned.note_read(now.ms)).map(Value::new))
        })
    }

    /// Marks the value of `key` as stale if `condition` holds, and lets it live for `ttl` from now on if one is given.
    /// Readers still get it. The first reader that asks with [`Store::get_with`] makes a new one ([`Recache::Yours`]), even
    /// if another reader was chosen before. The value gets a new [version](Value::version), so that a
    /// [`Store::compare_and_set`] of a value made from the one before does not remove the mark.
    ///
    /// ```
    /// # use sharedance_core::store::{Condition, GetOptions, Recache, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("front page", "<html>old news")?;
    /// assert!(store.invalidate("front page", Condition::Present, None)?.is_stored());
    ///
    /// let get = || store.get_with("front page", GetOptions::new()).map(|entry| entry.expect("it was stored"));
    /// let first = get()?;
    /// assert!(first.is_stale && first.recache == Recache::Yours);
    /// // The others use the old page until the first has stored the new one.
    /// let second = get()?;
    /// assert!(second.value == "<html>old news" && second.recache == Recache::InProgress);
    /// store.set("front page", "<html>new")?;
    /// assert!(!get()?.is_stale);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [`Recache::Yours`]: crate::store::Recache::Yours
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn invalidate(
        &self,
        key: impl AsRef<[u8]>,
        condition: Condition,
        ttl: Option<Ttl>,
    ) -> Result<WriteResult, StoreError> {
        self.invalidate_bytes(key.as_ref(), condition, ttl)
    }

    fn invalidate_bytes(&self, key: &[u8], condition: Condition, ttl: Option<Ttl>) -> Result<WriteResult, StoreError> {
        self.change(|shared| shared.with_room(|writer| writer.invalidate(key, condition, ttl)))
    }

    /// Deletes `key`; returns whether it had a value that had not expired. When this returns, the pair does not come
    /// back, whatever happens to the process.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("session:17", "user=ada")?;
    /// assert!(store.delete("session:17")?);
    /// assert!(!store.delete("session:17")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] after a failed sync. Want of room is no hindrance.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, StoreError> {
        self.delete_bytes(key.as_ref(), Condition::Always).map(DeleteResult::is_deleted)
    }

    /// Deletes `key` if `condition` holds.
    ///
    /// ```
    /// # use sharedance_core::store::{Condition, DeleteResult, Store, Value};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// // A code can be redeemed once.
    /// store.set("code:1234", "ada")?;
    /// let redeem = |code: &Value| store.delete_if("code:1234", Condition::Version(code.version()));
    /// let code = store.get("code:1234").unwrap();
    /// assert!(redeem(&code)?.is_deleted());
    /// assert_eq!(redeem(&code)?, DeleteResult::NotFound);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] after a failed sync. Want of room is no hindrance.
    pub fn delete_if(&self, key: impl AsRef<[u8]>, condition: Condition) -> Result<DeleteResult, StoreError> {
        self.delete_bytes(key.as_ref(), condition)
    }

    fn delete_bytes(&self, key: &[u8], condition: Condition) -> Result<DeleteResult, StoreError> {
        self.change(|Shared { engine, .. }| {
            Ok(engine.remove(engine.hash(key), key, condition, engine.timeline.now_ms()))
        })
    }

    /// Deletes every pair that was stored before the call, and cancels what [`Store::clear_after`] has scheduled. Pairs
    /// that other threads store meanwhile may stay.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// store.set("user:18", "Grace")?;
    /// store.clear()?;
    /// assert!(store.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] after a failed sync. Want of room is no hindrance.
    pub fn clear(&self) -> Result<(), StoreError> {
        self.change(|shared| shared.clearing().clear_now())
    }

    /// Deletes, once `delay` has passed, every pair that was stored until then. Pairs that are stored afterwards stay. Takes
    /// the place of a clear that was scheduled before; without a delay it is [`Store::clear`].
    ///
    /// The schedule is kept in the store's files, and survives what an acknowledged write survives (see
    /// [`Durability`](crate::store::Durability)). The delay passes in the store's own time: setting the clock does not
    /// change it, and the time that the process, or the machine, is not running counts. Where it has passed meanwhile, the
    /// store is cleared when it is opened.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::{Options, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let (clock, hand) = Clock::manual();
    /// # let store = Options::new().clock(clock).open(dir.path())?;
    /// store.set("price:1", "12.50")?;
    /// store.clear_after(Duration::from_secs(60))?;
    /// assert!(store.contains("price:1"));
    /// hand.advance(Duration::from_secs(60));
    /// assert!(!store.contains("price:1"));
    /// store.set("price:1", "13.00")?;
    /// assert!(store.contains("price:1"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Io`] where the schedule cannot be saved; what was scheduled before then stays.
    /// [`StoreError::ReadOnly`] after a failed sync.
    pub fn clear_after(&self, delay: Duration) -> Result<(), StoreError> {
        self.change(|shared| shared.clearing().clear_after(delay))
    }

    /// How long it is until the clear that [`Store::clear_after`] has scheduled; `None` where no clear is scheduled.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::{Options, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let (clock, hand) = Clock::manual();
    /// # let store = Options::new().clock(clock).open(dir.path())?;
    /// store.clear_after(Duration::from_secs(60))?;
    /// hand.advance(Duration::from_secs(20));
    /// assert_eq!(store.clears_in(), Some(Duration::from_secs(40)));
    /// store.clear()?;
    /// assert_eq!(store.clears_in(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clears_in(&self) -> Option<Duration> {
        self.to_read().clearing().clears_in()
    }
}
