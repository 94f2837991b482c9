//! LMDB through the crate heed, one transaction per operation, without waiting for the disk. Its default durability
//! equals the store's: it survives the death of the process, not of the machine.

#![allow(unsafe_code)]

use std::path::Path;

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions};

use crate::peer::{AfterKill, Kind, Peer, Result};
use crate::workload::Load;

/// Pages are written to the file when a transaction commits, and are not synced.
pub(crate) const NO_SYNC: Kind = Kind {
    name: "lmdb",
    title: "LMDB NO_SYNC",
    setting: "NO_SYNC, one transaction per operation",
    after_kill: AfterKill::Everything,
    slow: false,
    open: |dir, load| open(dir, load, EnvFlags::NO_SYNC),
};

/// Pages are changed in a writable mapping. A crash of the system may destroy everything.
pub(crate) const WRITE_MAP: Kind = Kind {
    name: "lmdb-writemap",
    title: "LMDB WRITE_MAP",
    setting: "WRITE_MAP, NO_SYNC, MAP_ASYNC, one transaction per operation",
    after_kill: AfterKill::Everything,
    slow: false,
    open: |dir, load| open(dir, load, EnvFlags::WRITE_MAP | EnvFlags::NO_SYNC | EnvFlags::MAP_ASYNC),
};

/// The map needs a fixed upper bound: the bytes of all values times `MAP_LEN_FACTOR`, plus `MAP_LEN_MORE`.
const MAP_LEN_FACTOR: usize = 6;
const MAP_LEN_MORE: usize = 1 << 30;

struct Lmdb {
    env: Env,
    pairs: Database<Bytes, Bytes>,
}

fn open(dir: &Path, load: &Load, flags: EnvFlags) -> Result<Box<dyn Peer>> {
    let map_len = (load.data_len() * MAP_LEN_FACTOR + MAP_LEN_MORE).next_multiple_of(1 << 20);
    let mut options = EnvOpenOptions::new();
    options.map_size(map_len);
    // SAFETY: the flags weaken the protection against crashes of the system only. The files belong to this run of the
    // benchmark, no other process writes to them, and each process opens them once.
    let env = unsafe { options.flags(flags).open(dir) }?;
    let mut txn = env.write_txn()?;
    let pairs = env.create_database(&mut txn, None)?;
    txn.commit()?;
    Ok(Box::new(Lmdb { env, pairs }))
}

impl Peer for Lmdb {
    fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        self.pairs.put(&mut txn, key, value)?;
        Ok(txn.commit()?)
    }

    fn get(&self, key: &[u8], copy: &mut Vec<u8>) -> Result<bool> {
        copy.clear();
        let txn = self.env.read_txn()?;
        Ok(match self.pairs.get(&txn, key)? {
            Some(value) => {
                copy.extend_from_slice(value);
                true
            }
            None => false,
        })
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        let mut txn = self.env.write_txn()?;
        let existed = self.pairs.delete(&mut txn, key)?;
        txn.commit()?;
        Ok(existed)
    }
}
