//! Events for `tracing` about connections and servers, without keys and values. If the feature is off they cost
//! nothing.

use std::time::Duration;

use crate::address::Address;

/// A connection was opened.
#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "the feature is off"))]
pub(crate) fn connected(server: &Address) {
    #[cfg(feature = "tracing")]
    tracing::debug!(%server, "connected");
}

/// A kept connection had ended, and the request is repeated on another one.
#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "the feature is off"))]
pub(crate) fn reconnects(server: &Address) {
    #[cfg(feature = "tracing")]
    tracing::debug!(%server, "a kept connection had ended, the request is repeated on a new one");
}

/// A server is down, and is not tried again for a while.
#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "the feature is off"))]
pub(crate) fn down(server: &Address, retry_in: Duration, failures: u32) {
    #[cfg(feature = "tracing")]
    tracing::warn!(%server, retry_in_ms = retry_in.as_millis() as u64, failures, "the server is down");
}

/// A server that was down has responded.
#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "the feature is off"))]
pub(crate) fn up(server: &Address) {
    #[cfg(feature = "tracing")]
    tracing::info!(%server, "the server answers again");
}
