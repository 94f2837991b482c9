//! The handle to a store.

use std::fmt;
use std::io;

use crate::store::api::background::Background;
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
use crate::store::upkeep::threads::Maintenance;

use crate::store::handle::deferral::Deferral;

/// How often a writer makes space by eviction. Other threads may take what it has made: other writers, and the thread that
/// prepares segments.
const ATTEMPTS_WITH_EVICTION: usize = 8;

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

    /// Runs `write`. If it finds no space, makes some and runs it again.
    pub(crate) fn with_room<T>(&self, write: impl Fn(Writer<'_>) -> Result<T, WriteError>) -> Result<T, StoreError> {
        let writer = Writer { engine: &self.engine, syncs: &self.syncs };
        let file_len = match write(writer) {
            Err(WriteError::NoRoom { file_len }) => file_len,
            written => return Ok(written?),
        };
        let attempts = if self.engine.log.queues.is_some() { ATTEMPTS_WITH_EVICTION } else { 1 };
        for _ in 0..attempts {
            maintain::reclaim(&self.engine, &self.syncs, &self.upkeep, file_len)?;
            match write(writer) {
                Err(WriteError::NoRoom { .. }) => {}
                written => return Ok(written?),
            }
        }
        self.engine.counters.refused_full.add(1);
        Err(StoreError::Full)
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

/// A handle to an open store. Clones share the store, and any thread may use any of them. When the last handle is dropped,
/// the store ends its threads and closes. If its [`Durability`](crate::store::Durability) promises more than to survive the
/// process, it syncs before that; a program that has to know whether this sync succeeded calls [`Store::sync`] itself.
///
/// ```
/// # use sharedance_core::store::Store;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let workers: Vec<_> = (0..4u8)
///     .map(|worker| {
///         let store = store.clone();
///         std::thread::spawn(move || store.set([worker], "was here"))
///     })
///     .collect();
/// for worker in workers {
///     worker.join().expect("it does not panic")?;
/// }
/// assert_eq!(store.len(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Store {
    /// The store's own threads. Before `shared`, so that they have ended when that is dropped.
    maintenance: Option<Arc<Maintenance>>,
    pub(crate) shared: Arc<Shared>,
    /// Set in the handle of a [`Batch`](crate::store::Batch).
    pub(crate) deferral: Option<Deferral>,
}

impl Store {
    /// Opens the handle. With [`Background::Threads`] it starts the threads.
    pub(crate) fn new(opened: Opened, background: &Background) -> io::Result<Store> {
        let Opened { engine, syncs, schedule, recovery } = opened;
        let shared = Arc::new(Shared { engine, syncs, schedule, upkeep: Mutex::default(), recovery });
        let maintenance = match background {
            Background::Threads(options) => Some(Arc::new(shared.start_maintenance(options)?)),
            Background::Manual => None,
        };
        Ok(Store { maintenance, shared, deferral: None })
    }

    /// A handle whose writes do not wait for a sync one by one.
    pub(crate) fn deferring(&self) -> Store {
        Store { deferral: Some(Deferral::default()), ..self.clone() }
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
            (Durability::Always, Some(deferral)) => deferral.note_write(),
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

/// The clone of a [`Batch`](crate::store::Batch)'s handle is an ordinary one.
impl Clone for Store {
    fn clone(&self) -> Store {
        Store { maintenance: self.maintenance.clone(), shared: self.shared.clone(), deferral: None }
    }
}

/// Prints the directory and the number of pairs.
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
        let store = Options::manual().segment_len(65_536).open(dir.path()).unwrap();
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
