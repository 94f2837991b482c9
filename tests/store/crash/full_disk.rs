//! A full disk: a small file system in memory or on ext4, if the machine allows the test to mount one.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{Store, StoreError, Ttl};
use tempfile::TempDir;

use crate::open;
use crate::scratch::{self, Chance, Image, stamped, version_of};

/// The space that the store leaves free (a megabyte), and some segments.
const TMPFS: &str = "size=2m,mode=0700";
/// The same, and what ext4 needs for itself.
const EXT4_LEN: u64 = 3 * 1024 * 1024;

struct SmallDisk {
    hand: ManualClock,
    mounted: PathBuf,
    _dir: TempDir,
}

/// Returns the file systems that can be mounted here.
fn disks() -> impl Iterator<Item = SmallDisk> {
    [SmallDisk::in_memory(), SmallDisk::ext4()].into_iter().enumerate().filter_map(|(i, disk)| {
        if disk.is_none() {
            eprintln!("skipped on {}: it cannot be mounted here", ["tmpfs", "ext4"][i]);
        }
        disk
    })
}

impl SmallDisk {
    fn in_memory() -> Option<SmallDisk> {
        SmallDisk::mount(scratch::directory(), &["-t", "tmpfs", "-o", TMPFS, "sharedance-test"])
    }

    fn ext4() -> Option<SmallDisk> {
        let dir = scratch::directory();
        let image = dir.path().join("image");
        File::create(&image).unwrap().set_len(EXT4_LEN).unwrap();
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-F", "-m", "0", "-O", "^has_journal"]).arg(&image);
        make.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").stderr(Stdio::null());
        let is_made = make.status().is_ok_and(|status| status.success());
        let image = image.into_os_string().into_string().unwrap();
        is_made.then(|| SmallDisk::mount(dir, &["-o", "loop", &image])).flatten()
    }

    /// Returns `None` if mounting is not allowed.
    fn mount(dir: TempDir, arguments: &[&str]) -> Option<SmallDisk> {
        let mounted = dir.path().join("mounted");
        std::fs::create_dir(&mounted).unwrap();
        let mut mount = Command::new("mount");
        mount.args(arguments).arg(&mounted).stderr(Stdio::null());
        let is_mounted = mount.status().is_ok_and(|status| status.success());
        let (_, hand) = Clock::manual();
        is_mounted.then_some(SmallDisk { hand, mounted, _dir: dir })
    }

    fn path(&self) -> PathBuf {
        self.mounted.join("store")
    }

    fn open(&self) -> Store {
        open(&self.path(), 1, &self.hand)
    }

    fn assert_no_stray_file(&self, store: &Store) {
        let image = Image::take(&self.path());
        let strays: Vec<_> =
            image.files.keys().filter(|name| !name.ends_with(".shd") && *name != "store.meta").collect();
        assert!(strays.is_empty(), "{strays:?}");
        assert_eq!(store.stats().file_bytes, image.segment_bytes());
    }

    /// Writes keys from `first` on until the disk is full. Returns how many fitted.
    fn fill(&self, store: &Store, first: u32, len: usize, ttl: Ttl) -> u32 {
        for key in first.. {
            match store.set_with_ttl(key.to_be_bytes(), value(key, len), ttl) {
                Ok(()) => assert!(key - first < 10_000, "the disk is larger than expected"),
                Err(StoreError::Full) => return key - first,
                Err(error) => panic!("{error}"),
            }
        }
        unreachable!("there are more keys than space")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.mounted).status();
    }
}

fn value(key: u32, len: usize) -> Vec<u8> {
    stamped(&key.to_be_bytes(), u64::from(key), len)
}

fn is_there(store: &Store, key: u32) -> bool {
    let found = store.get(key.to_be_bytes());
    found.is_some_and(|value| version_of(&key.to_be_bytes(), &value) == Some(u64::from(key)))
}

#[test]
fn invariant_08_a_full_disk_refuses_writes_and_nothing_else() {
    for (len, disk) in [500, 30_000].into_iter().flat_map(|len| disks().map(move |disk| (len, disk))) {
        let mut store = disk.open();
        let written = disk.fill(&store, 0, len, Ttl::Default);
        assert!(written >= 10, "{written}");
        for _ in 0..20 {
            disk.hand.advance(Duration::from_secs(1));
            let refused = store.set(b"another", value(0, len)).unwrap_err();
            assert!(matches!(refused, StoreError::Full), "{refused}");
            store.maintain(1_000).unwrap();
        }
        assert!(store.stats().refused_full > 20);
        assert!(store.get(b"another").is_none());
        disk.assert_no_stray_file(&store);

        for restarted in [false, true] {
            if restarted {
                drop(store);
                store = disk.open();
                assert_eq!((store.recovery().pairs, store.recovery().dropped), (u64::from(written), 0));
            }
            assert!((0..written).all(|key| is_there(&store, key)), "acknowledged writes are there");
            assert!((0..written).all(|key| store.touch(key.to_be_bytes(), Ttl::Default).unwrap()));
            assert!(matches!(store.set(0u32.to_be_bytes(), value(1, len)), Err(StoreError::Full)));
            assert!(is_there(&store, 0), "a refused write leaves the old value");
        }

        let deleted = written / 2;
        assert!((0..deleted).all(|key| store.delete(key.to_be_bytes()).unwrap()));
        for _ in 0..3 {
            disk.hand.advance(Duration::from_secs(1));
            store.maintain(1_000).unwrap();
        }
        let again = disk.fill(&store, written, len, Ttl::Default);
        assert!(again >= deleted / 2, "{again} of {deleted}");
        assert!((deleted..written + again).all(|key| is_there(&store, key)));
        disk.assert_no_stray_file(&store);
        drop(store);
        let store = disk.open();
        assert_eq!(store.recovery().pairs, u64::from(written - deleted + again));
    }
}

#[test]
fn invariant_08_a_writer_without_space_reuses_that_of_expired_pairs() {
    disks().for_each(|disk| reuse_space_of_expired_pairs(&disk));
}

fn reuse_space_of_expired_pairs(disk: &SmallDisk) {
    let store = disk.open();
    let ttl = Duration::from_secs(100);
    let written = disk.fill(&store, 0, 500, Ttl::After(ttl));
    disk.hand.advance(ttl - Duration::from_secs(1));
    let touched = written - 1;
    assert!(store.touch(touched.to_be_bytes(), Ttl::After(2 * ttl)).unwrap());
    disk.hand.advance(Duration::from_secs(30));
    // A sweep is in progress, in a segment whose space cannot be reused.
    store.maintain(3).unwrap();
    assert_eq!(disk.fill(&store, 1_000_000, 500, Ttl::Never).cmp(&100), std::cmp::Ordering::Greater);
    assert!(is_there(&store, touched), "expiry removes expired pairs only");
    while store.maintain(100).unwrap().pending {}
    let expected = 1 + store.stats().pairs - 1;
    assert_eq!(store.len() as u64, expected);
    assert!((0..touched).all(|key| !is_there(&store, key)));
    assert_eq!(store.stats().expired, u64::from(touched), "no expired pair was forgotten");
}

/// Every other pair is deleted, so that no segment is empty: a writer gains space by emptying some.
#[test]
fn invariant_08_segments_are_emptied_on_a_full_disk() {
    for disk in disks() {
        let store = disk.open();
        let written = disk.fill(&store, 0, 500, Ttl::Never);
        let is_kept = |key: &u32| key.is_multiple_of(3);
        assert!((0..written).filter(|key| !is_kept(key)).all(|key| store.delete(key.to_be_bytes()).unwrap()));
        let mut again = 0;
        for _ in 0..20 {
            // A refused writer retries; the store limits the work that it does for each attempt.
            disk.hand.advance(Duration::from_millis(200));
            again += disk.fill(&store, written + again, 500, Ttl::Never);
        }
        assert!(again > written / 2, "{again} of {written}: {:?}", store.stats());
        assert!(store.stats().compacted_bytes > 0);
        let is_complete = |store: &Store| {
            (0..written).filter(is_kept).chain(written..written + again).all(|key| is_there(store, key))
        };
        assert!(is_complete(&store));
        disk.assert_no_stray_file(&store);
        drop(store);
        let store = disk.open();
        assert!(is_complete(&store) && store.recovery().dropped == 0);
    }
}

/// Another program takes and frees space at random.
#[test]
fn invariant_08_allocations_that_fail_at_random_lose_nothing_and_service_resumes() {
    for (disk, seed) in disks().zip(1..) {
        let (mut store, mut chance, ballast) = (disk.open(), Chance(seed), disk.mounted.join("ballast"));
        let mut model = BTreeMap::new();
        let (mut refused, mut stored) = (0, 0);
        for step in 0..3_000u32 {
            match chance.below(60) {
                0 => {
                    // As much as fits.
                    let _ = std::fs::write(&ballast, vec![1; (chance.below(2_500) * 1_000) as usize]);
                }
                1 => drop(std::fs::remove_file(&ballast)),
                2 => {
                    drop(store);
                    store = disk.open();
                    assert_eq!((store.len(), store.recovery().dropped), (model.len(), 0));
                }
                3 => drop(store.prepare(Duration::ZERO)),
                4..8 => {
                    disk.hand.advance(Duration::from_millis(200));
                    store.maintain(300).unwrap();
                }
                _ => {
                    let key = chance.below(120) as u32;
                    let len = if chance.percent(4) { 30_000 } else { chance.below(3_000) as usize };
                    let name = key.to_be_bytes();
                    if chance.percent(25) {
                        assert_eq!(store.delete(name).unwrap(), model.remove(&key).is_some());
                        continue;
                    }
                    match store.set_with_ttl(name, stamped(&name, u64::from(step), len), Ttl::Never) {
                        Ok(()) => {
                            model.insert(key, step);
                            stored += 1;
                        }
                        Err(StoreError::Full) => refused += 1,
                        Err(error) => panic!("{error}: {error:?}"),
                    }
                    let found = store.get(name).map(|value| version_of(&name, &value).expect("a torn value") as u32);
                    assert_eq!(found, model.get(&key).copied(), "{key}");
                }
            }
        }
        assert!(refused > 10 && stored > 100, "{refused} refused, {stored} stored");
        let _ = std::fs::remove_file(&ballast);
        disk.hand.advance(Duration::from_secs(1));
        store.set(b"resumed", [1; 1_000]).expect("there is space again");
        disk.assert_no_stray_file(&store);
    }
}
