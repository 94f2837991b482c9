//! Executes requests on the store, and turns the results into responses.
//!
//! This is the only folder that uses both the protocol and the store.
//!
//! - [`Interpreter`]: decodes the input of a memcached connection, request by request, and executes it. Responses go to
//!   the [`Output`](crate::buffers::Output).
//! - `text`, `meta` and `binary`: the requests and responses of each dialect of memcached.
//! - `pairs`: what these dialects do to a pair, and the counters of that.
//! - `classic`: the classic dialect.
//! - `guard`: decides, for a connection that may not do everything, before a request is executed; `log_in` checks
//!   credentials.
//! - `stats` and `latency`: statistics and settings.
//! - [`Context`]: what the execution of a request may use.

mod binary;
mod classic;
mod context;
mod guard;
mod interpreter;
mod latency;
mod log_in;
mod meta;
mod pairs;
mod settings;
mod stats;
mod step;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use classic::{Body, execute};
pub(crate) use context::{Context, Service};
pub(crate) use interpreter::Interpreter;
pub(crate) use settings::Settings;
pub(crate) use step::Step;
