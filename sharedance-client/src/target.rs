//! A server with everything that a connection to it needs.

#[cfg(feature = "tls")]
use std::cell::OnceCell;

use crate::address::{ListedServer, WeightedAddress};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::tls;

#[cfg(feature = "tls")]
use crate::address::Address;

pub(crate) struct Target {
    pub(crate) server: WeightedAddress,
    pub(crate) credentials: Option<Credentials>,
    /// For an address with TLS.
    pub(crate) tls: Option<tls::Connector>,
}

impl From<WeightedAddress> for Target {
    fn from(server: WeightedAddress) -> Target {
        Target { server, credentials: None, tls: None }
    }
}

/// The options that the servers of a client have in common.
pub(crate) struct Targets<'o> {
    credentials: Option<&'o Credentials>,
    #[cfg(feature = "tls")]
    tls: Option<&'o tls::TlsOptions>,
    /// The configuration of rustls. Its files are read if there is a server that needs it.
    #[cfg(feature = "tls")]
    config: OnceCell<rustls::ClientConfig>,
}

impl<'o> Targets<'o> {
    pub(crate) fn new(
        credentials: Option<&'o Credentials>,
        #[cfg(feature = "tls")] tls: Option<&'o tls::TlsOptions>,
    ) -> Targets<'o> {
        Targets {
            credentials,
            #[cfg(feature = "tls")]
            tls,
            #[cfg(feature = "tls")]
            config: OnceCell::new(),
        }
    }

    pub(crate) fn of(&self, mut listed: ListedServer) -> Result<Target, Error> {
        let tls = self.connector(&mut listed)?;
        let ListedServer { server, credentials, .. } = listed;
        let credentials = credentials.or_else(|| self.credentials.cloned());
        credentials.as_ref().map_or(Ok(()), Credentials::check)?;
        Ok(Target { server, credentials, tls })
    }

    #[cfg(feature = "tls")]
    fn connector(&self, listed: &mut ListedServer) -> Result<Option<tls::Connector>, Error> {
        if self.tls.is_some() {
            listed.use_tls();
        }
        let Address::Tls { host, .. } = &listed.server.address else {
            return Ok(None);
        };
        let default = tls::TlsOptions::new();
        let options = self.tls.unwrap_or(&default);
        let name = options.server_name.as_ref().unwrap_or(host);
        let name = rustls::pki_types::ServerName::try_from(name.clone()).map_err(|_| Error::TlsOptions {
            reason: format!("{name:?} is not a name that a certificate can have: set TlsOptions::server_name"),
        })?;
        let config = match self.config.get() {
            Some(config) => config,
            None => {
                let config = options.client_config()?;
                self.config.get_or_init(|| config)
            }
        };
        Ok(Some(tls::Connector::new(config, name)))
    }

    #[cfg(not(feature = "tls"))]
    fn connector(&self, _: &mut ListedServer) -> Result<Option<tls::Connector>, Error> {
        Ok(None)
    }
}
