//! An embedded, file-backed, expiring key/value store.
//!
//! For what deserves better than to be forgotten with the process, and less than a database: web sessions, caches,
//! codes, counters. Each pair lives for as long as it was told, and is then gone. Values may be mapped and sent from
//! where they lie; an acknowledged write survives the death of the process at any instant, `kill -9` included.
//!
//! ```
//! use std::time::Duration;
//! use sharedance_core::store::Store;
//!
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let store = Store::open(dir)?;
//!
//! store.set("greeting", "hello")?;
//! store.set_with_ttl("code", "1234", Duration::from_secs(300))?;
//! assert_eq!(store.get("greeting").unwrap(), "hello");
//! assert!(store.delete("greeting")?);
//! assert!(store.get("greeting").is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it works
//!
//! Records are appended to *segments*: files of one length (8 MiB, unless [told otherwise](Options::segment_len)) that
//! are mapped into memory. An *index* in memory says for each key which segment its record is in, and where. To
//! overwrite or to delete is to mark the old record dead; a segment without live records is used again, or
//! its file deleted. At the end of each segment stands a *slot* of 32 bytes for each of its records: opening reads
//! these, and not the pairs. [`on_disk`] describes the files to the last byte.
//!
//! # What things cost
//!
//! | | |
//! | --- | --- |
//! | [`get`](Store::get) | a lookup in memory. Nothing is copied, the system is not asked; the first reading of a value after the store was opened compares it with its checksum |
//! | [`set`](Store::set) | one copy of key and value into the mapping. The system is not asked either, while there is a segment ready ([`Store::prepare`]) |
//! | `set` of the value that is there | a comparison, and a new deadline |
//! | [`touch`](Store::touch), [`delete`](Store::delete) | eight bytes in the mapping |
//! | [`append`](Store::append), [`incr`](Store::incr), [`update`](Store::update) | a `get` and a `set` |
//! | a value above a quarter of a segment | a file of its own: to be created, and in the end deleted |
//! | a pair, in memory | about 20 to 40 bytes of the index; the mapping is the system's page cache |
//! | a pair, on disk | key, value and 32 bytes, rounded up to sixteen; with what compaction has still to take away up to twice that |
//! | [`len`](Store::len) | nothing; [`iter`](Store::iter) and [`iter_prefix`](Store::iter_prefix) look at all pairs, [`verify`](Store::verify) reads all bytes |
//!
//! # What survives what
//!
//! | | [`Os`](Durability::Os), the default | [`Interval`](Durability::Interval) | [`Always`](Durability::Always) |
//! | --- | --- | --- | --- |
//! | the process is killed | everything | everything | everything |
//! | the power is cut | what the system had written back: all but some seconds to half a minute | all but the last so-long | everything |
//! | a write waits for | nothing | nothing | a sync, which all writers of the moment share |
//!
//! With the latter two a power cut leaves each key with the value that it had at the last sync or a later one, and
//! closing the store syncs it. With `Os`, [`Store::sync`] puts on the disk what there is at that moment; what is
//! written over it is at risk again. A sync that fails makes the store [read-only](StoreError::ReadOnly): the system
//! has forgotten what it could not write, and trying again would succeed without having written it.
//!
//! After a restart of the machine every record is compared with its checksum when the store is opened. What does not
//! verify is dropped and counted, never served, and never a reason not to open: [`Store::recovery`] reports what was
//! found.
//!
//! # Expiry
//!
//! A pair is never served from the millisecond on at which it expires, whether maintenance has removed it or not. Its
//! memory and its space are freed by [maintenance](Store::maintain), within seconds. Reading a pair does not prolong its
//! life; setting and [touching](Store::touch) it does. Pairs of about the same [`Ttl`] share segments, so that these
//! empty by themselves.
//!
//! Time is the store's own: it advances while the machine is up, or sleeps, and while it is off by the difference of the wall
//! clock. Setting the clock neither ends a pair's life nor prolongs it. A test may [set it
//! itself](crate::clock::Clock::manual).
//!
//! # Room
//!
//! Maintenance keeps the files below twice the bytes of the live pairs plus some segments, by copying what lives out of
//! segments that hold little else. With [`Options::max_bytes`], or where the file system is full, a write that finds no
//! room does that at once; if it does not help, the write is [refused](StoreError::Full), or [old pairs make
//! room](WhenFull::Evict). Reading, deleting and touching need none. A store with a single pair takes a few
//! segments: for many small stores choose short ones.
//!
//! # Threads
//!
//! A [`Store`] is a cheap handle: clone it into every thread. All that happens to one key happens in one order, which
//! all threads see, and [versions](Value::version) follow. Readers do not wait for each other, and no lock is
//! held over a copy, a comparison or a file operation.
//!
//! A store has two or three threads of its own, which end when its last handle is dropped. One [maintains](Store::maintain)
//! it, so that expired pairs free their memory and their space. One [prepares](Store::prepare) segments, so that writers do
//! not wait for files to be created. With [`Durability::Interval`], a third one [syncs](Store::keep_synced), so that writers
//! do not wait for that. With [`Background::Manual`] there are no threads, and the program makes these calls itself.
//!
//! # What is not promised
//!
//! - Several keys at once: there are no transactions, and no snapshot. [`Store::update`] changes one key as one step.
//! - An order of keys.
//! - Two processes on one directory: the second is [refused](OpenError::InUse). `sharedanced` serves one store to many.
//! - Anything if another program writes to the files or truncates them, or if they are on a network file system.
//! - That a disk which cannot read back a page is an error: the page is memory, and touching it then is the signal
//!   SIGBUS.
//! - Secrecy: keys and values are in the files as they are (mode 0600), unencrypted.
//!   They are printed nowhere: `Debug` shows lengths.
//! - Other systems than Linux on 64-bit, little-endian machines: the crate does not build there. On btrfs, a full disk is an error and not a signal only in
//!   a directory without copy-on-write (`chattr +C`).

mod api;
mod disk;
mod durability;
mod engine;
mod error;
mod handle;
mod index;
mod log;
mod operations;
mod primitives;
mod recovery;
mod segment;
mod timeline;
mod upkeep;

#[cfg(any(loom, shuttle, visible_locks))]
#[path = "../../../tests/tools/races/src/engine/mod.rs"]
pub(crate) mod races;

#[doc = include_str!("../../FORMAT.md")]
pub mod on_disk {}

pub use api::background::{Background, MaintenanceOptions, MaintenanceTask};
pub use api::durability::{Durability, UncleanBoot};
pub use api::options::{Options, WhenFull};
pub use api::recache::{Entry, GetOptions, Recache};
pub use api::request::{Attributes, Condition, DeleteResult, Ttl, Update};
pub use api::stats::Stats;
pub use api::value::Value;
pub use disk::mapping_limit::max_mappings;
pub use disk::meta::BootId;
pub use error::{OpenError, StoreError};
pub use handle::batch::Batch;
pub use handle::iterate::Pairs;
pub use handle::store::Store;
pub use operations::iterate::{Pair, Verification};
pub use recovery::report::RecoveryReport;
pub use upkeep::maintain::Progress;
pub use upkeep::threads::Maintenance;

/// The longest key, in bytes.
pub const MAX_KEY_LEN: usize = disk::format::MAX_KEY_LEN;
