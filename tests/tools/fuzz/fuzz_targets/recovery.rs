//! Opens a directory with arbitrary content: arbitrary files, or files of a real store with changes.
//!
//! The first byte of the input selects the initial files and the final step:
//!
//! | bit | if it is set |
//! | --- | --- |
//! | 0 | start with the files of a real store; otherwise with its metadata and files of zeros |
//! | 1 | correct the checksums after all changes, which no failing disk does |
//! | 2 | open the store on another boot, so that every record is verified |
//!
//! Changes of eight bytes follow: a file, a kind of change, a place (two bytes), four bytes of content. Opening may
//! refuse the directory, but neither panic nor hang. Opening twice gives the same pairs, every served value is
//! verified, and the opened store works. `./run` limits time and memory.

#![no_main]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sharedance_core::clock::Clock;
use sharedance_core::store::{Background, BootId, OpenError, Options, Store, Ttl};
use sharedance_test_support::layout::{self, RECORDS, SLOT_LEN, Segment, put_u64};
use sharedance_test_support::scratch::{self, Image, SEGMENT_LEN, stamped, version_of};
use tempfile::TempDir;

const META: &str = "store.meta";
/// Offsets in `store.meta`: a clock slot's identity of the file, and the bytes that its checksum covers.
const CLOCKS: [usize; 2] = [1024, 2048];
const DESCRIPTIONS: [usize; 2] = [0, 512];
const KEYS: u32 = 150;
const CHANGE_LEN: usize = 8;
/// No input needs more changes to reach new code.
const MAX_CHANGES: usize = 64;

fuzz_target!(|input: &[u8]| {
    static SEED: OnceLock<(TempDir, Image)> = OnceLock::new();
    let Some((mode, changes)) = input.split_first() else {
        return;
    };
    let (is_real, is_sealed, is_rebooted) = (mode & 1 != 0, mode & 2 != 0, mode & 4 != 0);
    let (dir, seed) = SEED.get_or_init(seed);
    let mut files = if is_real { seed.files.clone() } else { blank(seed) };
    name_file(dir.path(), &mut files);
    for change in changes.chunks_exact(CHANGE_LEN).take(MAX_CHANGES) {
        apply(&mut files, change);
    }
    if is_sealed {
        files.iter_mut().for_each(|(name, bytes)| seal(name, bytes));
    }
    Image { files }.restore(dir.path());
    check(dir.path(), if is_rebooted { 2 } else { 1 }, is_real && !is_sealed);
});

fn options(boot: u8) -> Options {
    Options::new().background(Background::Manual).segment_len(SEGMENT_LEN).clock(Clock::manual().0).boot_id(Some(BootId::from_bytes([boot; 16])))
}

fn key(i: u32) -> [u8; 4] {
    i.to_be_bytes()
}

/// Returns the files of a store with live, dead, big and expiring pairs, and with sealed and free segments.
fn seed() -> (TempDir, Image) {
    let dir = scratch::directory();
    let store = options(1).open(dir.path()).expect("an empty directory can be opened");
    for i in 0..KEYS {
        let ttl = if i % 7 == 0 { Ttl::After(Duration::from_secs(u64::from(i) + 1)) } else { Ttl::Never };
        let len = if i % 40 == 9 { 20_000 } else { 16 + i as usize * 3 };
        store.set_with_ttl(&key(i), &stamped(&key(i), 1, len), ttl).expect("there is space");
        if i % 5 == 0 {
            store.set_with_ttl(&key(i), &stamped(&key(i), 2, 300), ttl).expect("there is space");
        }
        if i % 11 == 0 {
            store.delete(&key(i)).expect("it can be deleted");
        }
    }
    store.prepare(Duration::ZERO).expect("there is space");
    drop(store);
    let image = Image::take(dir.path());
    (dir, image)
}

/// Only the metadata is real: without it recovery reads no file.
fn blank(seed: &Image) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<_, _> = (0..3).map(|id| (format!("seg-{id:08x}.shd"), vec![0; SEGMENT_LEN])).collect();
    files.insert("big-00000003.shd".to_owned(), vec![0; 2 * RECORDS]);
    files.insert("notes.txt".to_owned(), vec![0; 64]);
    files.insert(META.to_owned(), seed.files[META].clone());
    files
}

/// Writes the identity of the file into `store.meta`, which would otherwise be taken for a copy.
fn name_file(dir: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    let path = dir.join(META);
    if !path.exists() {
        File::create(&path).expect("the directory is writable");
    }
    let metadata = fs::metadata(&path).expect("it is there");
    let Some(meta) = files.get_mut(META) else { return };
    for clock in CLOCKS {
        put_u64(meta, clock + 56, metadata.dev());
        put_u64(meta, clock + 64, metadata.ino());
    }
    seal(META, meta);
}

fn apply(files: &mut BTreeMap<String, Vec<u8>>, change: &[u8]) {
    let names: Vec<_> = files.keys().cloned().collect();
    let Some(name) = names.get(usize::from(change[0]) % names.len().max(1)) else { return };
    let other = names[usize::from(change[4]) % names.len()].clone();
    let place = usize::from(u16::from_le_bytes([change[2], change[3]]));
    let content: [u8; 4] = [change[4], change[5], change[6], change[7]];
    let bytes = files.get_mut(name).expect("it was listed");
    let len = bytes.len();
    match change[1] % 12 {
        // Anywhere, in the header, or in the slots at the end.
        0 | 1 => overwrite(bytes, place, &content),
        2 => overwrite(bytes, place % 80, &content),
        3 | 4 => overwrite(bytes, len.saturating_sub(place % 4096 + 4), &content),
        5 => {
            if let Some(byte) = bytes.get_mut(place % len.max(1)) {
                *byte ^= 1 << (content[0] % 8);
            }
        }
        6 if len >= RECORDS + SLOT_LEN => {
            let slot = |i: u8| len.saturating_sub(SLOT_LEN * (usize::from(i) + 1)).max(RECORDS);
            bytes.copy_within(slot(content[0])..slot(content[0]) + SLOT_LEN, slot(content[1]));
        }
        7 if len >= RECORDS => Segment(bytes).set_state([layout::FREE, layout::ACTIVE, layout::SEALED][place % 3]),
        8 if len >= RECORDS => Segment(bytes).set_reserved(place as u32, u32::from_le_bytes(content)),
        9 => bytes.resize(place * 4, 0),
        10 => drop(files.remove(name)),
        11 => {
            let doubled = bytes.clone();
            files.insert(other, doubled);
        }
        _ => {}
    }
}

fn overwrite(bytes: &mut [u8], at: usize, content: &[u8]) {
    if let Some(target) = bytes.get_mut(at..at + content.len()) {
        target.copy_from_slice(content);
    }
}

/// Corrects every checksum, whatever it covers.
fn seal(name: &str, bytes: &mut [u8]) {
    let put_crc = |bytes: &mut [u8], start: usize, len: usize| {
        let crc = crc32c::crc32c(&bytes[start..start + len]);
        bytes[start + len..start + len + 4].copy_from_slice(&crc.to_le_bytes());
    };
    if name == META {
        if bytes.len() >= 4096 {
            DESCRIPTIONS.iter().for_each(|at| put_crc(bytes, *at, 40));
            CLOCKS.iter().for_each(|at| put_crc(bytes, *at, 72));
        }
        return;
    }
    if bytes.len() < RECORDS + SLOT_LEN {
        return;
    }
    let mut segment = Segment(bytes);
    segment.seal_header();
    let max_slots = (segment.0.len() - RECORDS) / SLOT_LEN;
    for slot in 0..segment.reserved().1.min(max_slots as u32) {
        let record = segment.record(slot);
        if record.start <= record.end && record.end <= segment.0.len() {
            segment.seal_slot(slot);
        }
    }
}

fn check(dir: &Path, boot: u8, is_whole: bool) {
    let store = match options(boot).open(dir) {
        Ok(store) => store,
        Err(OpenError::Damaged { .. } | OpenError::FormatVersion { .. } | OpenError::SegmentLen { .. }) => return,
        Err(error) => panic!("{error}: {error:?}"),
    };
    assert_eq!(store.recovery().pairs, store.len() as u64);
    let found = served(&store, is_whole);
    let pairs = store.len();
    drop(store);
    let store = options(boot).open(dir).expect("an opened directory can be opened again");
    let report = store.recovery();
    assert_eq!((report.pairs, report.dropped, report.superseded), (pairs as u64, 0, 0), "{report:?}");
    assert!(report.set_aside.is_empty());
    assert!(served(&store, is_whole) == found);
    works(&store);
}

/// Returns the pairs that are served of the initial keys.
fn served(store: &Store, is_whole: bool) -> Vec<Option<Vec<u8>>> {
    let read = |i| {
        let value = store.get(&key(i))?;
        let version = version_of(&key(i), &value);
        assert!(!is_whole || matches!(version, Some(1 | 2)), "a value that was never written for its key");
        Some(value.to_vec())
    };
    (0..KEYS).map(read).collect()
}

fn works(store: &Store) {
    for i in 0..20u32 {
        store.set(&i.to_le_bytes(), &[i as u8; 700]).expect("there is space");
    }
    assert!((0..20u32).all(|i| store.get(&i.to_le_bytes()).is_some_and(|value| value == [i as u8; 700])));
    store.maintain(500).expect("files can be deleted");
    store.clear().expect("pairs can be deleted");
    store.maintain(500).expect("files can be deleted");
    let stats = store.stats();
    assert_eq!((stats.pairs, stats.live_bytes), (0, 0), "{stats:?}");
}
