//! The blocking client and the one for tokio, with the same calls.

use sharedance_client::{Builder, Client, Error, TlsOptions, Ttl, tokio};

use crate::certificates::Authority;
use crate::peer::AMPLE;

/// A client of either kind.
pub(crate) enum AnyClient {
    Blocking(Client),
    Tokio(tokio::Client, ::tokio::runtime::Runtime),
}

/// Both clients with the same options.
pub(crate) fn both(servers: &str, options: &TlsOptions) -> [AnyClient; 2] {
    [
        AnyClient::Blocking(ample(Client::builder(servers)).tls(options.clone()).build().unwrap()),
        AnyClient::on_tokio(ample(tokio::Client::builder(servers)).tls(options.clone()).build().unwrap()),
    ]
}

/// With timeouts that are never reached.
pub(crate) fn ample<C>(builder: Builder<C>) -> Builder<C> {
    builder.connect_timeout(AMPLE).operation_timeout(AMPLE)
}

/// Trusts the authority.
pub(crate) fn trusting(authority: &Authority) -> TlsOptions {
    TlsOptions::new().ca(authority.file())
}

impl AnyClient {
    pub(crate) fn on_tokio(client: tokio::Client) -> AnyClient {
        let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        AnyClient::Tokio(client, runtime)
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self {
            AnyClient::Blocking(client) => client.get(key),
            AnyClient::Tokio(client, runtime) => runtime.block_on(client.get(key)),
        }
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        match self {
            AnyClient::Blocking(client) => client.set(key, value, Ttl::Never),
            AnyClient::Tokio(client, runtime) => runtime.block_on(client.set(key, value, Ttl::Never)),
        }
    }

    pub(crate) fn get_many(&self, keys: &[String]) -> Vec<Result<Option<Vec<u8>>, Error>> {
        match self {
            AnyClient::Blocking(client) => client.get_many(keys).into_iter().collect(),
            AnyClient::Tokio(client, runtime) => runtime.block_on(client.get_many(keys)).into_iter().collect(),
        }
    }
}
