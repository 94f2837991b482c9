//! Cuts the power of a real file system while a process writes to it: ext4 in a file on xfs, which can copy that file
//! in one step. The copy contains what the disk had received by then, in any order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use sharedance_core::store::Durability;
use tempfile::TempDir;

use crate::rounds;
use crate::scratch::Chance;
use crate::writer::{KEYS, Kind, Known, LIFETIME, Life, MODES, Report, Writer, expectations, look};

/// The smallest size that xfs accepts, with space for the store.
const OUTER_LEN: &str = "320M";
const INNER_LEN: &str = "48M";

/// Mounted until dropped.
struct Mount(PathBuf);

impl Mount {
    fn of(image: &Path, at: PathBuf, options: &str) -> Option<Mount> {
        std::fs::create_dir_all(&at).unwrap();
        let is_done = run(Command::new("mount").args(["-o", options]).arg(image).arg(&at));
        is_done.then_some(Mount(at))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run(Command::new("umount").arg(&self.0));
    }
}

fn run(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A file system in a file that can be copied in one step. Unmounted from the inside out.
struct Disk {
    inner: Mount,
    outer: Mount,
    _dir: TempDir,
}

impl Disk {
    /// Returns `None` if the machine does not allow it.
    fn new() -> Option<Disk> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let make = |image: &Path, len: &str, command: &str, argument: &str| {
            run(Command::new("truncate").args(["-s", len]).arg(image))
                && run(Command::new(command)
                    .args(["-q", argument])
                    .arg(image)
                    .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin"))
        };
        let outer_image = dir.path().join("outer");
        let made = make(&outer_image, OUTER_LEN, "mkfs.xfs", "-f");
        let outer = made.then(|| Mount::of(&outer_image, dir.path().join("xfs"), "loop")).flatten()?;
        let inner_image = outer.0.join("inner");
        let made = make(&inner_image, INNER_LEN, "mkfs.ext4", "-F");
        let inner = made.then(|| Mount::of(&inner_image, dir.path().join("ext4"), "loop")).flatten()?;
        Some(Disk { inner, outer, _dir: dir })
    }

    /// Returns the current content of the disk.
    fn cut(&self) -> Mount {
        let copy = self.outer.0.join("copy");
        assert!(run(Command::new("cp").arg("--reflink=always").arg(self.outer.0.join("inner")).arg(&copy)));
        Mount::of(&copy, self.outer.0.with_file_name("cut"), "loop").unwrap()
    }
}

/// Returns how many of the reports must be on the disk, of which `reported_before` were made before the cut.
fn durable(durability: Durability, reported: &[Report], reported_before: usize) -> usize {
    if durability == Durability::Always {
        return reported_before;
    }
    let last = |kind, before: usize| reported[..before].iter().rposition(|report| report.kind == kind);
    last(Kind::SyncDone, reported_before).and_then(|done| last(Kind::SyncBegun, done)).unwrap_or(0)
}

/// Returns the possible states of each key: after the durable reports, or after any later one.
fn possible(reported: &[Report], durable: usize) -> BTreeMap<u64, Vec<Known>> {
    let nothing = (0..KEYS).map(|key| (key, Known::Absent)).collect();
    let mut possible = expectations(&nothing, &reported[..durable]);
    for report in reported[durable..].iter().filter(|report| report.kind == Kind::Begun) {
        let states = possible.get_mut(&report.key).unwrap();
        let after = states[states.len() - 1].after(report);
        states.push(after);
    }
    possible
}

/// Writes, cuts the power, and checks the disk. Returns how many operations were acknowledged, and how many of those
/// had to be on the disk.
fn cut_once(disk: &Disk, life: Life, chance: &mut Chance) -> [usize; 2] {
    let dir = disk.inner.0.join("store");
    let _ = std::fs::remove_dir_all(&dir);
    let writer = Writer::start(&dir, life);
    writer.wait_until_it_reported(200);
    thread::sleep(Duration::from_millis(chance.below(400)));
    let reported_before = writer.reported();
    let cut = disk.cut();
    let reported = writer.kill();
    let durability = MODES[life.mode];
    let durable = durable(durability, &reported, reported_before);
    let rebooted = Life { boot: life.boot + 1, boot_secs: 0, ..life };
    let (store, hand) = rebooted.open(&cut.0.join("store"));
    assert!(!store.recovery().same_boot && store.recovery().set_aside.is_empty(), "{:?}", store.recovery());
    // Short-lived pairs have expired by now.
    hand.advance(LIFETIME);
    for (key, states) in possible(&reported, durable) {
        let found = look(&store, key);
        let is_lost = durability == Durability::Os && found.is_none();
        let is_allowed = is_lost || states.iter().any(|state| state.allows(found));
        assert!(is_allowed, "{durability:?}, round {}: key {key} is {found:?}, and may be {states:?}", life.seed);
    }
    drop(store);
    let count = |reports: &[Report]| reports.iter().filter(|report| report.kind == Kind::Done).count();
    [count(&reported[..reported_before]), count(&reported[..durable])]
}

#[test]
fn invariant_03_after_a_power_cut_of_a_real_disk_promised_writes_are_there() {
    let Some(disk) = Disk::new() else {
        eprintln!(
            "skipped: no file system can be created and mounted here (needs root, loop devices, mkfs.xfs, mkfs.ext4)"
        );
        return;
    };
    let mut chance = Chance(3);
    for (mode, durability) in MODES.iter().enumerate() {
        let mut acknowledged = [0, 0];
        for seed in 1..=rounds(1) {
            let life = Life { seed, mode, boot: 1, boot_secs: 0, wall_secs: 1_000_000_000 };
            let counts = cut_once(&disk, life, &mut chance);
            acknowledged = [acknowledged[0] + counts[0], acknowledged[1] + counts[1]];
        }
        let [all, durable] = acknowledged;
        eprintln!("{durability:?}: {} cuts, {all} acknowledged operations, {durable} had to be on the disk", rounds(1));
        assert!(all > 0 && (durable > 0 || *durability != Durability::Always));
    }
}
