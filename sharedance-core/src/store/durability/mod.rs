//! Durability: which writes survive which crash.
//!
//! | file | what |
//! | --- | --- |
//! | [`syncs`] | what one sync writes, and when one is due |
//! | [`group_commit`] | syncs that waiting writers share |
//! | [`cadence`] | when a sync is due, and which thread runs it |
//! | [`superseded`] | old records that stay on disk until a sync covers their successors |
//! | [`quarantine`] | spent segments whose records the disk may still need |

pub(crate) mod cadence;
pub(crate) mod group_commit;
pub(crate) mod quarantine;
pub(crate) mod superseded;
pub(crate) mod syncs;
