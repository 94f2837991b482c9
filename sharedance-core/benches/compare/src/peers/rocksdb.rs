//! RocksDB, a log-structured merge tree in C++, through the crate that fits the system's library.
//!
//! Configured as its guide to basic tuning recommends: dynamic level sizes, blocks of 16 KiB in a cache that also
//! contains index and filter blocks, Bloom filters of 10 bits per key, the newest table format, and as many background
//! jobs as cores. Values of 1 KiB and more are stored in blob files, as it recommends, which are collected as they age.
//! Compression is off, because the values are random. The log is written and not synced, which is the default:
//! acknowledged writes survive the death of the process.

use std::path::Path;

use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, Options};

use super::CACHE_LEN;
use crate::peer::{AfterKill, Kind, Peer, Result};
use crate::workload::Load;

pub(crate) const KIND: Kind = Kind {
    name: "rocksdb",
    title: "RocksDB",
    setting: "7.8, log not synced, blob files from 1 KiB on, Bloom filters, 512 MiB of cache",
    after_kill: AfterKill::Everything,
    slow: false,
    open,
};

const BLOCK_LEN: usize = 16 * 1024;
const BITS_PER_KEY: f64 = 10.0;
const TABLE_FORMAT: i32 = 5;
const MIN_BLOB_LEN: u64 = 1024;
const PARALLELISM: i32 = 2;

struct RocksDb(DB);

fn open(dir: &Path, _: &Load) -> Result<Box<dyn Peer>> {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(CACHE_LEN)?);
    blocks.set_block_size(BLOCK_LEN);
    blocks.set_bloom_filter(BITS_PER_KEY, false);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_format_version(TABLE_FORMAT);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&blocks);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.increase_parallelism(PARALLELISM);
    options.set_compression_type(DBCompressionType::None);
    options.set_enable_blob_files(true);
    options.set_min_blob_size(MIN_BLOB_LEN);
    options.set_enable_blob_gc(true);
    Ok(Box::new(RocksDb(DB::open(&options, dir)?)))
}

impl Peer for RocksDb {
    fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.0.put(key, value)?)
    }

    fn get(&self, key: &[u8], copy: &mut Vec<u8>) -> Result<bool> {
        copy.clear();
        let value = self.0.get_pinned(key)?;
        copy.extend_from_slice(value.as_deref().unwrap_or_default());
        Ok(value.is_some())
    }

    /// Does not check whether there is a value.
    fn delete(&self, key: &[u8]) -> Result<bool> {
        self.0.delete(key)?;
        Ok(true)
    }
}
