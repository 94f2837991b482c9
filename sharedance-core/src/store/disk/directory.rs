//! The store's directory: its lock, its file names, files of a given size, and the sync of the directory itself.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::store::disk::allocation::{self, Contents, Grain};
use crate::store::disk::dirty::Unsynced;
use crate::store::disk::file_name::FileName;
use crate::store::disk::mapping::Mapping;
use crate::store::disk::mapping_limit::{Mappings, max_mappings};
use crate::store::error::{OpenError, StoreError};
use crate::store::primitives::Arc;

const LOCK_NAME: &str = "LOCK";
pub(crate) const META_NAME: &str = "store.meta";
const TEMPORARY_SUFFIX: &str = ".tmp";
const BAD_SUFFIX: &str = ".bad";

/// Space that the store leaves free on the file system, in bytes: many programs fail on a system without any.
const SPACE_RESERVE: u64 = 1024 * 1024;

/// The exclusive lock on a directory, held until dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    file: File,
}

impl DirectoryLock {
    /// Unlocks the directory while the store is open, as the system does for a process that is killed.
    #[cfg(test)]
    pub(crate) fn release(&self) {
        fs2::FileExt::unlock(&self.file).unwrap();
    }
}

/// Unlocked explicitly, because closing may not be enough: a child process that was just forked has the file open until
/// it executes its program.
impl Drop for DirectoryLock {
    fn drop(&mut self) {
        let _ = fs2::FileExt::unlock(&self.file);
    }
}

/// A locked directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    pub(crate) lock: Arc<DirectoryLock>,
    /// The changes since the last sync; `None` if no sync is promised.
    unsynced: Option<Arc<Unsynced>>,
    pub(crate) mappings: Mappings,
}

/// Why a file could not be created.
#[derive(Debug)]
pub(crate) struct CreateError {
    pub(crate) cause: StoreError,
    /// Why the unfinished file could not be deleted: it still takes space.
    pub(crate) leftover: Option<io::Error>,
}

/// The contents of the directory besides the lock and the description.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) segments: Vec<FileName>,
    /// Names that are not the store's, or that an earlier recovery set aside.
    pub(crate) foreign: Vec<String>,
}

impl Directory {
    /// Creates the directory if it is missing, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Directory, OpenError> {
        let failed = |action| move |source| OpenError::Io { action, path: path.to_owned(), source };
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create"))?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK_NAME))
            .map_err(failed("open the lock file in"))?;
        // Called by its path, because std has a method of the same name with another error type.
        match fs2::FileExt::try_lock_exclusive(&file) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => {
                return Err(OpenError::InUse { path: path.to_owned() });
            }
            Err(error) => return Err(failed("lock")(error)),
        }
        // Files are created later, when the working directory may be another one.
        let absolute = std::path::absolute(path).map_err(failed("find"))?;
        let mappings = Mappings::new(max_mappings());
        Ok(Directory { path: absolute, lock: Arc::new(DirectoryLock { file }), unsynced: None, mappings })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lists the directory, and removes files that were never finished.
    pub(crate) fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == LOCK_NAME || name == META_NAME {
                continue;
            }
            if !entry.file_type()?.is_file() {
                listing.foreign.push(name);
            } else if name.strip_suffix(TEMPORARY_SUFFIX).is_some_and(is_own_name) {
                fs::remove_file(entry.path())?;
            } else if let Some(file_name) = FileName::parse(&name) {
                listing.segments.push(file_name);
            } else {
                listing.foreign.push(name);
            }
        }
        listing.segments.sort_by_key(|name| name.id());
        Ok(listing)
    }

    fn segment_files(&self) -> io::Result<Vec<FileName>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.extend(FileName::parse(&entry.file_name().to_string_lossy()));
            }
        }
        Ok(files)
    }

    /// Starts to record changes, so that a sync need not check every file. The caller syncs earlier changes before this
    /// call.
    pub(crate) fn track_changes(&mut self) {
        self.unsynced = Some(Arc::default());
    }

    /// Whether a sync would write nothing.
    pub(crate) fn is_synced(&self) -> bool {
        self.unsynced.as_ref().is_some_and(|unsynced| unsynced.is_empty())
    }

    fn note_names(&self) {
        if let Some(unsynced) = &self.unsynced {
            unsynced.note_names();
        }
    }

    /// Opens a file of the store for reading and writing.
    pub(crate) fn open_file(&self, name: FileName) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.path.join(name.to_string()))
    }

    /// Maps the first `len` bytes of a file that was opened by this name.
    pub(crate) fn map(&self, name: FileName, file: &File, len: usize) -> io::Result<Mapping> {
        Mapping::of_file(file, len).map(|mapping| self.watched(mapping, name))
    }

    /// Sets the number of memory mappings that the system allows the process.
    pub(crate) fn set_max_mappings(&mut self, allowed: usize) {
        self.mappings = Mappings::new(allowed);
    }

    fn watched(&self, mapping: Mapping, name: FileName) -> Mapping {
        let mapping = mapping.counted(self.mappings.count());
        match &self.unsynced {
            Some(unsynced) => mapping.watched(unsynced.mark(name)),
            None => mapping,
        }
    }

    /// Creates a file of `len` bytes with these contents, all of them allocated and mapped.
    ///
    /// # Errors
    /// [`StoreError::Full`] if less than `reserve` bytes of space would be left. After an error there is no file,
    /// unless the error contains a [`leftover`](CreateError::leftover).
    pub(crate) fn create_file(
        &self,
        name: FileName,
        len: usize,
        contents: Contents<'_>,
        reserve: u64,
    ) -> Result<Mapping, CreateError> {
        if !self.mappings.has_room(reserve == 0) {
            self.mappings.refused.add(1);
            return Err(CreateError { cause: StoreError::Full, leftover: None });
        }
        if self.is_short_of(len as u64 + reserve) {
            return Err(CreateError { cause: StoreError::Full, leftover: None });
        }
        let temporary = self.path.join(format!("{name}{TEMPORARY_SUFFIX}"));
        let grain = if self.unsynced.is_some() { Grain::Fine } else { Grain::Coarse };
        let made = allocation::make_file(&temporary, len, contents, grain)
            .and_then(|mapping| fs::rename(&temporary, self.path.join(name.to_string())).map(|()| mapping));
        self.note_names();
        made.map(|mapping| self.watched(mapping, name)).map_err(|error| {
            // A failed allocation keeps the blocks that it got. Unlinking the file releases them.
            let removed = self.remove(name, true);
            let leftover = removed.err().filter(|error| error.kind() != io::ErrorKind::NotFound);
            CreateError { cause: self.classify(error, len as u64 + reserve), leftover }
        })
    }

    /// [`StoreError::Full`] if an error is about space on the file system, or about another memory mapping. If the file
    /// system cannot allocate, the errno of the emulation is not reliable: `posix_fallocate` returns its error, and fs2
    /// reports an errno that was never set.
    fn classify(&self, error: io::Error, needed: u64) -> StoreError {
        if error.kind() == io::ErrorKind::OutOfMemory {
            self.mappings.refused.add(1);
            return StoreError::Full;
        }
        let says_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if says_full || self.is_short_of(needed) {
            return StoreError::Full;
        }
        StoreError::Io { action: "create a segment file", source: error }
    }

    /// Space on the file system, in bytes, if the system reports it.
    pub(crate) fn available_space(&self) -> Option<u64> {
        let stat = rustix::io::retry_on_intr(|| rustix::fs::statvfs(&self.path)).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize).saturating_sub(SPACE_RESERVE))
    }

    fn is_short_of(&self, needed: u64) -> bool {
        self.available_space().is_some_and(|available| available < needed)
    }

    /// Whether a file has this name, or has the name under which a file with this name would be set aside.
    pub(crate) fn is_taken(&self, name: FileName) -> bool {
        let exists = |name: String| fs::symlink_metadata(self.path.join(name)).is_ok();
        exists(name.to_string()) || exists(format!("{name}{BAD_SUFFIX}"))
    }

    /// Deletes a file, under its name or, if it was never finished, under its temporary name.
    pub(crate) fn remove(&self, name: FileName, is_temporary: bool) -> io::Result<()> {
        let suffix = if is_temporary { TEMPORARY_SUFFIX } else { "" };
        let removed = fs::remove_file(self.path.join(format!("{name}{suffix}")));
        self.note_names();
        removed
    }

    /// Renames a file that cannot be read, so that no store opens it again.
    pub(crate) fn set_aside(&self, name: FileName) -> io::Result<()> {
        let name = name.to_string();
        let renamed = fs::rename(self.path.join(&name), self.path.join(format!("{name}{BAD_SUFFIX}")));
        self.note_names();
        renamed
    }

    /// Waits until the files of the store, and the names in the directory, are on the disk. That includes files that
    /// are out of use, because on the disk they may still contain records that were live.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let (names_changed, changed) = match &self.unsynced {
            Some(unsynced) => (unsynced.take_names(), unsynced.take_files()),
            None => (true, self.segment_files()?),
        };
        for name in changed {
            match File::open(self.path.join(name.to_string())) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                file => file?.sync_data()?,
            }
        }
        if names_changed { File::open(&self.path)?.sync_all() } else { Ok(()) }
    }
}

fn is_own_name(name: &str) -> bool {
    name == META_NAME || FileName::parse(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::allocation::Pace;

    const BLANK: Contents<'_> = Contents::Blank(Pace::AtOnce);

    #[test]
    fn names_survive_the_round_trip_and_others_are_foreign() {
        for name in [FileName::Segment(0), FileName::Segment(u32::MAX), FileName::Big(0x1234)] {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        for foreign in ["seg-1.shd", "seg-0000000G.shd", "seg-0000000A.shd", "seg-00000000.shd.bad", "x", "-.shd"] {
            assert_eq!(FileName::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn the_error_of_a_second_opener_names_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = Directory::open(dir.path()).unwrap();
        let error = Directory::open(dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }));
        assert!(error.to_string().contains(&dir.path().display().to_string()));
        drop(first);
        Directory::open(dir.path()).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_created_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        fs::create_dir(dir.path().join("seg-00000001.shd")).unwrap();
        let error = directory.create_file(FileName::Segment(1), 65_536, BLANK, 0).unwrap_err();
        assert!(matches!(error, CreateError { cause: StoreError::Io { .. }, leftover: None }), "{error:?}");
        let error = directory.create_file(FileName::Segment(2), 65_536, BLANK, u64::MAX / 2).unwrap_err();
        assert!(matches!(error, CreateError { cause: StoreError::Full, leftover: None }), "{error:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the lock and the directory");
    }

    #[test]
    fn a_relative_path_refers_to_the_working_directory_at_open() {
        let dir = tempfile::tempdir_in(".").unwrap();
        let name = dir.path().file_name().unwrap();
        assert_eq!(Directory::open(Path::new(name)).unwrap().path, std::env::current_dir().unwrap().join(name));
    }

    #[test]
    fn a_lock_ends_with_its_store_even_if_another_process_has_the_file_open() {
        let dir = tempfile::tempdir().unwrap();
        let first = Directory::open(dir.path()).unwrap();
        // As in a child process until it executes its program.
        let inherited = first.lock.file.try_clone().unwrap();
        drop(first);
        Directory::open(dir.path()).unwrap();
        drop(inherited);
    }

    #[test]
    fn unfinished_files_are_deleted_and_foreign_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        for name in ["seg-00000007.shd.tmp", "seg-00000008.shd", "notes.tmp", "notes.txt"] {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        let mut listing = directory.list().unwrap();
        listing.foreign.sort();
        assert_eq!(listing.segments, [FileName::Segment(8)]);
        assert_eq!(listing.foreign, ["notes.tmp", "notes.txt"]);
        assert!(!dir.path().join("seg-00000007.shd.tmp").exists());
    }

    #[test]
    fn a_created_file_is_allocated_and_private() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        let mapping = directory.create_file(FileName::Segment(1), 65_536, BLANK, 0).unwrap();
        assert_eq!(mapping.len(), 65_536);
        let metadata = fs::metadata(dir.path().join("seg-00000001.shd")).unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o600);
        assert!(metadata.blocks() * 512 >= 65_536, "allocated, not sparse");
    }
}
