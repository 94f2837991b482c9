//! Syncs that waiting writers share.
//!
//! Acknowledged writes survive the death of the process in every mode. A crash of the system they survive as the
//! durability mode promises. A sync that fails ends all promises: the system has marked its pages clean, and another
//! sync would succeed without having written them. From then on the store is read-only.

use std::io;

use crate::store::primitives::atomic::{AtomicBool, Ordering};
use crate::store::primitives::{Condvar, Mutex, MutexGuard, PoisonError};

/// Lets writers share syncs: one of the waiting writers runs a sync for all that arrived before it began.
#[derive(Debug, Default)]
pub(crate) struct GroupCommit {
    state: Mutex<State>,
    finished: Condvar,
    failed: AtomicBool,
}

/// Syncs are numbered. The n-th covers all writes before it began.
#[derive(Debug, Default)]
struct State {
    begun: u64,
    ended: u64,
    running: bool,
}

impl GroupCommit {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a sync has failed, after which nothing is written.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Records that a sync outside of the group failed.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// Whether a sync is running.
    pub(crate) fn is_running(&self) -> bool {
        self.lock().running
    }

    /// The number of the first sync that will cover all writes so far.
    pub(crate) fn next(&self) -> u64 {
        self.lock().begun + 1
    }

    /// The number of the last sync that has succeeded; zero once one has failed.
    pub(crate) fn ended(&self) -> u64 {
        let ended = self.lock().ended;
        if self.has_failed() { 0 } else { ended }
    }

    /// Waits for a sync that begins after this call, and runs it if no other thread does. Returns `false` if one has
    /// failed, now or before; the thread that ran it gets the error.
    pub(crate) fn sync(&self, run: impl FnOnce() -> io::Result<()>) -> io::Result<bool> {
        let mut state = self.lock();
        let awaited = state.begun + 1;
        while state.running && state.ended < awaited {
            state = self.finished.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if self.has_failed() || state.ended >= awaited {
            return Ok(!self.has_failed());
        }
        state.running = true;
        state.begun += 1;
        let own = state.begun;
        drop(state);
        let mut running = Running { group: self, own, is_done: false };
        run()?;
        running.is_done = true;
        Ok(true)
    }
}

/// A running sync. Dropping it ends the sync and wakes the waiting writers. If the sync returned an error or panicked,
/// the state of the disk is unknown, and the group has failed.
struct Running<'g> {
    group: &'g GroupCommit,
    own: u64,
    is_done: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.group.fail();
        }
        let mut state = self.group.lock();
        state.running = false;
        state.ended = self.own;
        self.group.finished.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::primitives::atomic::AtomicU64;
    use crate::store::primitives::{Arc, thread};

    #[test]
    fn a_waiting_writer_is_covered_by_a_sync_that_began_afterwards() {
        const WRITERS: usize = 4;
        let group = GroupCommit::default();
        let written = AtomicU64::new(0);
        let synced = AtomicU64::new(0);
        let syncs = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let own = written.fetch_add(1, Ordering::SeqCst) + 1;
                        let covered = group.sync(|| {
                            let seen = written.load(Ordering::SeqCst);
                            thread::yield_now();
                            synced.fetch_max(seen, Ordering::SeqCst);
                            syncs.fetch_add(1, Ordering::SeqCst);
                            Ok(())
                        });
                        assert!(covered.unwrap());
                        assert!(synced.load(Ordering::SeqCst) >= own);
                    }
                });
            }
        });
        assert!(syncs.into_inner() <= 500 * WRITERS as u64);
    }

    #[test]
    fn a_sync_that_panics_does_not_leave_the_writers_waiting() {
        let group = Arc::new(GroupCommit::default());
        let (released, releases) = std::sync::mpsc::channel();
        let panicking = thread::spawn({
            let group = group.clone();
            move || {
                group.clone().sync(|| {
                    for _ in 0..3 {
                        let (group, released) = (group.clone(), released.clone());
                        thread::spawn(move || {
                            released.send(group.sync(|| unreachable!("no sync follows a failed one"))).unwrap();
                        });
                    }
                    panic!("a sync panics");
                })
            }
        });
        assert!(panicking.join().is_err());
        for _ in 0..3 {
            let is_synced = releases.recv_timeout(Duration::from_secs(60)).expect("a writer is still waiting");
            assert!(!is_synced.unwrap(), "the state of the disk is unknown");
        }
        assert!(group.has_failed() && group.ended() == 0);
    }

    #[test]
    fn after_a_failed_sync_all_others_fail() {
        let group = GroupCommit::default();
        assert!(group.sync(|| Ok(())).unwrap());
        assert!(group.sync(|| Err(io::Error::other("the disk is gone"))).is_err());
        assert!(group.has_failed());
        assert!(!group.sync(|| unreachable!("no sync follows a failed one")).unwrap());
    }
}
