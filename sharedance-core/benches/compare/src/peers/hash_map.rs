//! `RwLock<HashMap>`, in memory only: the choice of a program that shares nothing with other processes and keeps
//! nothing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use crate::peer::{AfterKill, Kind, Peer, Result};
use crate::workload::Load;

pub(crate) const KIND: Kind = Kind {
    name: "map",
    title: "RwLock<HashMap>",
    setting: "in memory, nothing expires",
    after_kill: AfterKill::Nothing,
    slow: false,
    open,
};

#[derive(Default)]
struct Map(RwLock<HashMap<Vec<u8>, Vec<u8>>>);

fn open(_: &Path, _: &Load) -> Result<Box<dyn Peer>> {
    Ok(Box::new(Map::default()))
}

impl Peer for Map {
    fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let (key, value) = (key.to_vec(), value.to_vec());
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, value);
        Ok(())
    }

    fn get(&self, key: &[u8], copy: &mut Vec<u8>) -> Result<bool> {
        copy.clear();
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Ok(match map.get(key) {
            Some(value) => {
                copy.extend_from_slice(value);
                true
            }
            None => false,
        })
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        Ok(self.0.write().unwrap_or_else(PoisonError::into_inner).remove(key).is_some())
    }
}
