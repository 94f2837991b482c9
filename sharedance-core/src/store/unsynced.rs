//! Which files were changed since the last sync, so that a sync writes those and no others.
//!
//! A change is noted after it was made and before it is acknowledged; a sync takes the notes away before it writes. So
//! whatever was acknowledged when the sync began is written by it, or was by one before.

use super::files::FileName;
use super::sync::atomic::{AtomicBool, Ordering};
use super::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The changed files of one directory.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    files: Mutex<Vec<Arc<Mark>>>,
    names: AtomicBool,
}

/// Whether one file was changed. Where nobody promises to sync there is none.
#[derive(Debug)]
pub(crate) struct Mark {
    name: FileName,
    is_noted: AtomicBool,
    /// Weak, or a store that is dropped before a sync would keep its own list alive.
    list: Weak<Unsynced>,
}

impl Unsynced {
    /// A mark for the file of this name, which is not changed yet.
    pub(crate) fn mark(self: &Arc<Self>, name: FileName) -> Arc<Mark> {
        Arc::new(Mark { name, is_noted: AtomicBool::new(false), list: Arc::downgrade(self) })
    }

    /// Takes note that a file was made, renamed or deleted.
    pub(crate) fn note_names(&self) {
        self.names.store(true, Ordering::SeqCst);
    }

    /// Whether names were changed; takes the note away.
    pub(crate) fn take_names(&self) -> bool {
        self.names.swap(false, Ordering::SeqCst)
    }

    /// The files that were changed; takes the notes away.
    pub(crate) fn take_files(&self) -> Vec<FileName> {
        let marks = std::mem::take(&mut *self.lock());
        marks
            .into_iter()
            .map(|mark| {
                mark.is_noted.swap(false, Ordering::SeqCst);
                mark.name
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Mark>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mark {
    /// Takes note that the file was changed just now.
    pub(crate) fn note(self: &Arc<Self>) {
        // The swap is a full barrier: it sees that a sync has taken the note away, or that sync sees the change.
        if !self.is_noted.swap(true, Ordering::SeqCst)
            && let Some(list) = self.list.upgrade()
        {
            list.lock().push(self.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_named_once_and_again_after_the_next_change() {
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
        assert_eq!((unsynced.take_names(), unsynced.take_names()), (true, false));
        drop(unsynced);
        one.note();
    }
}
