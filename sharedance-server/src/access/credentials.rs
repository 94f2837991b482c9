//! The users of the server, which can be replaced while it runs.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use subtle::ConditionallySelectable;
use thiserror::Error;

use super::auth_file::{self, AuthFileError};
use super::user::{Attempt, LogIn, User};
use crate::process::reload::{FileError, ReloadError, Reloadable, ReloadableFile};

/// Why there are no credentials.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The file cannot be read, or others can read it.
    #[error("cannot read the credentials")]
    File(#[from] FileError),
    /// The file has a line that is not a user.
    #[error("the credentials in {} are refused", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The line, and why.
        source: AuthFileError,
    },
}

/// The users, as a file lists them.
#[derive(Debug)]
pub(crate) struct Credentials {
    file: ReloadableFile,
    users: RwLock<Arc<[Arc<User>]>>,
    /// Increased with each change of the users.
    generation: AtomicU32,
}

impl Credentials {
    /// Reads the file at `path`, for a server that runs as user `uid`.
    ///
    /// # Errors
    /// The file cannot be read, others than its owner can read it, or a line is refused.
    pub(crate) fn load(path: &Path, uid: u32) -> Result<Credentials, CredentialsError> {
        let file = ReloadableFile::open_secret(path, uid)?;
        let users = read(&file)?;
        Ok(Credentials { file, users: RwLock::new(users), generation: AtomicU32::new(0) })
    }

    /// A number that is another one once the users have changed.
    #[inline]
    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// The user with this name and password. The time does not depend on the names and passwords of the users.
    pub(super) fn find(&self, name: &[u8], password: &[u8]) -> Option<LogIn> {
        const NOT_FOUND: u32 = u32::MAX;
        let generation = self.generation();
        let attempt = Attempt::new(name, password);
        let users = self.users();
        let mut found = NOT_FOUND;
        for (index, user) in (0_u32..).zip(users.iter()) {
            found.conditional_assign(&index, user.matches(&attempt));
        }
        users.get(found as usize).map(|user| LogIn { user: Arc::clone(user), generation })
    }

    /// The same user as it is now: its rights may be others. `None` if it has no longer that name or that password.
    pub(super) fn renew(&self, user: &User) -> Option<LogIn> {
        let generation = self.generation();
        let users = self.users();
        let current = users.iter().find(|current| current.is_same(user))?;
        Some(LogIn { user: Arc::clone(current), generation })
    }

    fn users(&self) -> Arc<[Arc<User>]> {
        Arc::clone(&self.users.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Reloadable for Credentials {
    fn name(&self) -> String {
        "the credentials".to_owned()
    }

    fn files(&self) -> Vec<ReloadableFile> {
        vec![self.file.clone()]
    }

    fn reload(&self) -> Result<String, ReloadError> {
        let users = read(&self.file)?;
        let count = users.len();
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = users;
        // After the users: a connection that reads the new number finds them.
        self.generation.fetch_add(1, Ordering::Release);
        Ok(format!("{count} users in {}", self.file.path().display()))
    }
}

fn read(file: &ReloadableFile) -> Result<Arc<[Arc<User>]>, CredentialsError> {
    let users = auth_file::parse(&file.read()?)
        .map_err(|source| CredentialsError::Refused { path: file.path().to_owned(), source })?;
    Ok(users.into_iter().map(Arc::new).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use rustix::process::geteuid;

    use super::*;
    use crate::access::Access;

    #[test]
    fn no_debug_output_contains_a_name_a_password_or_a_prefix() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auth");
        fs::write(&path, "SECRETNAME:SECRETPASSWORD:prefix=SECRETPREFIX\n").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let credentials = Credentials::load(&path, geteuid().as_raw()).unwrap();
        let log_in = credentials.find(b"SECRETNAME", b"SECRETPASSWORD").unwrap();
        let mut shown = format!("{credentials:?} {log_in:?}");
        let mut access = Access::new(true, true, false);
        access.log_in(log_in);
        shown += &format!("{access:?}");
        assert!(shown.contains("User") && !shown.contains("SECRET"), "{shown}");
        // The numbers of the bytes neither.
        assert!(!shown.contains("83, 69, 67"), "{shown}");
    }

    #[test]
    fn of_two_lines_with_a_name_each_has_its_password() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auth");
        fs::write(&path, "ada:one\nbob:two\nada:three\n").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let credentials = Credentials::load(&path, geteuid().as_raw()).unwrap();
        let is_found = |name: &str, password: &str| credentials.find(name.as_bytes(), password.as_bytes()).is_some();
        assert!(is_found("ada", "one") && is_found("ada", "three") && is_found("bob", "two"));
        assert!(!is_found("ada", "two") && !is_found("bob", "one") && !is_found("eve", "one"));
    }
}
