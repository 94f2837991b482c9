//! The status listener: HTTP, read only, in a thread of its own.
//!
//! | path | content |
//! | --- | --- |
//! | `/` | the status page |
//! | `/status.json` | what the page shows, as JSON |
//! | `/metrics` | metrics for Prometheus |
//! | `/healthz` | 200 as long as the process serves |
//! | `/readyz` | 200 if the server accepts reads and writes, 503 otherwise, with the reason |
//!
//! - [`StatusListener`]: the bound socket, which starts the thread.
//! - [`Source`]: what the numbers are read from; a [`Snapshot`] has their values at one time.
//! - `history`: the snapshots of the last minute, for rates and percentiles.
//! - `exposition` writes metrics in the formats of Prometheus, `metrics` decides which.
//! - `page`: the status page and its JSON.

mod exposition;
mod history;
mod metrics;
mod page;
mod server;
mod snapshot;

pub(crate) use server::StatusListener;
pub(crate) use snapshot::Source;
