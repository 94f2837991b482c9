//! The servers that a test runs against, one after the other.

use crate::memcached::Memcached;
use crate::peer::AMPLE;
use crate::sharedanced::Sharedanced;
use sharedance_client::{Builder, Client};

/// Runs `test` with a client of each kind of server; the servers are empty.
pub(crate) fn each(test: impl Fn(&Client)) {
    let memcached = Memcached::start(&[]);
    test(&ample(memcached.address()).build().unwrap());
    let sharedanced = Sharedanced::start();
    test(&ample(sharedanced.address()).build().unwrap());
}

/// A builder with timeouts that are never reached.
pub(crate) fn ample(address: &str) -> Builder<Client> {
    Client::builder(address).connect_timeout(AMPLE).operation_timeout(AMPLE)
}
