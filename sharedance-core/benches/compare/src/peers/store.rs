//! The store of `sharedance-core` with its defaults and its own maintenance threads: one prepares segments for writers,
//! one runs upkeep.
//!
//! Its pairs live for half an hour and survive the death of the process (`Durability::Os`).

use std::path::Path;

use sharedance_core::store::{Background, BootId, Options, Store};

use crate::peer::{AfterKill, Kind, Peer, Result};
use crate::workload::Load;

pub(crate) const KIND: Kind = Kind {
    name: "store",
    title: "store",
    setting: "defaults, its own maintenance threads; TTL 30 min",
    after_kill: AfterKill::Everything,
    slow: false,
    open,
};

fn open(dir: &Path, _: &Load) -> Result<Box<dyn Peer>> {
    Ok(Box::new(Store::open(dir)?))
}

/// Opens a store's files as after a reboot, and closes it. Returns the number of pairs.
pub(crate) fn open_in_another_boot(dir: &Path, boot: u8) -> Result<usize> {
    let store = Options::new().background(Background::Manual).boot_id(Some(BootId::from_bytes([boot; 16]))).open(dir)?;
    Ok(store.recovery().pairs as usize)
}

impl Peer for Store {
    fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(Store::set(self, key, value)?)
    }

    fn get(&self, key: &[u8], copy: &mut Vec<u8>) -> Result<bool> {
        copy.clear();
        let value = Store::get(self, key);
        copy.extend_from_slice(value.as_deref().unwrap_or_default());
        Ok(value.is_some())
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        Ok(Store::delete(self, key)?)
    }

    fn index_bytes(&self) -> Option<u64> {
        Some(self.stats().index_bytes)
    }

    fn copied_bytes(&self) -> Option<u64> {
        Some(self.stats().compacted_bytes)
    }
}
