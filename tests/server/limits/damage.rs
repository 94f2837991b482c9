//! Flipped bits in the files of a server that is not running.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::hostile::Random;
use crate::report::Report;
use crate::server::Server;
use crate::{Subject, peer};

const PAIRS: usize = 4_000;
const FLIPS: usize = 200;

/// Slots are at the end of a segment, one per record.
const SLOT_LEN: u64 = 32;

/// Every so many pairs one is deleted or replaced before the files are damaged.
const DELETED_EACH: usize = 10;
const REPLACED_EACH: usize = 4;

pub(crate) fn anywhere(report: &mut Report) {
    let place = |file: &SegmentFile, random: &mut Random| {
        // The used parts: records at the front, slots at the end.
        let slots_len = file.slots() * SLOT_LEN;
        let records_len = file.used_len() - slots_len;
        let at = random.below((records_len + slots_len) as usize) as u64;
        if at < records_len { at } else { file.len - slots_len + (at - records_len) }
    };
    let outcome = damage(place, false);
    note(report, "200 flipped bits in the files", &outcome);
    let outcome = damage(place, true);
    note(report, "    in files that were copied elsewhere", &outcome);
}

pub(crate) fn in_slots(report: &mut Report) {
    let place = |file: &SegmentFile, random: &mut Random| {
        file.len - 1 - random.below((file.slots() * SLOT_LEN) as usize) as u64
    };
    let outcome = damage(place, false);
    note(report, "200 flipped bits in the slots alone", &outcome);
    let outcome = damage(place, true);
    note(report, "    in files that were copied elsewhere", &outcome);
}

fn note(report: &mut Report, what: &str, outcome: &Outcome) {
    let Outcome { wrong, returned, lost } = outcome;
    let measured = format!("starts, {wrong} wrong, {returned} deleted pairs returned, {lost} lost");
    report.note(what, measured, "starts, 0 wrong, about 200 lost", wrong + returned == 0 && *lost <= FLIPS);
    assert_eq!((*wrong, *returned), (0, 0), "{what}: wrong values, deleted pairs");
    assert!(*lost <= FLIPS + FLIPS / 4, "{what}: {lost} pairs are lost");
}

struct Outcome {
    wrong: usize,
    returned: usize,
    lost: usize,
}

/// Fills a store, flips bits in its segments at the places that `place` chooses, and counts the results.
fn damage(place: impl Fn(&SegmentFile, &mut Random) -> u64, copied: bool) -> Outcome {
    let subject = Subject::start(&[]);
    fill(&subject);
    let mut directory = subject.end();
    if copied {
        let copy = tempfile::tempdir().unwrap();
        for file in fs::read_dir(directory.path()).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        directory = copy;
    }
    flip(directory.path(), place);

    let server = Server::start(directory.path(), &[]);
    let subject = Subject { server, directory };
    let outcome = audit(&subject);
    // A pair that was found damaged stays missing.
    let server = Server::start(subject.end().path(), &[]);
    drop(server);
    outcome
}

fn key(number: usize) -> Vec<u8> {
    format!("sess-{number:027}").into_bytes()
}

/// Returns a value that is valid for one key and one version only.
fn value(number: usize, version: usize) -> Vec<u8> {
    let mut random = Random::new((number * 2 + version) as u64);
    (0..1024).map(|_| random.below(256) as u8).collect()
}

fn is_deleted(number: usize) -> bool {
    number.is_multiple_of(DELETED_EACH)
}

fn version(number: usize) -> usize {
    usize::from(number.is_multiple_of(REPLACED_EACH))
}

fn fill(subject: &Subject) {
    let address = subject.address();
    for number in 0..PAIRS {
        peer::store(address, &key(number), &value(number, 0));
    }
    for number in 0..PAIRS {
        if version(number) == 1 {
            peer::store(address, &key(number), &value(number, 1));
        }
        if is_deleted(number) {
            assert!(peer::delete(address, &key(number)));
        }
    }
}

fn audit(subject: &Subject) -> Outcome {
    let mut outcome = Outcome { wrong: 0, returned: 0, lost: 0 };
    for number in 0..PAIRS {
        let found = peer::fetch(subject.address(), &key(number));
        match (found.is_empty(), is_deleted(number)) {
            (true, true) => {}
            (true, false) => outcome.lost += 1,
            (false, true) => outcome.returned += 1,
            (false, false) => outcome.wrong += usize::from(found != value(number, version(number))),
        }
    }
    outcome
}

fn flip(directory: &Path, place: impl Fn(&SegmentFile, &mut Random) -> u64) {
    let files: Vec<SegmentFile> = SegmentFile::with_records(directory);
    assert!(!files.is_empty(), "no segment");
    let mut random = Random::new(0xb175);
    let mut flipped = HashSet::new();
    while flipped.len() < FLIPS {
        let file = random.below(files.len());
        let at = place(&files[file], &mut random);
        if flipped.insert((file, at)) {
            files[file].flip(at, random.below(8));
        }
    }
}

/// A segment as FORMAT.md describes it, as far as needed to find the used parts.
struct SegmentFile {
    path: PathBuf,
    len: u64,
    /// Number of reserved slots, and the offset of the next record.
    reserved: (u64, u64),
}

impl SegmentFile {
    fn with_records(directory: &Path) -> Vec<SegmentFile> {
        let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
        let segments = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("seg-"));
        segments.map(SegmentFile::look_at).filter(|file| file.slots() > 0).collect()
    }

    fn look_at(path: PathBuf) -> SegmentFile {
        let file = File::open(&path).unwrap();
        let mut word = [0; 8];
        file.read_exact_at(&mut word, RESERVATION_OFFSET).unwrap();
        let word = u64::from_le_bytes(word);
        SegmentFile { len: file.metadata().unwrap().len(), reserved: (word >> 32, word & 0xffff_ffff), path }
    }

    fn slots(&self) -> u64 {
        self.reserved.0
    }

    fn used_len(&self) -> u64 {
        self.reserved.1 + self.slots() * SLOT_LEN
    }

    fn flip(&self, at: u64, bit: usize) {
        let file = OpenOptions::new().read(true).write(true).open(&self.path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
    }
}

/// Offset of the field with the used length.
const RESERVATION_OFFSET: u64 = 72;
