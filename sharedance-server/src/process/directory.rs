//! The directory of the pairs. Before the store opens it, it must exist and belong to the server's user alone.
//!
//! It is checked through an open descriptor, and by the same descriptor the process later makes it its root directory:
//! what was checked is what is used, also if the path changes meanwhile.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, fchown};
use std::path::{Path, PathBuf};

use thiserror::Error;

const MODE: u32 = 0o700;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Why a directory cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// It is missing and cannot be created, or it cannot be opened.
    #[error("cannot {what} the directory {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Other users may write to it.
    #[error(
        "others may write to the directory {} (its mode is {mode:04o}), so that other users could change the pairs; \
         mend it with: chmod 700 {}",
        path.display(),
        quoted(path)
    )]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It belongs to another user.
    #[error(
        "the directory {} belongs to user {owner}, and the server would run as user {wanted}; mend it with: \
         chown -R {wanted}:{wanted_group} {}",
        path.display(),
        quoted(path)
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user that has to own it.
        wanted: u32,
        /// The group that has to own it.
        wanted_group: u32,
    },
    /// Its path is a link that another user has created.
    #[error("{} is a link that user {owner} has created; name the directory itself, or mend it with: rm {}", path.display(), quoted(path))]
    ForeignLink {
        /// The link.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
}

/// A directory that was checked.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    handle: File,
}

impl Directory {
    /// Opens the directory at `path`, for a server that will run as user `uid` and group `gid`. Creates it if it is
    /// missing.
    ///
    /// # Errors
    /// It does not belong to that user, other users may write to it, or a system call failed.
    pub fn prepare(path: &Path, uid: u32, gid: u32) -> Result<Directory, DirectoryError> {
        let failed = |what| move |source| DirectoryError::Io { what, path: path.to_owned(), source };
        let is_new = create(path).map_err(failed("create"))?;
        refuse_foreign_link(path, uid)?;
        if !is_new {
            // Another user's directory cannot always be opened, and the operator has to know its owner.
            check(path, &fs::metadata(path).map_err(failed("inspect"))?, uid, gid)?;
        }
        let handle = File::open(path).map_err(failed("open"))?;
        if is_new {
            fchown(&handle, Some(uid), Some(gid)).map_err(failed("change the owner of"))?;
        }
        check(path, &handle.metadata().map_err(failed("inspect"))?, uid, gid)?;
        Ok(Directory { path: path.canonicalize().map_err(failed("resolve"))?, handle })
    }

    /// Its absolute path, before the root directory changes.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn handle(&self) -> &File {
        &self.handle
    }
}

fn check(path: &Path, found: &Metadata, uid: u32, gid: u32) -> Result<(), DirectoryError> {
    let path = path.to_owned();
    if !found.is_dir() {
        let source = io::ErrorKind::NotADirectory.into();
        return Err(DirectoryError::Io { what: "use", path, source });
    }
    if found.uid() != uid {
        return Err(DirectoryError::Foreign { path, owner: found.uid(), wanted: uid, wanted_group: gid });
    }
    if found.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(DirectoryError::Writable { path, mode: found.mode() & 0o7777 });
    }
    Ok(())
}

/// Creates the directory if it is missing. Returns whether it was missing.
fn create(path: &Path) -> io::Result<bool> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(MODE).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Refuses a link of another user. In a directory such as /tmp, any user could otherwise let the server write to a directory
/// that its user needs for something else.
fn refuse_foreign_link(path: &Path, uid: u32) -> Result<(), DirectoryError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() && ![0, uid].contains(&found.uid()) => {
            Err(DirectoryError::ForeignLink { path: path.to_owned(), owner: found.uid() })
        }
        _ => Ok(()),
    }
}

/// The path, quoted for a shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn own_ids() -> (u32, u32) {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        (uid.as_raw(), gid.as_raw())
    }

    fn prepare(path: &Path) -> Result<Directory, DirectoryError> {
        Directory::prepare(path, own_ids().0, own_ids().1)
    }

    #[test]
    fn a_missing_directory_is_created_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let directory = prepare(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, MODE);
        assert_eq!(directory.path(), path.canonicalize().unwrap());
        prepare(&path).unwrap();
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused_with_the_command_that_fixes_it() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("it's open");
        fs::create_dir(&path).unwrap();
        for mode in [0o777, 0o770, 0o702] {
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let message = prepare(&path).unwrap_err().to_string();
            let (_, command) = message.split_once("mend it with: ").unwrap();
            let fixed = std::process::Command::new("sh").args(["-c", command]).status();
            assert!(fixed.unwrap().success(), "{command}");
            prepare(&path).unwrap();
        }
    }

    #[test]
    fn a_directory_of_another_user_is_refused_with_the_command_that_fixes_it() {
        let directory = tempfile::tempdir().unwrap();
        let (uid, gid) = own_ids();
        let refused = Directory::prepare(directory.path(), uid + 1, gid).unwrap_err();
        let command = format!("chown -R {}:{gid} {}", uid + 1, directory.path().display());
        assert!(refused.to_string().ends_with(&command), "{refused}");
    }

    #[test]
    fn a_file_is_refused_and_a_link_of_the_same_user_is_followed() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(prepare(&file), Err(DirectoryError::Io { .. })));

        let target = parent.path().join("target");
        prepare(&target).unwrap();
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert_eq!(prepare(&link).unwrap().path(), target.canonicalize().unwrap());
    }
}
