//! What the ends of connections mean to the operator: no key, no value, and no flood.

use std::time::Instant;

use log::{debug, error, log_enabled, warn};

use crate::connection::End;
use crate::logging::{Chain, Throttle};

/// Says what a worker has to say.
#[derive(Default)]
pub(super) struct Reports {
    oddities: Throttle,
    failures: Throttle,
}

impl Reports {
    /// Says that a connection has ended at `now`, or what was refused on it, if that matters.
    pub(super) fn say(&mut self, end: &End, now: Instant) {
        match end {
            End::Answered | End::PeerClosed | End::Stopped | End::Idle => {}
            End::StoreFailed(error) => {
                if let Some(unsaid) = self.failures.permit(now) {
                    error!("a request failed in the store: {}{unsaid}", Chain(error));
                }
            }
            End::OverBudget => {
                if let Some(unsaid) = self.failures.permit(now) {
                    warn!("a request was {end}; --inflight sets how much may be{unsaid}");
                }
            }
            End::Refused(_) | End::TooMany | End::TooSlow | End::Failed(_) => {
                if log_enabled!(log::Level::Debug)
                    && let Some(unsaid) = self.oddities.permit(now)
                {
                    debug!("a connection was closed: {end}{unsaid}");
                }
            }
        }
    }
}
