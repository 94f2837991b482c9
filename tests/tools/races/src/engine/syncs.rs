//! Writers that wait for a sync, and share it.

use super::world::chance;
use crate::store::durability::group_commit::GroupCommit;
use crate::store::primitives::atomic::{AtomicU64, Ordering};
use crate::store::primitives::thread;

const WRITERS: usize = 3;

/// A sync that begins after the wait covers the waiting writer. A writer that comes after a failed sync gets an error.
pub(crate) fn writers_that_share_syncs() {
    let group = GroupCommit::default();
    let (written, synced) = (AtomicU64::new(0), AtomicU64::new(0));
    let fails = chance().percent(20);
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..2 {
                    let own = written.fetch_add(1, Ordering::SeqCst) + 1;
                    let covered = group.sync(|| {
                        let seen = written.load(Ordering::SeqCst);
                        if fails && seen > 2 {
                            return Err(std::io::ErrorKind::Other.into());
                        }
                        synced.fetch_max(seen, Ordering::SeqCst);
                        Ok(())
                    });
                    match covered {
                        Ok(true) => assert!(synced.load(Ordering::SeqCst) >= own),
                        Ok(false) | Err(_) => assert!(fails && group.has_failed()),
                    }
                }
            });
        }
    });
    let expected = written.load(Ordering::SeqCst);
    assert!(fails || synced.load(Ordering::SeqCst) == expected);
}
