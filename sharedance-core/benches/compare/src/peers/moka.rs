//! moka, a concurrent cache in memory: the choice of a Rust program that needs expiry and keeps nothing.
//!
//! Configured with the TTL that the store gives its pairs, so that both keep deadlines, and without a size limit:
//! nothing is evicted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use crate::peer::{AfterKill, Kind, Peer, Result};
use crate::workload::Load;

pub(crate) const KIND: Kind = Kind {
    name: "moka",
    title: "moka",
    setting: "in memory, TTL 30 min, unbounded",
    after_kill: AfterKill::Nothing,
    slow: false,
    open,
};

const TTL: Duration = Duration::from_secs(30 * 60);

struct Moka(Cache<Box<[u8]>, Arc<[u8]>>);

fn open(_: &Path, _: &Load) -> Result<Box<dyn Peer>> {
    Ok(Box::new(Moka(Cache::builder().time_to_live(TTL).build())))
}

impl Peer for Moka {
    fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.insert(key.into(), value.into());
        Ok(())
    }

    fn get(&self, key: &[u8], copy: &mut Vec<u8>) -> Result<bool> {
        copy.clear();
        let value = self.0.get(key);
        copy.extend_from_slice(value.as_deref().unwrap_or_default());
        Ok(value.is_some())
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        Ok(self.0.remove(key).is_some())
    }
}
