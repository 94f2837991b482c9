//! The store of `sharedance-core`, with its background threads as the server runs them: one that keeps segments ready,
//! and one of the lowest priority that maintains ten times a second.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sharedance_core::store::Store;

use crate::peer::{Kind, Peer, Result};
use crate::workload::Load;

pub(crate) const KIND: Kind = Kind { name: "store", title: "store", survives_kill: true, open };

const MAINTENANCE_INTERVAL: Duration = Duration::from_millis(100);
const RECORDS_PER_PIECE: usize = 4096;
const MAINTENANCE_NICENESS: i32 = 19;
const PREPARE_WAIT: Duration = Duration::from_millis(250);

struct Maintained {
    store: Store,
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

fn open(dir: &Path, _: &Load) -> Result<Box<dyn Peer>> {
    let store = Store::open(dir)?;
    let stopping = Arc::new(AtomicBool::new(false));
    let spawn = |name: &str, work: fn(&Store, &AtomicBool)| {
        let (store, stopping) = (store.clone(), stopping.clone());
        thread::Builder::new().name(name.to_owned()).spawn(move || work(&store, &stopping))
    };
    let threads = vec![spawn("prepare", prepare)?, spawn("maintain", maintain)?];
    Ok(Box::new(Maintained { store, stopping, threads }))
}

fn prepare(store: &Store, stopping: &AtomicBool) {
    while !stopping.load(Ordering::Acquire) {
        if let Err(error) = store.prepare(PREPARE_WAIT) {
            eprintln!("sharedance-compare: no segment can be prepared: {error}");
        }
    }
}

fn maintain(store: &Store, stopping: &AtomicBool) {
    // Of this thread alone: on Linux the call means the calling thread. Where it is refused, priority is as usual.
    let _ = rustix::process::setpriority_process(None, MAINTENANCE_NICENESS);
    while !stopping.load(Ordering::Acquire) {
        match store.maintain(RECORDS_PER_PIECE) {
            Ok(progress) if progress.pending => continue,
            Ok(_) => {}
            Err(error) => eprintln!("sharedance-compare: maintenance failed: {error}"),
        }
        thread::park_timeout(MAINTENANCE_INTERVAL);
    }
}

impl Peer for Maintained {
    fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.store.set(key, value)?)
    }

    fn get(&self, key: &[u8], copy: &mut Vec<u8>) -> Result<bool> {
        copy.clear();
        Ok(match self.store.get(key) {
            Some(value) => {
                copy.extend_from_slice(&value);
                true
            }
            None => false,
        })
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        Ok(self.store.delete(key)?)
    }

    fn index_bytes(&self) -> Option<u64> {
        Some(self.store.stats().index_bytes)
    }
}

impl Drop for Maintained {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                eprintln!("sharedance-compare: a background thread of the store panicked");
            }
        }
    }
}
