//! fjall 3, a log-structured merge tree in Rust.
//!
//! Configured as its documentation recommends for larger values that are overwritten: values of 1 KiB and more are
//! stored separately from their keys (its own default threshold), point reads expect hits, and the cache is larger than
//! the default. Compression is off, because the values are random. Each write is passed to the system before it returns
//! (`PersistMode::Buffer`, the default), so it survives the death of the process. An fsync happens when a journal is
//! full.

use std::path::Path;

use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions};

use super::CACHE_LEN;
use crate::peer::{AfterKill, Kind, Peer, Result};
use crate::workload::Load;

pub(crate) const KIND: Kind = Kind {
    name: "fjall",
    title: "fjall",
    setting: "3, PersistMode::Buffer, values apart from keys, 512 MiB of cache",
    after_kill: AfterKill::Everything,
    slow: false,
    open,
};

struct Fjall {
    pairs: Keyspace,
    /// Owns the background threads.
    _database: Database,
}

fn open(dir: &Path, _: &Load) -> Result<Box<dyn Peer>> {
    let database =
        Database::builder(dir).cache_size(CACHE_LEN as u64).journal_compression(CompressionType::None).open()?;
    let options = || {
        KeyspaceCreateOptions::default()
            .expect_point_read_hits(true)
            .data_block_compression_policy(CompressionPolicy::disabled())
            .with_kv_separation(Some(KvSeparationOptions::default().compression(CompressionType::None)))
    };
    let pairs = database.keyspace("pairs", options)?;
    Ok(Box::new(Fjall { pairs, _database: database }))
}

impl Peer for Fjall {
    fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.pairs.insert(key, value)?)
    }

    fn get(&self, key: &[u8], copy: &mut Vec<u8>) -> Result<bool> {
        copy.clear();
        let value = self.pairs.get(key)?;
        copy.extend_from_slice(value.as_deref().unwrap_or_default());
        Ok(value.is_some())
    }

    /// Does not check whether there is a value.
    fn delete(&self, key: &[u8]) -> Result<bool> {
        self.pairs.remove(key)?;
        Ok(true)
    }
}
