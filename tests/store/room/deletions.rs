//! Files that cannot be deleted for a while. Root can unlink files in any directory, but no user can unlink a
//! directory, so the tests replace the files by directories of the same names.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{Background, Durability, Options, Store, StoreError, Ttl};
use tempfile::TempDir;

use crate::scratch::{self, Image, SEGMENT_LEN};
use crate::{fill, maintain_for_a_second};

const LEN: usize = 1_000;
const SEGMENTS: u64 = 20;
const MODES: [Durability; 3] = [Durability::Os, Durability::Interval(Duration::from_secs(1)), Durability::Always];

fn full(durability: Durability) -> (TempDir, Store, ManualClock) {
    let (dir, (clock, hand)) = (scratch::directory(), Clock::manual());
    let options = Options::new()
        .background(Background::Manual)
        .segment_len(SEGMENT_LEN)
        .max_bytes(SEGMENTS * SEGMENT_LEN as u64)
        .clock(clock);
    let store = options.durability(durability).open(dir.path()).unwrap();
    (dir, store, hand)
}

fn segment_files(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "shd")).collect()
}

/// Makes files impossible to delete until it is dropped.
struct Obstacle {
    aside: TempDir,
    files: Vec<PathBuf>,
}

impl Obstacle {
    fn for_all_in(dir: &Path) -> Obstacle {
        let obstacle = Obstacle { aside: scratch::directory(), files: segment_files(dir) };
        for file in &obstacle.files {
            fs::rename(file, obstacle.aside.path().join(file.file_name().unwrap())).unwrap();
            fs::create_dir(file).unwrap();
        }
        obstacle
    }
}

impl Drop for Obstacle {
    fn drop(&mut self) {
        for file in &self.files {
            fs::remove_dir(file).unwrap();
            fs::rename(self.aside.path().join(file.file_name().unwrap()), file).unwrap();
        }
    }
}

/// Runs maintenance. Everything except the deletion must work.
fn maintain_despite_failures(store: &Store, hand: &ManualClock) -> usize {
    let mut failures = 0;
    for _ in 0..50 {
        match store.maintain(10_000) {
            Ok(_) => {}
            Err(StoreError::Io { action: "delete a segment file", .. }) => failures += 1,
            Err(error) => panic!("{error}"),
        }
        hand.advance(Duration::from_millis(100));
    }
    failures
}

#[test]
fn a_failed_unlink_does_not_lose_space_until_restart() {
    for (durability, len) in MODES.into_iter().flat_map(|mode| [LEN, SEGMENT_LEN].map(|len| (mode, len))) {
        let (dir, store, hand) = full(durability);
        let written = fill(&store, 0, len, Ttl::Never);
        let used = store.stats().file_bytes;
        let obstacle = Obstacle::for_all_in(dir.path());
        store.clear().unwrap();
        let failures = maintain_despite_failures(&store, &hand);
        let stats = store.stats();
        assert!(failures > 0 && stats.failed_deletions > stats.pending_deletions, "{failures}, {stats:?}");
        assert!(stats.pending_deletions > 5 && stats.segments == 0, "{durability:?}, {len}: {stats:?}");
        assert!(failures as u64 <= stats.pending_deletions, "a retry is not reported again");
        assert_eq!(stats.file_bytes, used, "remaining files count");

        drop(obstacle);
        maintain_for_a_second(&store, &hand);
        let stats = store.stats();
        assert_eq!((stats.pending_deletions, stats.segments), (0, 0), "{stats:?}");
        assert_eq!(stats.file_bytes, Image::take(dir.path()).segment_bytes());
        assert!(stats.file_bytes <= 3 * SEGMENT_LEN as u64, "{stats:?}");
        assert!(fill(&store, 0, len, Ttl::Never) >= written - 1, "{:?}", store.stats());
    }
}

#[test]
fn a_writer_without_space_retries_failed_deletions() {
    let (dir, store, hand) = full(Durability::Os);
    let written = fill(&store, 0, SEGMENT_LEN, Ttl::Never);
    let obstacle = Obstacle::for_all_in(dir.path());
    store.clear().unwrap();
    maintain_despite_failures(&store, &hand);
    assert_eq!(store.stats().pending_deletions, u64::from(written));
    assert!(matches!(store.set("key", vec![1; SEGMENT_LEN]), Err(StoreError::Full)));
    drop(obstacle);
    hand.advance(Duration::from_secs(1));
    assert!(fill(&store, 0, SEGMENT_LEN, Ttl::Never) >= written);
}

#[test]
fn an_unfinished_file_that_cannot_be_deleted_counts_until_it_is_gone() {
    let (dir, store, hand) = full(Durability::Os);
    store.set("key", "value").unwrap();
    let used = store.stats().file_bytes;
    // A directory has the temporary name of the next segment, which can therefore be neither created nor deleted.
    let names = (0..8).map(|id| dir.path().join(format!("seg-{id:08x}.shd.tmp")));
    let names: Vec<_> = names.collect();
    names.iter().for_each(|name| fs::create_dir(name).unwrap());
    assert!(matches!(store.prepare(Duration::ZERO), Err(StoreError::Io { .. })));
    let stats = store.stats();
    assert_eq!((stats.pending_deletions, stats.file_bytes), (1, used + SEGMENT_LEN as u64), "{stats:?}");
    names.iter().for_each(|name| fs::remove_dir(name).unwrap());
    maintain_despite_failures(&store, &hand);
    let stats = store.stats();
    assert_eq!(stats.pending_deletions, 0, "{stats:?}");
    assert_eq!(stats.file_bytes, Image::take(dir.path()).segment_bytes());
}

#[test]
fn a_free_file_that_cannot_be_deleted_when_the_store_is_opened_is_deleted_later() {
    use sharedance_core::store::BootId;
    let (dir, (_, hand)) = (scratch::directory(), Clock::manual());
    let open = |boot| {
        let options = Options::new().background(Background::Manual).segment_len(SEGMENT_LEN).clock(hand.clock());
        options.boot_id(Some(BootId::from_bytes([boot; 16]))).open(dir.path())
    };
    open(1).unwrap().prepare(Duration::ZERO).unwrap();
    let [free] = &segment_files(dir.path())[..] else { panic!("one is ready") };
    // The file can be read and not be unlinked, because it is a mount point. Without the permission to mount, the test
    // is skipped.
    let mount = |arguments: &[&Path]| {
        std::process::Command::new("mount").args(arguments).status().is_ok_and(|status| status.success())
    };
    if !mount(&[Path::new("--bind"), free, free]) {
        eprintln!("skipped: nothing can be mounted here");
        return;
    }
    let store = open(2);
    let unmounted = std::process::Command::new("umount").arg(free).status().unwrap();
    assert!(unmounted.success());
    let store = store.unwrap();
    let stats = store.stats();
    assert_eq!((stats.pending_deletions, stats.file_bytes), (1, SEGMENT_LEN as u64));
    maintain_despite_failures(&store, &hand);
    assert_eq!((store.stats().pending_deletions, store.stats().file_bytes), (0, 0));
    assert!(segment_files(dir.path()).is_empty());
}
