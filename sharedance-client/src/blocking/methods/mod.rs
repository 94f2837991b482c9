//! The calls of the client, a file per topic. Each builds its command and runs it.
//!
//! | file | what |
//! | --- | --- |
//! | [`read`], [`write`], [`counters`] | one key |
//! | [`refresh`] | a value that one caller of all clients computes |
//! | [`json`] | values as JSON |
//! | [`batches`] | several keys |
//! | [`locks`] | the lock of a key |
//! | [`servers`] | all servers |

// In the order in which rustdoc shows them; the blank lines keep rustfmt from sorting them.
pub(super) mod read;

pub(super) mod write;

pub(super) mod counters;

pub(super) mod batches;

pub(super) mod locks;

pub(super) mod refresh;

#[cfg(feature = "serde")]
pub(super) mod json;

pub(super) mod servers;
