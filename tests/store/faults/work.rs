//! The process whose calls fail. It executes the same operations on a store and a model, and panics when they differ.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{Background, BootId, Durability, OpenError, Options, Store, StoreError, Ttl};

use crate::scratch::{Chance, Image, SEGMENT_LEN, stamped, version_of};

/// Environment variables of the process: its directory, and the number of its [`MODES`].
pub(crate) const DIRECTORY: &str = "SHAREDANCE_FAULTY_DIRECTORY";
pub(crate) const MODE: &str = "SHAREDANCE_FAULTY_MODE";
pub(crate) const TEST: &str = "work::works_while_calls_fail";
/// Missing files that are looked up, so that the trace shows where the work begins and ends.
pub(crate) const BEGIN: &str = "/sharedance-faults-begin";
pub(crate) const END: &str = "/sharedance-faults-end";

pub(crate) const MODES: [Durability; 3] =
    [Durability::Os, Durability::Interval(Duration::from_secs(3)), Durability::Always];

const KEYS: u64 = 60;
const STEPS: usize = 260;
const LONG: Ttl = Ttl::After(Duration::from_secs(1_000_000));
/// A call fails once. After this many attempts the store has recovered, or never will.
const ATTEMPTS: usize = 3;
/// Segments that may remain when no pair is live.
const SEGMENTS_AT_REST: u64 = 3;

const CALLS_BEFORE: usize = 120;

struct Worker {
    dir: PathBuf,
    hand: ManualClock,
    mode: Durability,
    boot: u8,
    store: Option<Store>,
    chance: Chance,
    version: u64,
    /// The possible states of each key: more than one if the result of an operation was uncertain.
    keys: BTreeMap<u64, Vec<Option<u64>>>,
    errors: usize,
    is_read_only: bool,
    was_read_only: bool,
}

impl Worker {
    fn new(dir: PathBuf, mode: Durability) -> Worker {
        let (_, hand) = Clock::manual();
        let keys = (0..KEYS).map(|key| (key, vec![None])).collect();
        let (store, chance) = (None, Chance(5));
        Worker {
            dir,
            hand,
            mode,
            boot: 1,
            store,
            chance,
            version: 0,
            keys,
            errors: 0,
            is_read_only: false,
            was_read_only: false,
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// A failure comes from the system, its error says what was tried, and the next attempt succeeds.
    fn open(&mut self) {
        self.store = None;
        self.is_read_only = false;
        for _ in 0..ATTEMPTS {
            let boot_id = Some(BootId::from_bytes([self.boot; 16]));
            let options = Options::new()
                .background(Background::Manual)
                .segment_len(SEGMENT_LEN)
                .durability(self.mode)
                .clock(self.hand.clock());
            match options.boot_id(boot_id).open(&self.dir) {
                Ok(store) => {
                    assert_eq!((store.recovery().dropped, &store.recovery().set_aside), (0, &vec![]));
                    self.store = Some(store);
                    return self.check();
                }
                Err(OpenError::Io { .. }) => self.errors += 1,
                Err(error) => panic!("{error}: {error:?}"),
            }
        }
        panic!("it does not open");
    }

    fn name(key: u64) -> [u8; 8] {
        key.to_be_bytes()
    }

    /// Records the result of a change of `key` to `new`.
    fn note<T>(&mut self, keys: impl IntoIterator<Item = (u64, Option<u64>)>, result: &Result<T, StoreError>) {
        let was_read_only = self.is_read_only;
        match result {
            Ok(_) => assert!(!was_read_only, "a read-only store accepted a change"),
            Err(_) => self.errors += 1,
        }
        let is_in_doubt = self.record_error(result.as_ref().err());
        for (key, new) in keys {
            let states = self.keys.get_mut(&key).unwrap();
            match result {
                Ok(_) => *states = vec![new],
                Err(_) if is_in_doubt => states.push(new),
                Err(_) => {}
            }
        }
    }

    /// Records an error. Returns true if the result of the change is uncertain: it happened in memory, but not on the
    /// disk.
    fn record_error(&mut self, error: Option<&StoreError>) -> bool {
        match error {
            Some(StoreError::Io { action: "sync the store", .. }) => {
                (self.is_read_only, self.was_read_only) = (true, true);
                true
            }
            Some(StoreError::ReadOnly) => {
                assert!(self.is_read_only, "nothing has failed that would make it read-only");
                false
            }
            None | Some(StoreError::Full | StoreError::Io { .. }) => false,
            Some(error) => panic!("{error}: {error:?}"),
        }
    }

    fn step(&mut self) {
        let key = self.chance.below(KEYS);
        match self.chance.below(100) {
            0..55 => {
                let len = if self.chance.percent(6) { 20_000 } else { self.chance.below(5_000) as usize };
                self.set(key, len);
            }
            55..70 => {
                let deleted = self.store().delete(Self::name(key));
                self.note([(key, None)], &deleted);
            }
            70..74 => {
                let touched = self.store().touch(Self::name(key), LONG);
                self.note([], &touched);
            }
            74..88 => {
                self.hand.advance(Duration::from_millis(1_100));
                let done = self.store().maintain(self.chance.clone().below(200) as usize);
                self.background(done.map(drop));
            }
            88..93 => {
                let done = self.store().prepare(Duration::ZERO);
                self.background(done);
            }
            93..96 => {
                let done = self.store().sync();
                self.background(done);
            }
            96 => {
                self.clear();
            }
            97 | 98 => self.open(),
            _ => {
                self.boot += 1;
                self.open();
            }
        }
        self.check_key(key);
    }

    fn set(&mut self, key: u64, len: usize) {
        self.version += 1;
        let name = Self::name(key);
        let set = self.store().set_with_ttl(name, stamped(&name, self.version, len), LONG);
        self.note([(key, Some(self.version))], &set);
    }

    fn clear(&mut self) {
        let cleared = self.store().clear();
        self.note((0..KEYS).map(|key| (key, None)), &cleared);
    }

    fn background(&mut self, result: Result<(), StoreError>) {
        self.errors += usize::from(result.is_err());
        self.record_error(result.as_ref().err());
    }

    /// Reads continue after any failure.
    fn check_key(&self, key: u64) {
        let name = Self::name(key);
        let found = self.store().get(name);
        let found = found.map(|value| version_of(&name, &value).expect("a value that was never written"));
        let states = &self.keys[&key];
        assert!(states.contains(&found), "key {key}: found {found:?} of {states:?}");
    }

    fn check(&self) {
        (0..KEYS).for_each(|key| self.check_key(key));
    }

    /// The call that failed may be one of the last syncs. The store then refuses changes until it is opened again.
    fn reopen_if_read_only(&mut self) {
        if self.is_read_only {
            self.open();
            self.clear();
        }
    }

    /// Checks that everything can be written and deleted again, that all space is freed, and that no unneeded file
    /// remains.
    fn wind_up(&mut self) {
        self.check();
        self.open();
        (0..KEYS).for_each(|key| self.set(key, 2_000));
        self.check();
        for key in 0..KEYS {
            let deleted = self.store().delete(Self::name(key));
            self.note([(key, None)], &deleted);
        }
        self.check();
        self.reopen_if_read_only();
        for _ in 0..30 {
            self.hand.advance(Duration::from_secs(3));
            let done = self.store().maintain(10_000);
            self.background(done.map(drop));
            self.reopen_if_read_only();
        }
        // A failed deletion was retried: no file waits for the next opening.
        let _ = std::fs::metadata(END);
        let (image, stats) = (Image::take(&self.dir), self.store().stats());
        assert_eq!((stats.pairs, stats.live_bytes, stats.segments), (0, 0, 0), "{stats:?}");
        assert_eq!(stats.file_bytes, image.segment_bytes(), "{stats:?}");
        assert!(stats.file_bytes <= SEGMENTS_AT_REST * SEGMENT_LEN as u64, "{stats:?}");
        let strays = image.files.keys().filter(|name| !name.ends_with(".shd") && *name != "store.meta");
        assert_eq!(strays.collect::<Vec<_>>(), Vec::<&String>::new());
    }
}

/// Executes the calls by which programs are loaded and started.
fn make_all_calls_of_a_start() {
    let file = File::open("/proc/self/exe").unwrap();
    file.read_at(&mut [0], 0).unwrap();
    rustix::rand::getrandom(&mut [0], rustix::rand::GetRandomFlags::empty()).unwrap();
    drop(memmap2::MmapMut::map_anon(4_096).unwrap());
    assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() > 0);
}

/// Does nothing without a directory in its environment.
#[test]
fn works_while_calls_fail() {
    let (Some(dir), Ok(mode)) = (std::env::var_os(DIRECTORY), std::env::var(MODE)) else { return };
    let mode = MODES[mode.parse::<usize>().unwrap()];
    // Calls are counted by thread. This thread's numbers are beyond those of the start of the program.
    let work = move || {
        (0..CALLS_BEFORE).for_each(|_| make_all_calls_of_a_start());
        let _ = std::fs::metadata(BEGIN);
        let mut worker = Worker::new(dir.into(), mode);
        worker.open();
        (0..STEPS).for_each(|_| worker.step());
        worker.wind_up();
        (worker.errors, worker.was_read_only)
    };
    let (errors, was_read_only) = thread::spawn(work).join().unwrap();
    eprintln!("errors={errors} read_only={}", u8::from(was_read_only));
}
