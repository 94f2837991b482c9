//! The file with the process id, for scripts and supervisors that want one.
//!
//! The file is locked as long as the process runs. So a file that an ended process has left is recognised, whatever its
//! number means by now, and a second server with the same file is refused. At the end the file is removed if it is still
//! the one that this process has locked.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::{debug, info};
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, ftruncate, openat, statat,
    unlinkat,
};
use rustix::io::Errno;
use thiserror::Error;

/// Every user may read the number.
const MODE: Mode = Mode::from_raw_mode(0o644);

/// How often another process may remove the file between opening and locking it.
const MAX_ATTEMPTS: u32 = 100;

/// Longer than any process id.
const MAX_LEN: u64 = 32;

/// Why there is no file with the process id.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PidFileError {
    /// Another process has it.
    #[error("another server runs with --pidfile={}{}; stop it, or use another file", path.display(), found_pid(found))]
    InUse {
        /// The file.
        path: PathBuf,
        /// The content of the file.
        found: String,
    },
    /// A system call failed.
    #[error("cannot {what} the file in --pidfile, {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

fn found_pid(found: &str) -> String {
    found.trim().parse::<u32>().map(|pid| format!(" as process {pid}")).unwrap_or_default()
}

/// The file with the id of this process. It is removed when this is dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    name: OsString,
    file: File,
    /// `None` once the way to it was given up.
    directory: Option<Arc<OwnedFd>>,
}

impl PidFile {
    /// Creates the file, or takes the one that an ended process has left, and writes the id of this process to it. Called
    /// after the process has gone to the background, and before it gives up its rights.
    ///
    /// # Errors
    /// Another process has the file, or a system call failed.
    pub fn create(path: &Path) -> Result<PidFile, PidFileError> {
        let failed = |what| move |error: Errno| PidFileError::Io { what, path: path.to_owned(), source: error.into() };
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let (Some(directory), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(failed("create")(Errno::ISDIR));
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, directory, flags, Mode::empty()).map_err(failed("open the directory of"))?;
        let file = open_locked(&directory, Path::new(name), path)?;
        let mut pid_file =
            PidFile { path: absolute.clone(), name: name.to_owned(), file, directory: Some(Arc::new(directory)) };
        pid_file.write().map_err(|source| PidFileError::Io { what: "write", path: absolute, source })?;
        Ok(pid_file)
    }

    /// Where the process removes the file.
    pub fn directory(&self) -> Option<Arc<OwnedFd>> {
        self.directory.clone()
    }

    /// Gives up the way to the file: at the end it is emptied, and stays. Called if only the root directory confines the
    /// process: an open directory outside of it would be a way out.
    pub fn leave(&mut self) {
        self.directory = None;
    }

    fn write(&mut self) -> io::Result<()> {
        fchmod(&self.file, MODE)?;
        ftruncate(&self.file, 0)?;
        self.file.rewind()?;
        writeln!(self.file, "{}", std::process::id())
    }

    /// Returns whether the file was removed, and was still the one of this process.
    fn remove(&self) -> rustix::io::Result<bool> {
        let Some(directory) = &self.directory else {
            return Err(Errno::ACCESS);
        };
        if !is_same(&fstat(&self.file)?, directory, Path::new(&self.name))? {
            return Ok(false);
        }
        unlinkat(directory, &self.name, AtFlags::empty())?;
        Ok(true)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let path = self.path.display();
        match self.remove() {
            Ok(true) => debug!("removed {path}"),
            Ok(false) => debug!("{path} is no longer the file of this server"),
            // The user of the server may have no right to remove files from the directory, for example /run.
            Err(error) => {
                let emptied = ftruncate(&self.file, 0);
                let state = if emptied.is_ok() { "emptied" } else { "left" };
                info!("{state} {path}, which cannot be removed: {error}");
            }
        }
    }
}

/// Opens and locks the file. Follows no link: in a directory such as /tmp it could be another user's.
fn open_locked(directory: &OwnedFd, name: &Path, path: &Path) -> Result<File, PidFileError> {
    let failed = |what| move |error: Errno| PidFileError::Io { what, path: path.to_owned(), source: error.into() };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    for _ in 0..MAX_ATTEMPTS {
        let mut file = File::from(openat(directory, name, flags, MODE).map_err(failed("open"))?);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut found = String::new();
                // What cannot be read is not named.
                let _ = (&mut file).take(MAX_LEN).read_to_string(&mut found);
                return Err(PidFileError::InUse { path: path.to_owned(), found });
            }
            Err(error) => return Err(failed("lock")(error)),
        }
        let stat = fstat(&file).map_err(failed("inspect"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            let source = io::Error::other("it is not a regular file");
            return Err(PidFileError::Io { what: "use", path: path.to_owned(), source });
        }
        // Another process may have removed the file before it was locked.
        if is_same(&stat, directory, name).map_err(failed("inspect"))? {
            return Ok(file);
        }
    }
    Err(failed("lock")(Errno::AGAIN))
}

/// Whether the file of that name is the one with that `stat`.
fn is_same(stat: &Stat, directory: &OwnedFd, name: &Path) -> rustix::io::Result<bool> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok((found.st_dev, found.st_ino) == (stat.st_dev, stat.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_of_an_ended_process_is_taken_and_one_of_a_running_process_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        // A number that a process has which is not a server, and more bytes than the new content.
        fs::write(&path, "1\nand more than that").unwrap();
        let file = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        let refused = PidFile::create(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("as process {}", std::process::id())), "{refused}");
        drop(file);
        assert!(!path.exists());
        drop(PidFile::create(&path).unwrap());
    }

    #[test]
    fn the_file_of_another_process_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let first = PidFile::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = PidFile::create(&path).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_cannot_be_removed_is_emptied() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let mut file = PidFile::create(&path).unwrap();
        file.leave();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"");
        drop(PidFile::create(&path).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_link_and_a_missing_directory_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path().join("target"), &link).unwrap();
        assert!(matches!(PidFile::create(&link), Err(PidFileError::Io { .. })));
        assert!(!directory.path().join("target").exists());
        assert!(matches!(PidFile::create(&directory.path().join("no/pid")), Err(PidFileError::Io { .. })));
        assert!(matches!(PidFile::create(Path::new("/")), Err(PidFileError::Io { .. })));
        let refused = PidFile::create(Path::new("/dev/null")).unwrap_err();
        assert!(matches!(refused, PidFileError::Io { what: "use" | "open", .. }), "{refused}");
    }
}
