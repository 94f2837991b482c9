//! The handle to a store.

use std::fmt;

use crate::store::api::durability::Durability;
use crate::store::durability::syncs::Syncs;
use crate::store::engine::Engine;
use crate::store::error::StoreError;
use crate::store::operations::clear::{Clearing, Schedule};
use crate::store::operations::write::{WriteError, Writer};
use crate::store::primitives::{Arc, Mutex};
use crate::store::recovery::open::Opened;
use crate::store::recovery::report::RecoveryReport;
use crate::store::upkeep::maintain::{self, Upkeep};

use crate::store::handle::deferral::Deferral;

/// What all handles of a store share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) syncs: Syncs,
    pub(crate) schedule: Schedule,
    pub(crate) upkeep: Mutex<Upkeep>,
    pub(crate) recovery: RecoveryReport,
}

impl Shared {
    pub(crate) fn clearing(&self) -> Clearing<'_> {
        Clearing { schedule: &self.schedule, engine: &self.engine, syncs: &self.syncs }
    }

    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.syncs.sync(&self.engine.log, &self.engine.timeline)
    }

    /// Runs `write`; where that finds no room, makes some and runs it once more.
    pub(crate) fn with_room<T>(&self, write: impl Fn(Writer<'_>) -> Result<T, WriteError>) -> Result<T, StoreError> {
        let writer = Writer { engine: &self.engine, syncs: &self.syncs };
        match write(writer) {
            Err(WriteError::NoRoom { file_len }) => {
                maintain::reclaim(&self.engine, &self.syncs, &self.upkeep, file_len)?;
                let written = write(writer);
                if matches!(written, Err(WriteError::NoRoom { .. })) {
                    self.engine.counters.refused_full.add(1);
                }
                Ok(written?)
            }
            written => Ok(written?),
        }
    }
}

/// Saves the time. Acknowledged writes are in the files already; where more is promised than that, this is the last
/// chance to sync them.
impl Drop for Shared {
    fn drop(&mut self) {
        if self.syncs.mode != Durability::Os {
            let _ = self.sync();
        }
        // A sync with nothing to write does not save it.
        let _ = self.syncs.save_clock(&self.engine.log, &self.engine.timeline);
        self.engine.log.segments().iter().for_each(|segment| segment.sources.forget_all());
    }
}

/// A handle to an open store. Clones share it, and any thread may use any of them. It is closed when the last of them
/// is dropped, and synced before where [`Durability`](crate::store::Durability) promises more than to survive the process; who
/// wants to know whether that went well calls [`Store::sync`] before.
///
/// ```
/// # use sharedance_core::store::Store;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let workers: Vec<_> = (0..4u8)
///     .map(|worker| {
///         let store = store.clone();
///         std::thread::spawn(move || store.set(&[worker], "was here"))
///     })
///     .collect();
/// for worker in workers {
///     worker.join().expect("it does not panic")?;
/// }
/// assert_eq!(store.len(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    pub(crate) deferral: Option<Arc<Deferral>>,
}

impl Store {
    pub(crate) fn new(opened: Opened) -> Store {
        let Opened { engine, syncs, schedule, recovery } = opened;
        let shared = Shared { engine, syncs, schedule, upkeep: Mutex::default(), recovery };
        Store { shared: Arc::new(shared), deferral: None }
    }

    /// Runs an operation that changes pairs. It is refused after a failed sync, and returns once the change is as durable
    /// as was promised. A scheduled clear that is due comes first.
    pub(crate) fn change<T, E: From<StoreError>>(&self, change: impl FnOnce(&Shared) -> Result<T, E>) -> Result<T, E> {
        let Shared { engine, syncs, .. } = &*self.shared;
        if syncs.have_failed() {
            return Err(StoreError::ReadOnly.into());
        }
        self.shared.clearing().clear_if_due()?;
        let changed = change(&self.shared)?;
        match (syncs.mode, &self.deferral) {
            (Durability::Os, _) => {}
            (Durability::Interval(_), _) => syncs.sync_unless_kept(&engine.log, &engine.timeline)?,
            (Durability::Always, Some(deferral)) => deferral.owe(),
            (Durability::Always, None) => self.shared.sync()?,
        }
        Ok(changed)
    }

    /// For an operation that reads pairs. A scheduled clear that is due comes first; where it cannot be saved, there is
    /// still nothing left to read, and writers get the error.
    pub(crate) fn to_read(&self) -> &Shared {
        let _ = self.shared.clearing().clear_if_due();
        &self.shared
    }
}

/// Prints where the store is and how much it holds, and nothing of what.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({}, {} pairs)", self.path().display(), self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Options, Stats, Value};

    #[test]
    fn a_store_tells_where_it_is_and_how_much_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let store = Options::new().segment_len(65_536).open(dir.path()).unwrap();
        store.set("secret key", "secret value").unwrap();
        assert_eq!(format!("{store:?}"), format!("Store({}, 1 pairs)", dir.path().display()));
        let text = store.stats().to_string();
        assert!(text.starts_with("1 pairs of ") && text.ends_with(" bytes of files"), "{text}");
        assert_eq!(Stats { expired: 2, damaged: 1, ..Stats::default() }.to_string().matches(", ").count(), 3);
        assert_eq!((&store).into_iter().map(|pair| pair.key().to_vec()).collect::<Vec<_>>(), [b"secret key"]);
    }

    #[test]
    fn a_store_can_be_handed_from_thread_to_thread() {
        fn is_shared<T: Send + Sync + Clone + 'static>() {}
        is_shared::<Store>();
        is_shared::<Value>();
    }
}
