//! What keeps a store small, its writers from waiting, and its pairs safe from a power cut.

use std::time::Duration;

use super::Store;
use crate::store::error::StoreError;
use crate::store::upkeep::{self, Progress};

impl Store {
    /// Does a piece of the work that keeps the store small: removes expired pairs, recycles segments with nothing live
    /// in them, saves the store's clock. `budget` bounds the records looked at; no lock that a request needs is held
    /// for longer than one of them takes. Ten calls a second are plenty, and the next one is due at once while
    /// [`Progress::pending`].
    ///
    /// # Errors
    /// [`StoreError::Io`] where a file can be neither written nor deleted. The next call tries again.
    pub fn maintain(&self, budget: usize) -> Result<Progress, StoreError> {
        upkeep::maintain(&self.inner, budget)
    }

    /// Keeps empty segments ready, so that writers do not wait for files to be created: waits up to `wait` for one to
    /// be taken, and makes another. To be called in a loop by a thread of ordinary priority.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Io`] where none can be made, after waiting for `wait`.
    pub fn prepare(&self, wait: Duration) -> Result<(), StoreError> {
        self.inner.log.prepare(wait)
    }

    /// Waits until everything stored, and everything deleted, before this call is on the disk. Callers in several
    /// threads share the work.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the disk did not take it; the store is read-only from then on. [`StoreError::ReadOnly`]
    /// where that has happened before.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.inner.sync()
    }
}
