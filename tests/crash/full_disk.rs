//! A disk with no room left: a small file system in memory, where the machine lets the test mount one.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{Store, StoreError, Ttl};
use tempfile::TempDir;

use crate::open;
use crate::scratch::{self, Image, stamped, version_of};

/// Room for the megabyte that the store leaves free, and some segments more.
const SIZE: &str = "size=2m,mode=0700";

struct SmallDisk {
    dir: TempDir,
    hand: ManualClock,
}

impl SmallDisk {
    /// None where mounting is not allowed.
    fn mount() -> Option<SmallDisk> {
        let dir = scratch::directory();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "sharedance-test"]).arg(dir.path()).stderr(Stdio::null());
        if !mount.status().is_ok_and(|status| status.success()) {
            eprintln!("skipped: a file system cannot be mounted here");
            return None;
        }
        let (_, hand) = Clock::manual();
        Some(SmallDisk { dir, hand })
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("store")
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

    /// Writes keys from `first` on until there is no room; answers how many it took.
    fn fill(&self, store: &Store, first: u32, len: usize, ttl: Ttl) -> u32 {
        for key in first.. {
            match store.set_with_ttl(&key.to_be_bytes(), &value(key, len), ttl) {
                Ok(()) => assert!(key - first < 10_000, "the disk is not as small as all that"),
                Err(StoreError::Full) => return key - first,
                Err(error) => panic!("{error}"),
            }
        }
        unreachable!("there are more keys than room")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}

fn value(key: u32, len: usize) -> Vec<u8> {
    stamped(&key.to_be_bytes(), u64::from(key), len)
}

fn is_there(store: &Store, key: u32) -> bool {
    let found = store.get(&key.to_be_bytes());
    found.is_some_and(|value| version_of(&key.to_be_bytes(), &value) == Some(u64::from(key)))
}

#[test]
fn invariant_08_a_full_disk_refuses_writes_and_nothing_else() {
    for len in [500, 30_000] {
        let Some(disk) = SmallDisk::mount() else { return };
        let mut store = disk.open();
        let written = disk.fill(&store, 0, len, Ttl::Default);
        assert!(written >= 10, "{written}");
        for _ in 0..20 {
            disk.hand.advance(Duration::from_secs(1));
            let refused = store.set(b"another", &value(0, len)).unwrap_err();
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
            assert!((0..written).all(|key| is_there(&store, key)), "what was acknowledged is there");
            assert!((0..written).all(|key| store.touch(&key.to_be_bytes(), Ttl::Default).unwrap()));
            assert!(matches!(store.set(&0u32.to_be_bytes(), &value(1, len)), Err(StoreError::Full)));
            assert!(is_there(&store, 0), "a refused write leaves the old value");
        }

        let deleted = written / 2;
        assert!((0..deleted).all(|key| store.delete(&key.to_be_bytes()).unwrap()));
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
fn invariant_08_a_writer_that_finds_no_room_takes_that_of_the_expired() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = disk.open();
    let ttl = Duration::from_secs(100);
    let written = disk.fill(&store, 0, 500, Ttl::After(ttl));
    disk.hand.advance(ttl - Duration::from_secs(1));
    let touched = written - 1;
    assert!(store.touch(&touched.to_be_bytes(), Ttl::After(2 * ttl)).unwrap());
    disk.hand.advance(Duration::from_secs(30));
    // A walk is under way, in a segment that has room for nothing.
    store.maintain(3).unwrap();
    assert_eq!(disk.fill(&store, 1_000_000, 500, Ttl::Never).cmp(&100), std::cmp::Ordering::Greater);
    assert!(is_there(&store, touched), "expiry takes what has expired");
    while store.maintain(100).unwrap().pending {}
    let expected = 1 + store.stats().pairs - 1;
    assert_eq!(store.len() as u64, expected);
    assert!((0..touched).all(|key| !is_there(&store, key)));
    assert_eq!(store.stats().expired, u64::from(touched), "no expired pair was forgotten");
}
