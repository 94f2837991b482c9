//! What the ends of connections mean to the operator: no key, no value, and no flood.

use std::time::Instant;

use log::Level;

use crate::connection::End;
use crate::process::logging::{Kind, LogLimits};

/// Logs that a connection has ended at `now`, or what was refused on it, if that matters.
pub(super) fn report(log: &LogLimits, end: &End, now: Instant) {
    match end {
        End::Answered | End::PeerClosed | End::Stopped | End::Idle => {}
        End::StoreFailed(error) => log.log_store_error(error, now),
        End::OverBudget => {
            let line = format_args!("a request was {end}; --inflight sets how much may be");
            log.log(Kind::OverBudget, Level::Warn, now, line);
        }
        End::Refused(_) | End::TooMany | End::TooSlow | End::Failed(_) => {
            log.log(Kind::ClosedConnection, Level::Debug, now, format_args!("a connection was closed: {end}"));
        }
    }
}
