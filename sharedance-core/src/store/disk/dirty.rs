//! Which files were changed since the last sync, so that a sync writes only those.
//!
//! A change is recorded after it is made and before it is acknowledged. A sync takes the records before it writes. So
//! every change that was acknowledged before a sync began is written by that sync or an earlier one.

use crate::store::disk::file_name::FileName;
use crate::store::primitives::atomic::{AtomicBool, Ordering, fence};
use crate::store::primitives::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The changed files of one directory.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    files: Mutex<Vec<Arc<Mark>>>,
    names: AtomicBool,
}

/// Whether one file was changed. It exists only in a store that promises syncs.
#[derive(Debug)]
pub(crate) struct Mark {
    name: FileName,
    is_noted: AtomicBool,
    /// Weak: otherwise a store that is dropped before a sync would keep its own list alive.
    list: Weak<Unsynced>,
}

impl Unsynced {
    /// A mark for the file with this name, which has no changes yet.
    pub(crate) fn mark(self: &Arc<Self>, name: FileName) -> Arc<Mark> {
        Arc::new(Mark { name, is_noted: AtomicBool::new(false), list: Arc::downgrade(self) })
    }

    /// Records that a file was created, renamed or deleted.
    pub(crate) fn note_names(&self) {
        self.names.store(true, Ordering::SeqCst);
    }

    /// Whether names were changed; removes that record.
    pub(crate) fn take_names(&self) -> bool {
        self.names.swap(false, Ordering::SeqCst)
    }

    /// The files that were changed; removes those records.
    pub(crate) fn take_files(&self) -> Vec<FileName> {
        let mut marks = self.lock();
        let names = marks
            .drain(..)
            .map(|mark| {
                mark.is_noted.store(false, Ordering::Relaxed);
                mark.name
            })
            .collect();
        drop(marks);
        fence(Ordering::SeqCst);
        names
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        !self.names.load(Ordering::SeqCst) && self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Mark>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mark {
    /// Records that the file was changed just now.
    pub(crate) fn note(self: &Arc<Self>) {
        // Of this fence and the one of a sync that takes the record, one is first: either this thread observes that the
        // record was taken, or the sync observes the change.
        fence(Ordering::SeqCst);
        if self.is_noted.load(Ordering::Relaxed) {
            return;
        }
        if let Some(list) = self.list.upgrade() {
            let mut marks = list.lock();
            // Set after the file is on the list: a thread that sees it set relies on the next sync to find the file
            // there.
            if !self.is_noted.load(Ordering::Relaxed) {
                marks.push(self.clone());
                self.is_noted.store(true, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::primitives::atomic::AtomicU64;
    use crate::store::primitives::thread;

    #[test]
    fn a_sync_after_a_change_finds_the_changed_file() {
        const WRITERS: u64 = 3;
        const CHANGES: u64 = 20_000;
        let unsynced = Arc::new(Unsynced::default());
        let files = [0, 1].map(|id| (unsynced.mark(FileName::Segment(id)), AtomicU64::new(0)));
        // One sync at a time, as in the store.
        let disk = Mutex::new([0; 2]);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (unsynced, files, disk) = (&unsynced, &files, &disk);
                scope.spawn(move || {
                    for i in 0..CHANGES {
                        let id = ((i + writer) % 2) as usize;
                        let (mark, content) = &files[id];
                        let own = content.fetch_add(1, Ordering::Relaxed) + 1;
                        mark.note();
                        let mut disk = disk.lock().unwrap();
                        for name in unsynced.take_files() {
                            let id = name.id() as usize;
                            disk[id] = files[id].1.load(Ordering::Relaxed);
                        }
                        assert!(disk[id] >= own, "writer {writer}, change {i}");
                    }
                });
            }
        });
    }

    #[test]
    fn a_changed_file_is_listed_once_and_again_after_the_next_change() {
        let unsynced = Arc::new(Unsynced::default());
        let [one, two] = [FileName::Segment(1), FileName::Big(2)].map(|name| unsynced.mark(name));
        assert!(unsynced.take_files().is_empty());
        (0..3).for_each(|_| one.note());
        assert_eq!(unsynced.take_files(), [FileName::Segment(1)]);
        assert!(unsynced.take_files().is_empty());
        two.note();
        one.note();
        assert_eq!(unsynced.take_files(), [FileName::Big(2), FileName::Segment(1)]);
        unsynced.note_names();
        assert!(!unsynced.is_empty());
        assert_eq!((unsynced.take_names(), unsynced.take_names()), (true, false));
        assert!(unsynced.is_empty());
        drop(unsynced);
        one.note();
    }
}
