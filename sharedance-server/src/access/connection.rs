//! What one connection may do.

use std::sync::Arc;

use sharedance_core::protocol::Operation;

use super::control::AccessControl;
use super::rights::Rights;
use super::user::User;

/// What one connection may do.
#[derive(Debug)]
pub(crate) struct Access {
    level: Level,
    /// Whether the listener gives its connections the right to administer the server.
    has_admin_listener: bool,
}

#[derive(Debug)]
enum Level {
    /// The server has no credentials.
    Unrestricted,
    /// The listener requires credentials, and the connection has sent none.
    Unauthenticated,
    /// The listener requires no credentials.
    NotRequired,
    /// The connection has sent the credentials of this user.
    User(LogIn),
}

/// A user whose credentials were right.
#[derive(Debug)]
pub(crate) struct LogIn {
    pub(super) user: Arc<User>,
    /// The generation of the credentials, read before the user was looked up.
    pub(super) generation: u32,
}

impl PartialEq for LogIn {
    fn eq(&self, other: &LogIn) -> bool {
        Arc::ptr_eq(&self.user, &other.user) && self.generation == other.generation
    }
}

impl Eq for LogIn {}

/// Why a connection may not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has to send credentials first.
    Unauthenticated,
    /// Its user may not do this.
    Denied,
}

/// The user of a connection is no longer in the credentials, or has another password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revoked;

impl Access {
    /// What a new connection may do.
    pub(crate) const fn new(has_credentials: bool, requires_credentials: bool, has_admin_listener: bool) -> Access {
        let level = match (has_credentials, requires_credentials) {
            (false, _) => Level::Unrestricted,
            (true, true) => Level::Unauthenticated,
            (true, false) => Level::NotRequired,
        };
        Access { level, has_admin_listener }
    }

    /// Whether the server has no credentials, so that the connection may do everything. Requests then need no decision.
    #[inline]
    pub(crate) fn is_unrestricted(&self) -> bool {
        matches!(self.level, Level::Unrestricted)
    }

    /// Whether the connection has to send credentials before anything else.
    #[inline]
    pub(crate) fn is_unauthenticated(&self) -> bool {
        matches!(self.level, Level::Unauthenticated)
    }

    /// Whether the connection may do this. This is the only place that decides it.
    ///
    /// # Errors
    /// The connection may not do it.
    pub(crate) fn decide(&self, operation: Operation<'_>) -> Result<(), Refusal> {
        match self.rights() {
            Ok(Some(rights)) if !rights.permit(operation, self.may_administer()) => Err(Refusal::Denied),
            Ok(_) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Whether the connection may administer the server.
    pub(crate) fn may_administer(&self) -> bool {
        match &self.level {
            Level::Unauthenticated => false,
            Level::User(LogIn { user, .. }) => self.has_admin_listener || user.rights.is_admin,
            Level::Unrestricted | Level::NotRequired => self.has_admin_listener,
        }
    }

    /// Whether the connection gets all statistics and settings, and may reset the former. Otherwise it gets those that
    /// identify the server.
    pub(crate) fn may_see_statistics(&self) -> bool {
        self.is_unrestricted() || self.may_administer()
    }

    /// Whether the connection may be chosen to compute a value again, so that no other client is chosen.
    pub(crate) fn may_be_chosen(&self) -> bool {
        match self.rights() {
            Ok(rights) => rights.is_none_or(|rights| !rights.is_read_only),
            Err(_) => false,
        }
    }

    /// Gives the connection the rights of a user.
    pub(crate) fn log_in(&mut self, log_in: LogIn) {
        self.level = Level::User(log_in);
    }

    /// Checks, if the credentials have changed, whether the user still has the same name and password, and adopts its
    /// current rights.
    ///
    /// # Errors
    /// The connection must be closed.
    #[inline]
    pub(crate) fn renew(&mut self, control: &AccessControl) -> Result<(), Revoked> {
        match (&mut self.level, &control.credentials) {
            (Level::User(log_in), Some(credentials)) if log_in.generation != credentials.generation() => {
                *log_in = credentials.renew(&log_in.user).ok_or(Revoked)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The rights; `None` is without a limit.
    fn rights(&self) -> Result<Option<&Rights>, Refusal> {
        match &self.level {
            Level::Unrestricted => Ok(None),
            Level::Unauthenticated => Err(Refusal::Unauthenticated),
            Level::NotRequired => Ok(Some(Rights::WITHOUT_CREDENTIALS)),
            Level::User(LogIn { user, .. }) => Ok(Some(&user.rights)),
        }
    }
}
