//! The file of a Unix socket: makes room for it, and removes it at the end.
//!
//! A file is removed only if it is a socket without a listener, or the one that this server has created. Servers that
//! start or stop at the same time take turns by a lock on the directory, so that none removes the file of another.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use log::{debug, info};
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, Stat, Uid, flock, fstat, openat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::error::UnixError;

/// How long another server may lock the directory. It needs less than a millisecond.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const LOCK_INTERVAL: Duration = Duration::from_millis(5);

/// The directory of a socket, locked against other servers that start or stop.
pub(super) struct LockedDirectory {
    path: PathBuf,
    name: OsString,
    handle: Arc<OwnedFd>,
}

/// The file of a socket that this server has bound. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct SocketFile {
    shared: Arc<Shared>,
    has_group: bool,
}

/// The files of the sockets of a server, which are removed when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct SocketFiles {
    files: Vec<SocketFile>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    name: OsString,
    /// The file itself, by which it is recognised.
    file: OwnedFd,
    /// `None` once the way to it was given up, or the file was removed.
    directory: Mutex<Option<Arc<OwnedFd>>>,
}

impl LockedDirectory {
    /// Locks the directory of `path`, for a moment.
    ///
    /// # Errors
    /// It cannot be opened, or another process keeps it locked.
    pub(super) fn lock(path: &Path) -> Result<LockedDirectory, UnixError> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(UnixError::Io { what: "find the directory", source: io::ErrorKind::InvalidInput.into() });
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(directory, flags, Mode::empty()).map_err(failed("open the directory"))?;
        take_lock(&handle)?;
        Ok(LockedDirectory { path: path.to_owned(), name: name.to_owned(), handle: Arc::new(handle) })
    }

    /// Removes the socket of a server that has ended, if there is one.
    ///
    /// # Errors
    /// There is another file, or a server that listens.
    pub(super) fn make_room(&self) -> Result<(), UnixError> {
        let found = match stat_of(&self.handle, &self.name) {
            Err(Errno::NOENT) => return Ok(()),
            found => found.map_err(failed("examine the file"))?,
        };
        if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
            return Err(UnixError::NotASocket);
        }
        match probe(&self.path) {
            Err(Errno::CONNREFUSED) => {}
            Err(Errno::NOENT) => return Ok(()),
            // The latter: its backlog is full. In both cases there is a listener.
            Ok(()) | Err(Errno::WOULDBLOCK) => return Err(UnixError::InUse),
            // A socket of another type, which a server of another kind reads from.
            Err(Errno::PROTOTYPE) => return Err(UnixError::InUse),
            Err(error) => return Err(failed("find out whether a server listens on the socket")(error)),
        }
        unlinkat(&*self.handle, &self.name, AtFlags::empty())
            .map_err(failed("remove the socket of an ended server"))?;
        info!("removed {}, the socket of a server that has ended", self.path.display());
        Ok(())
    }

    /// The file at the path, to which a socket was bound.
    ///
    /// # Errors
    /// There is no socket.
    pub(super) fn bound_file(&self) -> Result<SocketFile, UnixError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&*self.handle, &self.name, flags, Mode::empty()).map_err(failed("open the new socket"))?;
        let stat = fstat(&file).map_err(failed("examine the new socket"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
            return Err(UnixError::NotASocket);
        }
        let directory = Mutex::new(Some(Arc::clone(&self.handle)));
        let (path, name) = (self.path.clone(), self.name.clone());
        Ok(SocketFile { shared: Arc::new(Shared { path, name, file, directory }), has_group: false })
    }
}

impl Drop for LockedDirectory {
    fn drop(&mut self) {
        // The handle lives on in the socket file; without this the lock would too.
        let _ = flock(&*self.handle, FlockOperation::Unlock);
    }
}

impl SocketFile {
    /// Changes the permission bits.
    ///
    /// # Errors
    /// The system refuses it.
    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        // The call that changes the mode of a descriptor does not accept this kind of descriptor. This way it is the file
        // that was opened, also if another one has its name now.
        let link = format!("/proc/self/fd/{}", self.shared.file.as_raw_fd());
        fs::set_permissions(link, Permissions::from_mode(mode))
    }

    /// Changes the group, if it is another one. It stays when the owner changes.
    ///
    /// # Errors
    /// The system refuses it.
    pub(super) fn set_group(&mut self, gid: u32) -> io::Result<()> {
        if fstat(&self.shared.file)?.st_gid != gid {
            rustix::fs::chownat(&self.shared.file, "", None, Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH)?;
        }
        self.has_group = true;
        Ok(())
    }

    /// Makes this user the owner, and this group, unless another one was set.
    ///
    /// # Errors
    /// The system refuses it.
    pub(crate) fn give_to(&self, uid: u32, gid: u32) -> io::Result<()> {
        let stat = fstat(&self.shared.file)?;
        let gid = if self.has_group { stat.st_gid } else { gid };
        // A service manager may forbid the call.
        if (stat.st_uid, stat.st_gid) != (uid, gid) {
            let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            rustix::fs::chownat(&self.shared.file, "", uid, gid, AtFlags::EMPTY_PATH)?;
        }
        Ok(())
    }

    /// The directory of the file, as long as the server may remove the file.
    pub(crate) fn directory(&self) -> Option<Arc<OwnedFd>> {
        self.directory_handle().clone()
    }

    /// Gives up the way to the file: it stays when the server ends. The next server replaces it.
    pub(crate) fn leave(&self) {
        *self.directory_handle() = None;
    }

    /// Removes the file, if it is still the one that this server has created. Further calls have no effect.
    pub(crate) fn remove(&self) {
        let Some(directory) = self.directory_handle().take() else {
            return;
        };
        let path = self.shared.path.display();
        match remove_own(&directory, &self.shared) {
            Ok(true) => debug!("removed {path}"),
            Ok(false) => debug!("{path} is no longer the socket of this server"),
            Err(error) => info!("cannot remove {path}: {error}; the next server that listens there replaces it"),
        }
    }

    fn directory_handle(&self) -> MutexGuard<'_, Option<Arc<OwnedFd>>> {
        self.shared.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SocketFiles {
    pub(super) fn push(&mut self, file: SocketFile) {
        self.files.push(file);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &SocketFile> {
        self.files.iter()
    }
}

impl Drop for SocketFiles {
    fn drop(&mut self) {
        self.files.iter().for_each(SocketFile::remove);
    }
}

/// Removes the file if it is the one that was bound. Returns whether it was.
fn remove_own(directory: &OwnedFd, shared: &Shared) -> Result<bool, UnixError> {
    take_lock(directory)?;
    let own = fstat(&shared.file).map_err(failed("examine the file"))?;
    let removed = match stat_of(directory, &shared.name) {
        Ok(found) if (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino) => {
            unlinkat(directory, &shared.name, AtFlags::empty()).map(|()| true).map_err(failed("remove the file"))
        }
        Ok(_) | Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(failed("examine the file")(error)),
    };
    let _ = flock(directory, FlockOperation::Unlock);
    removed
}

fn take_lock(directory: &OwnedFd) -> Result<(), UnixError> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match flock(directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < deadline => thread::sleep(LOCK_INTERVAL),
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Err(UnixError::Locked),
            // Without the lock, the file is only unprotected against servers that start at the same moment. Some network
            // file systems have no such locks.
            Ok(()) | Err(_) => return Ok(()),
        }
    }
}

fn stat_of(directory: impl AsFd, name: &OsStr) -> rustix::io::Result<Stat> {
    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// Connects to the socket at `path`, without waiting.
fn probe(path: &Path) -> rustix::io::Result<()> {
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)
}

fn failed(what: &'static str) -> impl Fn(Errno) -> UnixError {
    move |error| UnixError::Io { what, source: error.into() }
}
