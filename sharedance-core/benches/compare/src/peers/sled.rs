//! sled 0.34, its last stable release.
//!
//! Configured with its defaults, except the size of the cache and the mode, which its documentation recommends for
//! throughput. It collects writes in memory and passes them to the system, with an fsync, every half second. Writes
//! acknowledged since then are lost when the process is killed.

use std::path::Path;

use sled::{Config, Db, Mode};

use super::CACHE_LEN;
use crate::peer::{AfterKill, Kind, Peer, Result};
use crate::workload::Load;

pub(crate) const KIND: Kind = Kind {
    name: "sled",
    title: "sled",
    setting: "0.34, HighThroughput, 512 MiB of cache; flushes each half second",
    after_kill: AfterKill::Something,
    slow: true,
    open,
};

struct Sled(Db);

fn open(dir: &Path, _: &Load) -> Result<Box<dyn Peer>> {
    let config = Config::default().path(dir).cache_capacity(CACHE_LEN as u64).mode(Mode::HighThroughput);
    Ok(Box::new(Sled(config.open()?)))
}

impl Peer for Sled {
    fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.insert(key, value)?;
        Ok(())
    }

    fn get(&self, key: &[u8], copy: &mut Vec<u8>) -> Result<bool> {
        copy.clear();
        let value = self.0.get(key)?;
        copy.extend_from_slice(value.as_deref().unwrap_or_default());
        Ok(value.is_some())
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        Ok(self.0.remove(key)?.is_some())
    }
}
