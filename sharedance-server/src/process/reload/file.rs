//! A file that is read again while the server runs.
//!
//! By then the process may have another root directory, another user, and no right to open files outside of its
//! directory. So the file is found from a handle on the root directory that the process had at the start, which also
//! resolves links as the operator sees them. The file may be replaced by another one of its name. Landlock allows reading
//! the directory of the file and, if the file is a link, the directory of its target.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use thiserror::Error;

/// Certificates and lists of credentials are far smaller. This bounds the memory for a file that was named by mistake.
const MAX_LEN: u64 = 16 * 1024 * 1024;

/// What others than the owner may do with a file.
const OTHERS: u32 = 0o077;

/// Why a file cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refuses it.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The user of the server has no right to read it.
    #[error(
        "user {uid} may not read {}; let it, for example with: chgrp {gid} {0} && chmod g+r {0}",
        path.display(),
    )]
    Denied {
        /// The file.
        path: PathBuf,
        /// The user of the server.
        uid: u32,
        /// The group of the server.
        gid: u32,
    },
    /// It contains secrets, and others may use it.
    #[error("its mode {mode:04o} lets others use {}, which contains secrets; mend it with: chmod {wanted:03o} {0}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// A mode that is allowed.
        wanted: u32,
    },
    /// It contains secrets, and the user of the server has no right to read it.
    #[error("user {uid} may not read {}; mend it with: chown {uid} {0}", path.display())]
    DeniedSecret {
        /// The file.
        path: PathBuf,
        /// The user of the server.
        uid: u32,
    },
    /// It contains secrets, and belongs to a user that is neither root nor the user of the server.
    #[error("{} belongs to user {owner}, and the server runs as user {uid}; mend it with: chown {uid} {0}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user of the server.
        uid: u32,
    },
    /// It is a directory, a device, or the like.
    #[error("{} is not a regular file", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// It is too large to be what it was named for.
    #[error("{} has more than {MAX_LEN} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The process has given up its way to files outside of its directory.
    #[error(
        "{} is outside of the server's root directory, and this kernel has no Landlock, without which no way out of that \
         directory is kept; restart the server to read the file",
        path.display()
    )]
    OutOfReach {
        /// The file.
        path: PathBuf,
    },
}

/// A file that can be read at any time, also after the process has given up its rights. Clones share the handle.
#[derive(Debug, Clone)]
pub struct ReloadableFile {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Absolute, as the operator sees it.
    path: PathBuf,
    /// The user of the server, if the file contains secrets.
    secret_of: Option<u32>,
    /// `None` once it was given up.
    reach: Mutex<Option<Reach>>,
}

/// The handles by which the file stays within reach.
#[derive(Debug)]
struct Reach {
    root: OwnedFd,
    directories: Vec<Arc<OwnedFd>>,
}

impl ReloadableFile {
    /// Opens the way to the file at `path`, which must exist. Called before the process gives up its rights.
    ///
    /// # Errors
    /// The file or its directory cannot be found.
    pub fn open(path: &Path) -> Result<ReloadableFile, FileError> {
        ReloadableFile::new(path, None)
    }

    /// The same for a file that contains secrets of a server that will run as user `uid`. [`read`](Self::read) refuses it if
    /// others than its owner may read or write it, or its owner is neither root nor that user.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_secret(path: &Path, uid: u32) -> Result<ReloadableFile, FileError> {
        ReloadableFile::new(path, Some(uid))
    }

    fn new(path: &Path, secret_of: Option<u32>) -> Result<ReloadableFile, FileError> {
        let failed = |source: io::Error| FileError::Io { what: "find", path: path.to_owned(), source };
        let absolute = std::path::absolute(path).map_err(failed)?;
        let target = absolute.canonicalize().map_err(failed)?;
        let mut directories = Vec::new();
        for directory in [absolute.parent(), target.parent()].into_iter().flatten() {
            directories.push(Arc::new(open_directory(directory).map_err(failed)?));
        }
        let reach = Reach { root: open_directory(Path::new("/")).map_err(failed)?, directories };
        Ok(ReloadableFile { shared: Arc::new(Shared { path: absolute, secret_of, reach: Mutex::new(Some(reach)) }) })
    }

    /// The file's absolute path, as the operator sees it.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Reads the file as it is now.
    ///
    /// # Errors
    /// It is missing, the process may not read it, it is no regular file of a reasonable size, or it contains secrets and is
    /// not protected.
    pub fn read(&self) -> Result<Vec<u8>, FileError> {
        self.read_protected(0)
    }

    /// Reads the file as it is now, unless its mode has one of the bits `forbidden`.
    ///
    /// # Errors
    /// As [`read`](Self::read), and others may use the file.
    pub fn read_protected(&self, forbidden: u32) -> Result<Vec<u8>, FileError> {
        let path = &self.shared.path;
        let reach = self.shared.reach.lock().unwrap_or_else(PoisonError::into_inner);
        let reach = reach.as_ref().ok_or_else(|| FileError::OutOfReach { path: path.clone() })?;
        let file = open_below(&reach.root, path).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied if self.shared.secret_of.is_some() => {
                FileError::DeniedSecret { path: path.clone(), uid: rustix::process::geteuid().as_raw() }
            }
            io::ErrorKind::PermissionDenied => FileError::Denied {
                path: path.clone(),
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
            },
            _ => FileError::Io { what: "open", path: path.clone(), source: error },
        })?;
        let failed = |source| FileError::Io { what: "read", path: path.clone(), source };
        let stat = fstat(&file).map_err(|error| failed(error.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(FileError::NotRegular { path: path.clone() });
        }
        if let Some(uid) = self.shared.secret_of {
            check_secret(path, &stat, uid)?;
        }
        let mode = stat.st_mode & 0o7777;
        if mode & forbidden != 0 {
            return Err(FileError::Exposed { path: path.clone(), mode, wanted: mode & !forbidden });
        }
        let mut content = Vec::new();
        file.take(MAX_LEN + 1).read_to_end(&mut content).map_err(failed)?;
        if content.len() as u64 > MAX_LEN {
            return Err(FileError::TooLarge { path: path.clone() });
        }
        Ok(content)
    }

    /// The directories that the process must be allowed to read files of.
    pub(crate) fn directories(&self) -> Vec<Arc<OwnedFd>> {
        let reach = self.shared.reach.lock().unwrap_or_else(PoisonError::into_inner);
        reach.iter().flat_map(|reach| reach.directories.clone()).collect()
    }

    /// Gives up the way to the file. Called if only the root directory confines the process: an open directory outside of
    /// it would be a way out.
    pub(crate) fn forget(&self) {
        *self.shared.reach.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn check_secret(path: &Path, found: &Stat, uid: u32) -> Result<(), FileError> {
    let path = path.to_owned();
    if ![0, uid].contains(&found.st_uid) {
        return Err(FileError::Foreign { path, owner: found.st_uid, uid });
    }
    if found.st_mode & OTHERS != 0 {
        return Err(FileError::Exposed { path, mode: found.st_mode & 0o7777, wanted: !OTHERS & 0o600 });
    }
    Ok(())
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens the file at `path`, as it is seen from `root`. Does not wait for the writer of a pipe.
fn open_below(root: &OwnedFd, path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    Ok(openat2(root.as_fd(), path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    #[test]
    fn a_file_that_was_replaced_or_whose_link_was_changed_is_read_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&path, "first").unwrap();
        symlink("file", &link).unwrap();
        let (file, linked) = (ReloadableFile::open(&path).unwrap(), ReloadableFile::open(&link).unwrap());
        assert_eq!(file.read().unwrap(), b"first");

        let new = directory.path().join("new");
        fs::write(&new, "second").unwrap();
        fs::rename(&new, &path).unwrap();
        assert_eq!((file.read().unwrap(), linked.read().unwrap()), (b"second".to_vec(), b"second".to_vec()));

        fs::write(&new, "third").unwrap();
        fs::remove_file(&link).unwrap();
        symlink(&new, &link).unwrap();
        assert_eq!(linked.read().unwrap(), b"third");

        fs::remove_file(&path).unwrap();
        let message = file.read().unwrap_err().to_string();
        assert!(message.contains("cannot open") && message.contains(&*path.to_string_lossy()), "{message}");
    }

    #[test]
    fn a_secret_that_others_may_use_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "secret").unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let secret = ReloadableFile::open_secret(&path, uid).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o610, 0o666] {
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let error = secret.read().unwrap_err();
            assert!(matches!(error, FileError::Exposed { mode: found, .. } if found == mode), "{error}");
            assert!(error.to_string().contains("chmod 600 /"), "{error}");
            assert_eq!(ReloadableFile::open(&path).unwrap().read().unwrap(), b"secret");
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(secret.read().unwrap(), b"secret");
        }
        let others = ReloadableFile::open_secret(&path, 61_234).unwrap();
        if uid == 0 {
            assert_eq!(others.read().unwrap(), b"secret", "root's files can be trusted");
            chown(&path, Some(61_234), None).unwrap();
            assert!(matches!(secret.read(), Err(FileError::Foreign { owner: 61_234, uid: 0, .. })));
        }
        assert_eq!(others.read().is_ok(), uid == 0);
    }

    #[test]
    fn a_mode_that_is_forbidden_is_refused_with_the_command_that_fixes_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "secret").unwrap();
        let file = ReloadableFile::open(&path).unwrap();
        for (mode, forbidden) in [(0o644, 0o037), (0o660, 0o037), (0o604, 0o077), (0o640, 0o077)] {
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let message = file.read_protected(forbidden).unwrap_err().to_string();
            let (_, command) = message.split_once("mend it with: ").unwrap();
            assert!(std::process::Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
            assert_eq!(file.read_protected(forbidden).unwrap(), b"secret");
        }
    }

    #[test]
    fn a_file_that_is_missing_is_no_file_or_is_too_large_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(ReloadableFile::open(&directory.path().join("none")), Err(FileError::Io { .. })));
        let found = ReloadableFile::open(directory.path()).unwrap();
        assert!(matches!(found.read(), Err(FileError::NotRegular { .. })));

        let path = directory.path().join("file");
        File::create(&path).unwrap().set_len(MAX_LEN + 1).unwrap();
        let file = ReloadableFile::open(&path).unwrap();
        assert!(matches!(file.read(), Err(FileError::TooLarge { .. })));
        File::create(&path).unwrap().set_len(MAX_LEN).unwrap();
        assert_eq!(file.read().unwrap().len() as u64, MAX_LEN);
        file.forget();
        assert!(matches!(file.read(), Err(FileError::OutOfReach { .. })));
    }
}
