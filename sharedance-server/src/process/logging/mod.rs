//! Logging: where log lines go, and how often.
//!
//! - [`Logging`]: the program's log, on standard error, in the journal and in syslog.
//! - `LogLimits`: limits the number of log lines that clients or a failing disk can provoke.
//! - [`Chain`]: an error with its causes, as one line.
//!
//! No log line contains a key or a value.

mod chain;
mod limits;
mod logger;
mod refusing;
mod syslog;

pub use chain::Chain;
pub(crate) use limits::{Kind, LogLimits};
pub use logger::{Logging, START};
