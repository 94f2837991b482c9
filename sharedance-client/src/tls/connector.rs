//! What a new TLS connection to one server needs. Sessions of the server are continued: its connections share the
//! tickets.

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;

use super::{Session, TlsProblem};

/// One name is enough for one server. rustls keeps eight tickets for each name.
const RESUMED_NAMES: usize = 1;

#[derive(Clone)]
pub(crate) struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Connector {
    /// The tickets are those of this server alone: rustls distinguishes them by name, and two servers of one host have
    /// the same name.
    pub(crate) fn new(config: &ClientConfig, name: ServerName<'static>) -> Connector {
        let mut config = config.clone();
        config.resumption = Resumption::in_memory_sessions(RESUMED_NAMES);
        Connector { config: Arc::new(config), name }
    }

    pub(crate) fn session(&self) -> Result<Session, TlsProblem> {
        Ok(Session::new(&self.config, &self.name)?)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("name", &self.name).finish_non_exhaustive()
    }
}
