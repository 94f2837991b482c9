//! What the workers of a server share: its credentials, and the limit on delayed refusals.

use std::sync::Arc;

use super::connection::Access;
use super::credentials::Credentials;
use super::delays::{Delay, Delays};
use super::user::LogIn;
use crate::listen::ListenerOptions;

/// The user of a connection is no longer in the credentials, or has another password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revoked;

/// Who may do what on a server.
#[derive(Debug)]
pub(crate) struct AccessControl {
    credentials: Option<Arc<Credentials>>,
    delays: Delays,
}

impl AccessControl {
    /// Without credentials, every connection may do everything.
    pub(crate) fn new(credentials: Option<Arc<Credentials>>, max_connections: usize) -> AccessControl {
        AccessControl { credentials, delays: Delays::new(max_connections) }
    }

    /// Whether there are credentials.
    pub(crate) fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// What a new connection of `listener` may do.
    pub(crate) fn new_connection(&self, listener: &ListenerOptions) -> Access {
        Access::new(self.credentials.is_some(), listener.auth, listener.admin)
    }

    /// The user with this name and password.
    pub(crate) fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<LogIn> {
        self.credentials.as_ref()?.find(name, password)
    }

    /// Checks, if the credentials have changed, whether the user of a connection still has the same name and password, and
    /// lets the connection adopt its current rights.
    ///
    /// # Errors
    /// The connection must be closed.
    #[inline]
    pub(crate) fn renew(&self, access: &mut Access) -> Result<(), Revoked> {
        if let (Some(log_in), Some(credentials)) = (access.user(), &self.credentials)
            && log_in.generation != credentials.generation()
        {
            *log_in = credentials.renew(&log_in.user).ok_or(Revoked)?;
        }
        Ok(())
    }

    /// Delays a connection whose credentials were wrong. Returns `None` if too many are delayed; the connection then ends at
    /// once, and without a response.
    pub(crate) fn delay(&self) -> Option<Delay> {
        self.delays.begin()
    }
}
