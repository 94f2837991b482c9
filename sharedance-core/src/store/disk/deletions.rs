//! Files that are out of use and could not be deleted yet.
//!
//! A deletion can fail: the directory is not writable for a while, or the disk reports an error. Such a file contains
//! nothing of the store, but takes space. It stays in the account of [`Space`] and is tried again until the deletion
//! succeeds; then its space is released.

use std::io;

use crate::store::disk::directory::Directory;
use crate::store::disk::file_name::FileName;
use crate::store::disk::space::Space;
use crate::store::primitives::Counter;
use crate::store::primitives::{Mutex, MutexGuard, PoisonError};

/// How long [`Deletions::retry_if_due`] waits after a failure, in milliseconds: maintenance may call it without a pause
/// in between.
const RETRY_INTERVAL_MS: u64 = 100;

/// A file to be deleted, and its length, which the deletion releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deletion {
    pub(crate) name: FileName,
    /// Whether the file still has its temporary name, because its creation failed.
    pub(crate) is_temporary: bool,
    pub(crate) len: u64,
}

/// The deletions that failed and will be tried again.
#[derive(Debug, Default)]
pub(crate) struct Deletions {
    pending: Mutex<Pending>,
    failed: Counter,
}

#[derive(Debug, Default)]
struct Pending {
    files: Vec<Deletion>,
    /// The first failure since [`Deletions::take_error`] was last called. Retries of a file are not reported again.
    error: Option<io::Error>,
    next_retry_ms: u64,
}

impl Deletions {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes a file and releases its space. If that fails, it is tried again later.
    pub(crate) fn delete(&self, directory: &Directory, space: &Space, deletion: Deletion) {
        if let Err(error) = self.attempt(directory, space, deletion) {
            self.postpone(deletion, error);
        }
    }

    /// Adds a file after one attempt has failed. Its bytes are in the account.
    pub(crate) fn add_failed(&self, deletion: Deletion, error: io::Error) {
        self.failed.add(1);
        self.postpone(deletion, error);
    }

    fn postpone(&self, deletion: Deletion, error: io::Error) {
        let mut pending = self.lock();
        pending.files.push(deletion);
        pending.error.get_or_insert(error);
    }

    /// A file that does not exist counts as deleted.
    fn attempt(&self, directory: &Directory, space: &Space, deletion: Deletion) -> io::Result<()> {
        match directory.remove(deletion.name, deletion.is_temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.failed.add(1);
                Err(error)
            }
            _ => {
                space.give_back(deletion.len);
                Ok(())
            }
        }
    }

    /// Tries all pending deletions again, unless the last attempt was less than [`RETRY_INTERVAL_MS`] ago.
    pub(crate) fn retry_if_due(&self, directory: &Directory, space: &Space, now_ms: u64) {
        {
            let mut pending = self.lock();
            if pending.files.is_empty() || now_ms < pending.next_retry_ms {
                return;
            }
            pending.next_retry_ms = now_ms + RETRY_INTERVAL_MS;
        }
        self.retry(directory, space);
    }

    /// Tries all pending deletions again, for a writer that found no space.
    pub(crate) fn retry(&self, directory: &Directory, space: &Space) {
        let files = std::mem::take(&mut self.lock().files);
        if files.is_empty() {
            return;
        }
        // Without the mutex: other threads may add files meanwhile, which stay.
        let failed = files.into_iter().filter(|file| self.attempt(directory, space, *file).is_err());
        let failed: Vec<_> = failed.collect();
        self.lock().files.extend(failed);
    }

    /// The first failure that was not reported yet.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.lock().error.take()
    }

    /// Files that wait for another attempt.
    pub(crate) fn pending(&self) -> usize {
        self.lock().files.len()
    }

    /// Attempts that failed since the store was opened.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.count()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    const LEN: u64 = 100;

    fn deletion(id: u32, is_temporary: bool) -> Deletion {
        Deletion { name: FileName::Segment(id), is_temporary, len: LEN }
    }

    fn path(dir: &tempfile::TempDir, deletion: Deletion) -> PathBuf {
        let suffix = if deletion.is_temporary { ".tmp" } else { "" };
        dir.path().join(format!("{}{suffix}", deletion.name))
    }

    #[test]
    fn a_deletion_that_fails_keeps_its_space_until_a_retry_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let (directory, space, deletions) =
            (Directory::open(dir.path()).unwrap(), Space::new(Some(1_000)), Deletions::default());
        let files = [deletion(1, false), deletion(2, true), deletion(3, false)];
        space.claim(3 * LEN, 0).unwrap();
        // The first two cannot be unlinked: directories have their names.
        files[..2].iter().for_each(|file| fs::create_dir(path(&dir, *file)).unwrap());
        fs::write(path(&dir, files[2]), b"").unwrap();
        files.into_iter().for_each(|file| deletions.delete(&directory, &space, file));
        assert_eq!((deletions.pending(), deletions.failed(), space.used()), (2, 2, 2 * LEN));
        assert!(deletions.take_error().is_some() && deletions.take_error().is_none());

        deletions.retry_if_due(&directory, &space, 1_000);
        deletions.retry_if_due(&directory, &space, 1_000 + RETRY_INTERVAL_MS - 1);
        assert_eq!((deletions.pending(), deletions.failed()), (2, 4), "not tried again within the interval");
        assert!(deletions.take_error().is_none(), "each file is reported once");

        fs::remove_dir(path(&dir, files[0])).unwrap();
        fs::remove_dir(path(&dir, files[1])).unwrap();
        fs::write(path(&dir, files[1]), b"").unwrap();
        deletions.retry(&directory, &space);
        assert_eq!((deletions.pending(), deletions.failed(), space.used()), (0, 4, 0));
        assert!(!path(&dir, files[1]).exists());
    }
}
