//! What one connection may do.

use sharedance_core::protocol::Operation;

use super::rights::Rights;
use super::user::LogIn;

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

/// Why a connection may not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has to send credentials first.
    Unauthenticated,
    /// Its user may not do this.
    Denied,
}

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

    /// The user of the connection, if it has sent credentials.
    #[inline]
    pub(super) fn user(&mut self) -> Option<&mut LogIn> {
        match &mut self.level {
            Level::User(log_in) => Some(log_in),
            _ => None,
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
