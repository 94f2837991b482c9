//! What the server records and shows about its work: as a program sets it, and as it is given.

use std::time::Duration;

use clap::Args;

use super::units::{self, Plain};
use crate::observe::DEFAULT_SLOW_LOG_THRESHOLD;

/// The longest threshold of the slow log.
const MAX_THRESHOLD: Duration = Duration::from_secs(86_400);

/// What the server records and shows about its work.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ObserveOptions {
    /// Where to serve the status page and the metrics, HOST:PORT; `None` is nowhere.
    #[cfg(feature = "status")]
    pub status: Option<String>,
    /// From which latency on requests are in the slow log; `None` keeps none.
    pub slow_log_threshold: Option<Duration>,
}

impl Default for ObserveOptions {
    fn default() -> ObserveOptions {
        ObserveOptions {
            #[cfg(feature = "status")]
            status: None,
            slow_log_threshold: Some(DEFAULT_SLOW_LOG_THRESHOLD),
        }
    }
}

/// The same options, as they are given.
#[derive(Debug, Args)]
pub(super) struct ObserveArguments {
    /// Serve HTTP here, read only and without credentials: a status page at /, and /metrics, /healthz and /readyz
    #[cfg(feature = "status")]
    #[arg(long, value_name = "HOST:PORT")]
    status: Option<String>,

    /// Keep requests that take this long or longer in the slow log; a plain number is in milliseconds, and 0
    /// keeps none
    #[arg(long, value_name = "TIME", default_value = "10ms",
          value_parser = units::time(Plain::Milliseconds, Duration::ZERO..=MAX_THRESHOLD))]
    slow_log_threshold: Duration,
}

impl From<ObserveArguments> for ObserveOptions {
    fn from(arguments: ObserveArguments) -> ObserveOptions {
        ObserveOptions {
            #[cfg(feature = "status")]
            status: arguments.status,
            slow_log_threshold: Some(arguments.slow_log_threshold).filter(|threshold| !threshold.is_zero()),
        }
    }
}
