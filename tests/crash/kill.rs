//! `kill -9` of a real process under write load, in each durability mode, while segments rotate and are compacted. The
//! test's own program is the process: it runs itself. From life to life the wall clock is stepped, both ways, and now and
//! then the boot is another one.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{Durability, Store, Ttl};

use crate::scratch::{self, Chance, SEGMENT_LEN, stamped, version_of};
use crate::{options, rounds};

/// In the environment of the process to be killed: its directory, and its [`Life`].
const DIRECTORY: &str = "SHAREDANCE_KILLED_WRITER_DIRECTORY";
const LIFE: &str = "SHAREDANCE_KILLED_WRITER_LIFE";
const TEST: &str = "kill::writes_until_it_is_killed";

const THREADS: u64 = 3;
const KEYS: u64 = 120;
const SHORT_TTL: Duration = Duration::from_millis(5);
/// Longer than any test, whatever the clocks are stepped by.
const LONG: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How long to wait for what is bound to happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// How far boot time moves from one opening to the next: further than any life lasts.
const LIFETIME: Duration = Duration::from_secs(600);

const MODES: [Durability; 3] = [Durability::Os, Durability::Interval(Duration::from_millis(20)), Durability::Always];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Set,
    SetShort,
    Delete,
    Touch,
    TouchShort,
}

const ACTS: [Act; 5] = [Act::Set, Act::SetShort, Act::Delete, Act::Touch, Act::TouchShort];

/// What a writer tells before it does it, and again when it is done; and how many bytes were compacted.
#[derive(Debug, Clone, Copy)]
struct Report {
    kind: Kind,
    act: Act,
    key: u64,
    /// Or a number of bytes.
    version: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Begun,
    Done,
    Compacted,
}

const KINDS: [Kind; 3] = [Kind::Begun, Kind::Done, Kind::Compacted];
/// No letter of a message that a failing test prints.
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

    fn decode(bytes: &[u8]) -> Option<Report> {
        let kind = *KINDS.get(usize::from(bytes[0].checked_sub(FIRST_KIND)?))?;
        let key = u64::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        let version = u64::from_le_bytes(bytes[4..12].try_into().unwrap());
        Some(Report { kind, act: *ACTS.get(usize::from(bytes[1]))?, key, version })
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

/// What a process is told about itself, and when and where it lives.
#[derive(Debug, Clone, Copy)]
struct Life {
    seed: u64,
    mode: usize,
    boot: u8,
    boot_secs: u64,
    wall_secs: u64,
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

    /// Time moves on, the wall clock is stepped by up to an hour, either way, and one time in five by a reboot.
    fn next(&mut self, chance: &mut Chance) {
        self.seed += 1;
        self.boot_secs += LIFETIME.as_secs();
        self.wall_secs = self.wall_secs - 3_600 + chance.below(7_200);
        if chance.percent(20) {
            (self.boot, self.boot_secs) = (self.boot.wrapping_add(1), 0);
        }
    }

    fn open(self, dir: &Path) -> (Store, ManualClock) {
        let (_, hand) = Clock::manual();
        hand.advance(Duration::from_secs(self.boot_secs));
        hand.step_wall(Duration::from_secs(self.wall_secs));
        let options = options(self.boot, &hand).durability(MODES[self.mode]).default_ttl(LONG);
        (options.open(dir).unwrap(), hand)
    }
}

/// The process to be killed: writes for ever, and says on its standard error what it does.
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
        loop {
            store.maintain(64).unwrap();
            store.prepare(Duration::from_millis(1)).unwrap();
            hand.advance(Duration::from_millis(1));
            hand.step_wall(Duration::from_secs(life.wall_secs - 3_600 + chance.below(7_200)));
            let now = store.stats().compacted_bytes;
            if now > compacted {
                tell(Report { kind: Kind::Compacted, act: Act::Set, key: 0, version: now - compacted });
                compacted = now;
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
        // Now and then the value that is there, which only moves the deadline.
        let version = match last.get(&i) {
            Some(version) if chance.percent(15) => *version,
            _ => seed << 32 | count << 2 | own,
        };
        let report = Report { kind: Kind::Begun, act, key: i, version };
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
        tell(Report { kind: Kind::Done, ..report });
    }
}

fn tell(report: Report) {
    io::stderr().write_all(&report.encode()).unwrap();
}

/// Starts the writer, kills it after a while, and answers all that it told.
fn run_and_kill(dir: &Path, life: Life, chance: &mut Chance) -> Vec<Report> {
    let (mut told, teller) = io::pipe().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([TEST, "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, dir)
        .env(LIFE, life.encode())
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
    for report in told.iter().filter(|report| report.kind != Kind::Compacted) {
        let states = expected.get_mut(&report.key).unwrap();
        let after = states[0].after(report);
        *states = if report.kind == Kind::Done { vec![after] } else { vec![states[0], after] };
    }
    expected
}

fn look(store: &Store, i: u64) -> Option<u64> {
    let found = store.get(&key(i))?;
    Some(version_of(&key(i), &found).expect("a value that was never written"))
}

/// Kills the writer again and again, and sees each time that every key is at its last acknowledged operation, or at the
/// one that was in flight.
fn kill_again_and_again(mode: usize) {
    let dir = scratch::directory();
    let mut chance = Chance(mode as u64);
    let mut life = Life { seed: 0, mode, boot: 1, boot_secs: 0, wall_secs: 1_000_000_000 };
    let mut known: BTreeMap<_, _> = (0..KEYS).map(|i| (i, Known::Absent)).collect();
    let (mut operations, mut superseded, mut compacted, mut reboots) = (0, 0, 0, 0);
    let mut round = 0;
    // Until it has got as far as to compact, however slow the machine is.
    while round < rounds(7) || operations == 0 || compacted == 0 {
        round += 1;
        assert!(round < rounds(7) + 100, "{operations} operations, {compacted} bytes compacted");
        life.next(&mut chance);
        let told = run_and_kill(dir.path(), life, &mut chance);
        operations += told.iter().filter(|report| report.kind == Kind::Done).count();
        compacted += told.iter().filter(|report| report.kind == Kind::Compacted).map(|told| told.version).sum::<u64>();
        let lived_on = life.boot;
        life.next(&mut chance);
        let (store, hand) = life.open(dir.path());
        let report = store.recovery();
        reboots += u64::from(lived_on != life.boot);
        assert!(report.same_boot == (lived_on == life.boot) || told.is_empty(), "round {round}");
        assert_eq!(report.dropped, 0, "round {round}: {report:?}");
        assert!(report.set_aside.is_empty() && report.foreign.is_empty(), "round {round}: {report:?}");
        superseded += report.superseded;
        // Whatever the clocks did meanwhile, what lives for short is gone now.
        hand.advance(LIFETIME / 2);
        for (i, states) in expectations(&known, &told) {
            let found = look(&store, i);
            let fitting: Vec<_> = states.iter().copied().filter(|state| state.allows(found)).collect();
            assert!(!fitting.is_empty(), "round {round}, key {i}: found {found:?}, may be {states:?}");
            let has_expired = states.iter().all(|state| state.expires() == Expires::Soon);
            assert!(!has_expired || found.is_none(), "round {round}, key {i}: served past its deadline");
            let expires = if fitting.len() == 1 { fitting[0].expires() } else { Expires::Perhaps };
            known.insert(i, found.map_or(Known::Absent, |version| Known::Present { version, expires }));
        }
        drop(store);
        let (store, _) = life.open(dir.path());
        assert_eq!((store.recovery().superseded, store.recovery().dropped), (0, 0), "opening twice gives the same");
    }
    eprintln!(
        "{:?}: {round} kills, {operations} acknowledged operations, {superseded} superseded records, {compacted} bytes \
         compacted, {reboots} reboots",
        MODES[mode]
    );
    life.next(&mut chance);
    let (store, hand) = life.open(dir.path());
    check_room(&store, &hand);
}

#[test]
fn invariant_02_after_kill_9_every_key_is_at_its_last_acknowledged_operation_under_os() {
    kill_again_and_again(0);
}

#[test]
fn invariant_02_after_kill_9_every_key_is_at_its_last_acknowledged_operation_under_interval() {
    kill_again_and_again(1);
}

#[test]
fn invariant_02_after_kill_9_every_key_is_at_its_last_acknowledged_operation_under_always() {
    kill_again_and_again(2);
}

/// However often it was killed, the store takes no more room than it would without.
fn check_room(store: &Store, hand: &ManualClock) {
    for _ in 0..4 {
        while store.maintain(10_000).unwrap().pending {}
        store.sync().unwrap();
        hand.advance(Duration::from_secs(60));
    }
    let stats = store.stats();
    assert!(stats.file_bytes <= 2 * stats.live_bytes + 6 * SEGMENT_LEN as u64, "{stats:?}");
}
