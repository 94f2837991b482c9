//! One connection: its transport, the input that is not consumed yet, and the output that is not sent yet.
//!
//! - [`Connection`]: the state machine. Its first byte decides the dialect: `classic`, one request and one response, or a
//!   dialect of `memcached`, any number of requests. It never blocks, registers itself nowhere and reads no clock.
//! - `transport`: receives and sends every byte of the connection, plain or by `tls`.
//! - [`WaitingFor`]: what a connection waits for, which determines its poller interest and its timeout.
//! - [`CloseReason`]: why a connection ends.
//! - [`TurnContext`] and [`ConnectionOptions`]: what a connection uses while it advances.

mod classic;
mod close_reason;
mod context;
mod locks;
mod memcached;
mod pace;
mod pipeline;
mod received;
mod state;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
mod transport;
mod unix;
mod waiting_for;

pub(crate) use close_reason::CloseReason;
pub(crate) use context::{ConnectionOptions, TurnContext};
pub(crate) use pace::Pace;
pub(crate) use state::Connection;
#[cfg(feature = "tls")]
pub(crate) use tls::TlsWorker;
pub(crate) use transport::TransportContext;
pub(crate) use waiting_for::{Interest, Timeout, WaitingFor};
