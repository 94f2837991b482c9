//! A process that writes until it is killed or its disk is cut off, and reports its operations. The test runs its own
//! program for this.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{Durability, Store, StoreError, Ttl};

use crate::options;
use crate::scratch::{Chance, stamped, version_of};

/// Environment variables of the process to be killed: its directory, and its [`Life`].
const DIRECTORY: &str = "SHAREDANCE_KILLED_WRITER_DIRECTORY";
const LIFE: &str = "SHAREDANCE_KILLED_WRITER_LIFE";
const TEST: &str = "writer::writes_until_it_is_killed";

const THREADS: u64 = 3;
pub(crate) const KEYS: u64 = 120;
const SHORT_TTL: Duration = Duration::from_millis(5);
/// Longer than any test, however the clocks are stepped.
const LONG: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Upkeep runs per sync of a writer, in every mode.
const RUNS_PER_SYNC: u32 = 4;
/// Time limit for events that must happen.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Difference in boot time between two openings: longer than any life lasts.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

pub(crate) const MODES: [Durability; 3] =
    [Durability::Os, Durability::Interval(Duration::from_millis(20)), Durability::Always];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Set,
    SetShort,
    Delete,
    Touch,
    TouchShort,
}

const ACTS: [Act; 5] = [Act::Set, Act::SetShort, Act::Delete, Act::Touch, Act::TouchShort];

/// A report of a writer before and after each operation; also the number of compacted bytes, and the syncs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    pub(crate) kind: Kind,
    act: Act,
    pub(crate) key: u64,
    /// Or a number of bytes.
    pub(crate) version: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Begun,
    Done,
    Compacted,
    SyncBegun,
    SyncDone,
}

const KINDS: [Kind; 5] = [Kind::Begun, Kind::Done, Kind::Compacted, Kind::SyncBegun, Kind::SyncDone];
/// Not a byte of a message that a failing test prints.
const FIRST_KIND: u8 = 0xf0;

const REPORT_LEN: usize = 12;

impl Report {
    fn encode(self) -> [u8; REPORT_LEN] {
        let mut bytes = [0; REPORT_LEN];
        bytes[0] = FIRST_KIND + KINDS.iter().position(|kind| *kind == self.kind).unwrap() as u8;
        bytes[1] = ACTS.iter().position(|act| *act == self.act).unwrap() as u8;
        bytes[2..4].copy_from_slice(&(self.key as u16).to_le_bytes());
        bytes[4..12].copy_from_slice(&self.version.to_le_bytes());
        bytes
    }

    fn about_all(kind: Kind) -> Report {
        Report { kind, act: Act::Set, key: 0, version: 0 }
    }

    /// Returns true if it is about one key.
    pub(crate) fn is_operation(&self) -> bool {
        matches!(self.kind, Kind::Begun | Kind::Done)
    }

    fn decode(bytes: &[u8]) -> Option<Report> {
        let kind = *KINDS.get(usize::from(bytes[0].checked_sub(FIRST_KIND)?))?;
        let key = u64::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        let version = u64::from_le_bytes(bytes[4..12].try_into().unwrap());
        Some(Report { kind, act: *ACTS.get(usize::from(bytes[1]))?, key, version })
    }
}

/// A possible state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Absent,
    Present { version: u64, expires: Expires },
}

/// Whether a pair expires within the test. It may do so if a touch may have been too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Expires {
    No,
    Perhaps,
    Soon,
}

impl Known {
    pub(crate) fn after(self, report: &Report) -> Known {
        let Report { act, version, .. } = *report;
        match (act, self) {
            (Act::Set, _) => Known::Present { version, expires: Expires::No },
            (Act::SetShort, _) => Known::Present { version, expires: Expires::Soon },
            (Act::Delete, _) | (_, Known::Absent) => Known::Absent,
            (Act::Touch, Known::Present { version, expires }) => {
                Known::Present { version, expires: expires.min(Expires::Perhaps) }
            }
            (Act::TouchShort, Known::Present { version, .. }) => Known::Present { version, expires: Expires::Soon },
        }
    }

    pub(crate) fn allows(self, found: Option<u64>) -> bool {
        match self {
            Known::Absent => found.is_none(),
            Known::Present { version, expires } => match found {
                Some(found) => found == version,
                None => expires != Expires::No,
            },
        }
    }

    pub(crate) fn expires(self) -> Expires {
        match self {
            Known::Absent => Expires::Perhaps,
            Known::Present { expires, .. } => expires,
        }
    }
}

pub(crate) fn key(i: u64) -> Vec<u8> {
    format!("key-{i}").into_bytes()
}

fn value(i: u64, version: u64) -> Vec<u8> {
    let mut chance = Chance(version);
    let len = if chance.percent(2) { 16_000 + chance.below(30_000) } else { chance.below(3_000) };
    stamped(&key(i), version, len as usize)
}

/// The arguments of a process: what it does, when, and in which directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    pub(crate) seed: u64,
    pub(crate) mode: usize,
    pub(crate) boot: u8,
    pub(crate) boot_secs: u64,
    pub(crate) wall_secs: u64,
}

impl Life {
    fn encode(self) -> String {
        format!("{} {} {} {} {}", self.seed, self.mode, self.boot, self.boot_secs, self.wall_secs)
    }

    fn decode(text: &str) -> Life {
        let numbers: Vec<u64> = text.split(' ').map(|number| number.parse().unwrap()).collect();
        let [seed, mode, boot, boot_secs, wall_secs] = numbers.try_into().unwrap();
        Life { seed, mode: mode as usize, boot: boot as u8, boot_secs, wall_secs }
    }

    /// Time advances, the wall clock is stepped by up to an hour in either direction, and one time in five the machine
    /// reboots.
    pub(crate) fn next(&mut self, chance: &mut Chance) {
        self.seed += 1;
        self.boot_secs += LIFETIME.as_secs();
        self.wall_secs = self.wall_secs - 3_600 + chance.below(7_200);
        if chance.percent(20) {
            (self.boot, self.boot_secs) = (self.boot.wrapping_add(1), 0);
        }
    }

    pub(crate) fn open(self, dir: &Path) -> (Store, ManualClock) {
        let (_, hand) = Clock::manual();
        hand.advance(Duration::from_secs(self.boot_secs));
        hand.step_wall(Duration::from_secs(self.wall_secs));
        let options = options(self.boot, &hand).durability(MODES[self.mode]).default_ttl(LONG);
        (options.open(dir).unwrap(), hand)
    }
}

/// The process to be killed. It writes forever, and reports its operations on standard error.
#[test]
fn writes_until_it_is_killed() {
    let (Some(dir), Ok(life)) = (std::env::var_os(DIRECTORY), std::env::var(LIFE)) else { return };
    let life = Life::decode(&life);
    let (store, hand) = life.open(Path::new(&dir));
    thread::scope(|scope| {
        for own in 0..THREADS {
            let store = &store;
            scope.spawn(move || write(store, own, life.seed));
        }
        let mut compacted = 0;
        let mut chance = Chance(life.seed);
        for turn in 1.. {
            store.maintain(64).unwrap();
            match store.prepare(Duration::from_millis(1)) {
                // The writers were faster than maintenance, so writers reclaim space themselves.
                Err(StoreError::Full) => {}
                prepared => prepared.unwrap(),
            }
            hand.advance(Duration::from_millis(1));
            hand.step_wall(Duration::from_secs(life.wall_secs - 3_600 + chance.below(7_200)));
            let now = store.stats().compacted_bytes;
            if now > compacted {
                tell(Report { version: now - compacted, ..Report::about_all(Kind::Compacted) });
                compacted = now;
            }
            if turn % RUNS_PER_SYNC == 0 {
                tell(Report::about_all(Kind::SyncBegun));
                store.sync().unwrap();
                tell(Report::about_all(Kind::SyncDone));
            }
        }
    });
}

fn write(store: &Store, own: u64, seed: u64) {
    let mut chance = Chance(seed * THREADS + own);
    let mut last = BTreeMap::new();
    for count in 1.. {
        let i = chance.below(KEYS / THREADS) * THREADS + own;
        let act = match chance.below(100) {
            0..65 => Act::Set,
            65..72 => Act::SetShort,
            72..85 => Act::Delete,
            85..95 => Act::Touch,
            _ => Act::TouchShort,
        };
        // Sometimes the current value, which changes only the deadline.
        let version = match last.get(&i) {
            Some(version) if chance.percent(15) => *version,
            _ => seed << 32 | count << 2 | own,
        };
        let report = Report { kind: Kind::Begun, act, key: i, version };
        tell(report);
        match act {
            Act::Set => {
                store.set(key(i), value(i, version)).unwrap();
                last.insert(i, version);
            }
            Act::SetShort => {
                store.set_with_ttl(key(i), value(i, version), Ttl::After(SHORT_TTL)).unwrap();
                last.insert(i, version);
            }
            Act::Delete => drop(store.delete(key(i)).unwrap()),
            Act::Touch => drop(store.touch(key(i), Ttl::Default).unwrap()),
            Act::TouchShort => drop(store.touch(key(i), Ttl::After(SHORT_TTL)).unwrap()),
        }
        tell(Report { kind: Kind::Done, ..report });
    }
}

fn tell(report: Report) {
    io::stderr().write_all(&report.encode()).unwrap();
}

/// A running writer, and its reports so far.
pub(crate) struct Writer {
    child: Child,
    reported: Arc<Mutex<Vec<u8>>>,
    listener: JoinHandle<()>,
}

impl Writer {
    pub(crate) fn start(dir: &Path, life: Life) -> Writer {
        let (mut pipe, teller) = io::pipe().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args([TEST, "--exact", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, dir)
            .env(LIFE, life.encode())
            .stdout(Stdio::null())
            .stderr(teller)
            .spawn()
            .unwrap();
        let reported: Arc<Mutex<Vec<u8>>> = Arc::default();
        let heard = reported.clone();
        let listener = thread::spawn(move || {
            let mut piece = [0; 4096];
            while let read @ 1.. = pipe.read(&mut piece).unwrap() {
                heard.lock().unwrap().extend_from_slice(&piece[..read]);
            }
        });
        Writer { child, reported, listener }
    }

    /// Returns the number of reports.
    pub(crate) fn reported(&self) -> usize {
        self.reported.lock().unwrap().len() / REPORT_LEN
    }

    pub(crate) fn wait_until_it_reported(&self, reports: usize) {
        let started = Instant::now();
        while self.reported() < reports {
            assert!(started.elapsed() < TIMEOUT, "the writer got no further than {} reports", self.reported());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills the process and returns all its reports.
    pub(crate) fn kill(mut self) -> Vec<Report> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.listener.join().unwrap();
        let reported = self.reported.lock().unwrap();
        let reports = reported.chunks_exact(REPORT_LEN).map(Report::decode);
        reports
            .map(|report| report.unwrap_or_else(|| panic!("the writer failed: {}", reported.escape_ascii())))
            .collect()
    }
}

/// Returns the possible states of each key: after the last acknowledged operation, or after the one in flight.
pub(crate) fn expectations(known: &BTreeMap<u64, Known>, reported: &[Report]) -> BTreeMap<u64, Vec<Known>> {
    let mut expected: BTreeMap<_, _> = known.iter().map(|(i, known)| (*i, vec![*known])).collect();
    for report in reported.iter().filter(|report| report.is_operation()) {
        let states = expected.get_mut(&report.key).unwrap();
        let after = states[0].after(report);
        *states = if report.kind == Kind::Done { vec![after] } else { vec![states[0], after] };
    }
    expected
}

pub(crate) fn look(store: &Store, i: u64) -> Option<u64> {
    let found = store.get(key(i))?;
    Some(version_of(&key(i), &found).expect("a value that was never written"))
}
