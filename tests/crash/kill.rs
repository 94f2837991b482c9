//! `kill -9` of a real process under write load. The test's own program is the process: it runs itself.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sharedance_core::store::{Options, Store, Ttl};

use crate::rounds;
use crate::scratch::{self, Chance, SEGMENT_LEN, stamped, version_of};

const DIRECTORY: &str = "SHAREDANCE_KILLED_WRITER_DIRECTORY";
const SEED: &str = "SHAREDANCE_KILLED_WRITER_SEED";
const TEST: &str = "kill::every_key_is_at_its_last_acknowledged_operation_2";

const THREADS: u64 = 3;
const KEYS: u64 = 120;
const SHORT_TTL: Duration = Duration::from_millis(5);
/// How long to wait for what is bound to happen.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Set,
    SetShort,
    Delete,
    Touch,
    TouchShort,
}

const ACTS: [Act; 5] = [Act::Set, Act::SetShort, Act::Delete, Act::Touch, Act::TouchShort];

/// What a writer tells before it does it, and again when it is done.
#[derive(Debug, Clone, Copy)]
struct Report {
    done: bool,
    act: Act,
    key: u64,
    version: u64,
}

const REPORT_LEN: usize = 12;

impl Report {
    fn encode(self) -> [u8; REPORT_LEN] {
        let mut bytes = [0; REPORT_LEN];
        bytes[0] = if self.done { 0xfe } else { 0xff };
        bytes[1] = ACTS.iter().position(|act| *act == self.act).unwrap() as u8;
        bytes[2..4].copy_from_slice(&(self.key as u16).to_le_bytes());
        bytes[4..12].copy_from_slice(&self.version.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Report> {
        let done = match bytes[0] {
            0xfe => true,
            0xff => false,
            _ => return None,
        };
        let key = u64::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        let version = u64::from_le_bytes(bytes[4..12].try_into().unwrap());
        Some(Report { done, act: *ACTS.get(usize::from(bytes[1]))?, key, version })
    }
}

/// What a key may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Absent,
    Present { version: u64, expires: Expires },
}

/// Whether a pair expires within the test. It does perhaps where a touch may have come too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Expires {
    No,
    Perhaps,
    Soon,
}

impl Known {
    fn after(self, report: &Report) -> Known {
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

    fn allows(self, found: Option<u64>) -> bool {
        match self {
            Known::Absent => found.is_none(),
            Known::Present { version, expires } => match found {
                Some(found) => found == version,
                None => expires != Expires::No,
            },
        }
    }

    fn expires(self) -> Expires {
        match self {
            Known::Absent => Expires::Perhaps,
            Known::Present { expires, .. } => expires,
        }
    }
}

fn key(i: u64) -> Vec<u8> {
    format!("key-{i}").into_bytes()
}

fn value(i: u64, version: u64) -> Vec<u8> {
    let mut chance = Chance(version);
    let len = if chance.percent(2) { 16_000 + chance.below(30_000) } else { chance.below(3_000) };
    stamped(&key(i), version, len as usize)
}

fn open(dir: &Path) -> Store {
    Options::new().segment_len(SEGMENT_LEN).open(dir).unwrap()
}

/// The process to be killed: writes for ever, and says on its standard error what it does.
fn write_until_killed(dir: &Path, seed: u64) {
    let store = open(dir);
    thread::scope(|scope| {
        for own in 0..THREADS {
            let store = &store;
            scope.spawn(move || write(store, own, seed));
        }
        loop {
            store.maintain(64).unwrap();
            store.prepare(Duration::from_millis(1)).unwrap();
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
        // Now and then the value that is there, which only moves the deadline.
        let version = match last.get(&i) {
            Some(version) if chance.percent(15) => *version,
            _ => seed << 32 | count << 2 | own,
        };
        let report = Report { done: false, act, key: i, version };
        tell(report);
        match act {
            Act::Set => {
                store.set(&key(i), &value(i, version)).unwrap();
                last.insert(i, version);
            }
            Act::SetShort => {
                store.set_with_ttl(&key(i), &value(i, version), Ttl::After(SHORT_TTL)).unwrap();
                last.insert(i, version);
            }
            Act::Delete => drop(store.delete(&key(i)).unwrap()),
            Act::Touch => drop(store.touch(&key(i), Ttl::Default).unwrap()),
            Act::TouchShort => drop(store.touch(&key(i), Ttl::After(SHORT_TTL)).unwrap()),
        }
        tell(Report { done: true, ..report });
    }
}

fn tell(report: Report) {
    io::stderr().write_all(&report.encode()).unwrap();
}

/// Starts the writer, kills it after a while, and answers all that it told.
fn run_and_kill(dir: &Path, seed: u64, chance: &mut Chance) -> Vec<Report> {
    let (mut told, teller) = io::pipe().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([TEST, "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, dir)
        .env(SEED, seed.to_string())
        .stdout(Stdio::null())
        .stderr(teller)
        .spawn()
        .unwrap();
    let (started, first_report) = mpsc::channel();
    let listener = thread::spawn(move || {
        let (mut all, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match told.read(&mut piece).unwrap() {
                0 => break,
                read => all.extend_from_slice(&piece[..read]),
            }
            let _ = started.send(());
        }
        all
    });
    // Mostly while it writes, now and then while it opens.
    if chance.percent(85) {
        first_report.recv_timeout(PATIENCE).expect("the writer did not start");
    }
    thread::sleep(Duration::from_micros(chance.below(150_000)));
    child.kill().unwrap();
    child.wait().unwrap();
    let told = listener.join().unwrap();
    let reports = told.chunks_exact(REPORT_LEN).map(Report::decode);
    reports.map(|report| report.unwrap_or_else(|| panic!("the writer failed: {}", told.escape_ascii()))).collect()
}

/// For each key what it may be: after the last operation that was acknowledged, or after the one in flight.
fn expectations(known: &BTreeMap<u64, Known>, told: &[Report]) -> BTreeMap<u64, Vec<Known>> {
    let mut expected: BTreeMap<_, _> = known.iter().map(|(i, known)| (*i, vec![*known])).collect();
    for report in told {
        let states = expected.get_mut(&report.key).unwrap();
        let after = states[0].after(report);
        *states = if report.done { vec![after] } else { vec![states[0], after] };
    }
    expected
}

fn look(store: &Store, i: u64) -> Option<u64> {
    let found = store.get(&key(i))?;
    Some(version_of(&key(i), &found).expect("a value that was never written"))
}

#[test]
fn every_key_is_at_its_last_acknowledged_operation_2() {
    if let (Some(dir), Ok(seed)) = (std::env::var_os(DIRECTORY), std::env::var(SEED)) {
        write_until_killed(Path::new(&dir), seed.parse().unwrap());
    }
    let dir = scratch::directory();
    let mut chance = Chance(1);
    let mut known: BTreeMap<_, _> = (0..KEYS).map(|i| (i, Known::Absent)).collect();
    let (mut operations, mut superseded) = (0, 0);
    for seed in 1..=rounds(20) {
        let told = run_and_kill(dir.path(), seed, &mut chance);
        operations += told.iter().filter(|report| report.done).count();
        let store = open(dir.path());
        let report = store.recovery();
        assert!(report.same_boot || seed == 1, "round {seed}");
        assert_eq!(report.dropped, 0, "round {seed}: {report:?}");
        assert!(report.set_aside.is_empty() && report.foreign.is_empty(), "round {seed}: {report:?}");
        superseded += report.superseded;
        for (i, states) in expectations(&known, &told) {
            let found = look(&store, i);
            let fitting: Vec<_> = states.iter().copied().filter(|state| state.allows(found)).collect();
            assert!(!fitting.is_empty(), "round {seed}, key {i}: found {found:?}, may be {states:?}");
            if states.iter().all(|state| state.expires() == Expires::Soon) {
                let since = Instant::now();
                while look(&store, i).is_some() {
                    assert!(since.elapsed() < PATIENCE, "round {seed}, key {i}: served past its deadline");
                }
                known.insert(i, Known::Absent);
                continue;
            }
            let expires = if fitting.len() == 1 { fitting[0].expires() } else { Expires::Perhaps };
            known.insert(i, found.map_or(Known::Absent, |version| Known::Present { version, expires }));
        }
        drop(store);
        let store = open(dir.path());
        assert_eq!((store.recovery().superseded, store.recovery().dropped), (0, 0), "opening twice gives the same");
    }
    assert!(operations > 0);
    eprintln!("{} kills, {operations} acknowledged operations, {superseded} superseded records", rounds(20));
    check_room(&open(dir.path()));
}

/// However often it was killed, the store takes no more room than it would without.
fn check_room(store: &Store) {
    while store.maintain(10_000).unwrap().pending {}
    store.maintain(1).unwrap();
    let stats = store.stats();
    assert!(stats.file_bytes <= 2 * stats.live_bytes + 12 * SEGMENT_LEN as u64, "{stats:?}");
}
