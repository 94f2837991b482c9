//! One worker: waits for readiness, advances connections, accepts new ones, and closes those that are overdue.
//!
//! - [`Reactor`] in `turn`: the order of the work in a turn. Every loop has a named cap; the poller uses level mode and
//!   reports again what a cap has left.
//! - `readiness`: waits for events.
//! - `interest`: the table of connections, and the only place where the poller, the deadlines and the lists follow the
//!   state of a connection.
//! - `deadlines`: deadlines of many connections.
//! - `context`: what the worker lends to a connection, and the time of the turn.

mod context;
mod deadlines;
mod handover;
mod interest;
mod readiness;
#[cfg(test)]
mod tests;
mod turn;

pub(crate) use context::Shared;
pub(crate) use handover::Handover;
pub(crate) use turn::Reactor;
