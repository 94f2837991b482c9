//! redb 4, a copy-on-write B-tree in Rust, one transaction per operation, in two configurations.
//!
//! - `redb`: `Durability::Immediate`, its default, on a file whose syncs do nothing. Its promise then equals the
//!   store's default: acknowledged writes survive the death of the process. With syncs it would measure the disk.
//! - `redb-none`: `Durability::None`, which keeps commits in memory, plus an ordinary, synced commit once a second,
//!   without which nothing would reach the file. Writes since the last ordinary commit are lost when the process is
//!   killed.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{BackendError, Builder, Database, Durability, ReadableDatabase, StorageBackend, TableDefinition};

use super::CACHE_LEN;
use crate::peer::{AfterKill, Kind, Peer, Result};
use crate::workload::Load;

pub(crate) const UNSYNCED: Kind = Kind {
    name: "redb",
    title: "redb, no fsync",
    setting: "4, Durability::Immediate without fsync, 512 MiB of cache",
    after_kill: AfterKill::Everything,
    slow: true,
    open: open_unsynced,
};

pub(crate) const NONE: Kind = Kind {
    name: "redb-none",
    title: "redb, None",
    setting: "4, Durability::None, an ordinary commit each second, 512 MiB of cache",
    after_kill: AfterKill::Something,
    slow: true,
    open: open_none,
};

const PAIRS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("pairs");
const FILE_NAME: &str = "pairs.redb";
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

struct Redb {
    database: Arc<Database>,
    durability: Durability,
    committer: Option<Committer>,
}

fn open_unsynced(dir: &Path, _: &Load) -> Result<Box<dyn Peer>> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join(FILE_NAME))?;
    let backend = Unsynced(FileBackend::new(file)?);
    let database = Builder::new().set_cache_size(CACHE_LEN).create_with_backend(backend)?;
    open(database, Durability::Immediate)
}

fn open_none(dir: &Path, _: &Load) -> Result<Box<dyn Peer>> {
    open(Builder::new().set_cache_size(CACHE_LEN).create(dir.join(FILE_NAME))?, Durability::None)
}

fn open(database: Database, durability: Durability) -> Result<Box<dyn Peer>> {
    let txn = database.begin_write()?;
    txn.open_table(PAIRS)?;
    txn.commit()?;
    let database = Arc::new(database);
    let committer = match durability {
        Durability::None => Some(Committer::start(database.clone())?),
        _ => None,
    };
    Ok(Box::new(Redb { database, durability, committer }))
}

impl Peer for Redb {
    fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut txn = self.database.begin_write()?;
        txn.set_durability(self.durability)?;
        txn.open_table(PAIRS)?.insert(key, value)?;
        Ok(txn.commit()?)
    }

    fn get(&self, key: &[u8], copy: &mut Vec<u8>) -> Result<bool> {
        copy.clear();
        let txn = self.database.begin_read()?;
        let value = txn.open_table(PAIRS)?.get(key)?;
        if let Some(value) = &value {
            copy.extend_from_slice(value.value());
        }
        Ok(value.is_some())
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        let mut txn = self.database.begin_write()?;
        txn.set_durability(self.durability)?;
        let existed = txn.open_table(PAIRS)?.remove(key)?.is_some();
        txn.commit()?;
        Ok(existed)
    }
}

impl Drop for Redb {
    fn drop(&mut self) {
        drop(self.committer.take());
    }
}

/// A thread that makes commits durable at intervals.
struct Committer {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    fn start(database: Arc<Database>) -> Result<Committer> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("commit".to_owned()).spawn(move || {
            while stopped.recv_timeout(COMMIT_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = commit(&database) {
                    eprintln!("sharedance-compare: redb cannot commit: {error}");
                }
            }
        })?;
        Ok(Committer { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("sharedance-compare: redb's background thread panicked");
        }
    }
}

fn commit(database: &Database) -> Result<()> {
    Ok(database.begin_write()?.commit()?)
}

/// A file that is written but never synced.
#[derive(Debug)]
struct Unsynced(FileBackend);

impl StorageBackend for Unsynced {
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write(offset, bytes)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> std::result::Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> std::result::Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }
}
