//! A process killed between two stores: each possible state, built by changing bytes.

use std::path::Path;
use std::time::Duration;

use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::Store;
use tempfile::TempDir;

use crate::layout::{ACTIVE, DEAD, FREE, FRESH_RESERVATION, GONE, LIVE, RESERVATION, SEALED, Segment, put_u64};
use crate::open;
use crate::scratch::{self, Image, SEGMENT_LEN, stamped, version_of};

/// The boot on which the images are taken, and another one.
const BOOTS: [u8; 2] = [1, 2];

struct Scene {
    dir: TempDir,
    hand: ManualClock,
    store: Option<Store>,
}

impl Scene {
    fn new() -> Scene {
        let dir = scratch::directory();
        let (_, hand) = Clock::manual();
        let store = Some(open(dir.path(), 1, &hand));
        Scene { dir, hand, store }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn set(&self, key: &str, version: u64) {
        self.set_len(key, version, 900);
    }

    fn set_len(&self, key: &str, version: u64, len: usize) {
        self.store().set(key.as_bytes(), stamped(key.as_bytes(), version, len)).unwrap();
    }

    fn version(&self, key: &str) -> Option<u64> {
        let value = self.store().get(key.as_bytes())?;
        Some(version_of(key.as_bytes(), &value).expect("a value that was never written"))
    }

    fn image(&self) -> Image {
        Image::take(self.dir.path())
    }

    /// Opens the image on a boot. `store.meta` remains the same file, so that recovery trusts the slots on the same
    /// boot.
    fn reopen(&mut self, image: &Image, boot: u8) {
        self.store = None;
        image.restore(self.dir.path());
        self.store = Some(open(self.dir.path(), boot, &self.hand));
    }

    fn assert_clean(&self, pairs: usize) {
        let report = self.store().recovery();
        assert_eq!((report.pairs, report.dropped, report.superseded), (pairs as u64, 0, 0), "{report:?}");
        assert!(report.set_aside.is_empty());
    }

    /// Checks that new pairs can be written and survive a restart, and that deleting everything frees all space.
    fn assert_usable(&mut self, kept: &[String]) {
        let new: Vec<_> = (0..200).map(|i| format!("new-{i}")).collect();
        new.iter().for_each(|key| self.set(key, 7));
        let boot = if self.store().recovery().same_boot { 1 } else { 2 };
        self.store = None;
        self.store = Some(open(self.dir.path(), boot, &self.hand));
        self.assert_clean(new.len() + kept.len());
        assert!(new.iter().all(|key| self.version(key) == Some(7)));
        assert!(kept.iter().all(|key| self.version(key) == Some(1)));
        self.store().clear().unwrap();
        for _ in 0..3 {
            self.store().maintain(10_000).unwrap();
            self.hand.advance(Duration::from_secs(1));
        }
        let stats = self.store().stats();
        assert_eq!((stats.pairs, stats.live_bytes, stats.segments), (0, 0, 0), "{stats:?}");
        assert!(stats.file_bytes <= 3 * SEGMENT_LEN as u64, "{stats:?}");
    }
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}-{i}")).collect()
}

/// Returns the file and the slot of the record of `key` for which `wanted` returns true.
fn find(image: &mut Image, key: &str, wanted: impl Fn(&Segment, u32) -> bool) -> (String, u32) {
    for name in image.segments() {
        let segment = Segment(image.files.get_mut(&name).unwrap());
        let slots = if name.starts_with("big") { 1 } else { segment.reserved().1 };
        for slot in 0..slots {
            if segment.word(slot) != 0 && segment.key(slot) == key.as_bytes() && wanted(&segment, slot) {
                return (name, slot);
            }
        }
    }
    panic!("no record of {key}");
}

fn segment<'a>(image: &'a mut Image, name: &str) -> Segment<'a> {
    Segment(image.files.get_mut(name).unwrap())
}

/// A sealed segment full of dead records, and the live pairs of the other segments.
fn scene_with_a_spent_segment() -> (Scene, Image, String, Vec<String>) {
    let scene = Scene::new();
    let dying = names("dying", 80);
    dying.iter().for_each(|key| scene.set(key, 1));
    let kept = names("kept", 40);
    kept.iter().for_each(|key| scene.set(key, 1));
    dying.iter().for_each(|key| assert!(scene.store().delete(key.as_bytes()).unwrap()));
    let mut image = scene.image();
    let (spent, _) = find(&mut image, "dying-0", |_, _| true);
    let file = segment(&mut image, &spent);
    assert_eq!((file.state(), file.live()), (SEALED, vec![]));
    (scene, image, spent, kept)
}

#[test]
fn the_independent_implementation_of_the_format_agrees() {
    let scene = Scene::new();
    names("key", 100).iter().for_each(|key| scene.set(key, 1));
    scene.set_len("big", 1, 40_000);
    scene.store().delete(b"key-3").unwrap();
    let mut image = scene.image();
    let mut records = 0;
    for name in image.segments() {
        let segment = segment(&mut image, &name);
        if segment.state() == FREE {
            continue;
        }
        for slot in 0..segment.reserved().1 {
            assert_eq!(segment.crc(slot), segment.expected_crc(slot), "{name} {slot}");
            assert_eq!(segment.word(slot), crate::layout::checked(segment.word(slot)));
            records += 1;
        }
    }
    assert_eq!(records, 101);
}

#[test]
fn invariant_12_an_uncommitted_reservation_is_invisible() {
    let kept = names("kept", 30);
    for boot in BOOTS {
        for words_stored in 0..=3 {
            let mut scene = Scene::new();
            kept.iter().for_each(|key| scene.set(key, 1));
            let mut image = scene.image();
            let (name, last) = find(&mut image, "kept-29", |_, _| true);
            let mut open = segment(&mut image, &name);
            assert_eq!(open.state(), ACTIVE);
            let (write_offset, slots) = open.reserved();
            open.set_reserved(write_offset + 512, slots + 1);
            open.0[write_offset as usize..][..500].fill(0xee);
            let stored = open.slot(last)[..words_stored * 8].to_vec();
            let at = open.slot_at(slots);
            open.0[at..at + stored.len()].copy_from_slice(&stored);
            scene.reopen(&image, boot);
            scene.assert_clean(kept.len());
            assert!(kept.iter().all(|key| scene.version(key) == Some(1)));
            scene.assert_usable(&kept);
        }
    }
}

#[test]
fn a_kill_between_any_two_stores_of_recycling_loses_nothing() {
    const STEPS: usize = 8;
    for boot in BOOTS {
        for last_step in 0..STEPS {
            let (mut scene, mut image, spent, kept) = scene_with_a_spent_segment();
            let mut file = segment(&mut image, &spent);
            let (_, slots) = file.reserved();
            let (new_base, middle, end) = (file.base() + 100, file.slot_at(slots / 2), file.0.len());
            let first = file.slot_at(slots - 1);
            for step in 0..=last_step {
                match step {
                    0 => {}
                    1 => file.set_state(FREE),
                    2 => file.0[first..middle].fill(0),
                    3 => file.0[middle..end].fill(0),
                    4 => put_u64(file.0, RESERVATION, FRESH_RESERVATION),
                    5 => put_u64(file.0, 16, new_base),
                    6 => file.set_base(new_base),
                    _ => file.set_state(ACTIVE),
                }
            }
            scene.reopen(&image, boot);
            scene.assert_clean(kept.len());
            assert!(kept.iter().all(|key| scene.version(key) == Some(1)), "step {last_step}, boot {boot}");
            scene.assert_usable(&kept);
        }
    }
}

#[test]
fn the_content_of_a_free_file_is_ignored() {
    for boot in BOOTS {
        for forgets_slots in [false, true] {
            let (mut scene, mut image, spent, kept) = scene_with_a_spent_segment();
            let mut file = segment(&mut image, &spent);
            for slot in 0..file.reserved().1 {
                file.set_record_state(slot, LIVE);
            }
            file.set_state(FREE);
            if forgets_slots {
                put_u64(file.0, RESERVATION, FRESH_RESERVATION);
            }
            scene.reopen(&image, boot);
            scene.assert_clean(kept.len());
            scene.set("one", 1);
            let image = scene.image();
            scene.reopen(&image, boot);
            assert_eq!(scene.store().recovery().pairs, kept.len() as u64 + 1);
            assert!((0..80).all(|i| scene.version(&format!("dying-{i}")).is_none()));
        }
    }
}

#[test]
fn invariant_14_a_slot_of_an_earlier_incarnation_is_ignored() {
    for boot in BOOTS {
        for is_claimed in [true, false] {
            let mut scene = Scene::new();
            names("early", 40).iter().for_each(|key| scene.set(key, 1));
            let mut early = scene.image();
            let (name, slot) = find(&mut early, "early-39", |_, _| true);
            scene.store().clear().unwrap();
            scene.store().maintain(1_000).unwrap();
            let late_keys = names("late", 10);
            late_keys.iter().for_each(|key| scene.set(key, 1));
            let mut late = scene.image();
            let early_file = segment(&mut early, &name);
            let mut file = segment(&mut late, &name);
            assert!(file.base() > early_file.base() && file.state() == ACTIVE, "the file was reused");
            assert_eq!(early_file.crc(slot), early_file.expected_crc(slot));
            let (record, (write_offset, slots)) = (early_file.record(slot), file.reserved());
            assert!(record.start >= write_offset as usize);
            file.0[record.clone()].copy_from_slice(&early_file.0[record.clone()]);
            file.put_slot(slots, &early_file.slot(slot));
            if is_claimed {
                file.set_reserved(record.end.next_multiple_of(16) as u32, slots + 1);
            }
            scene.reopen(&late, boot);
            assert_eq!(scene.version("early-39"), None, "boot {boot}, claimed {is_claimed}");
            assert!(late_keys.iter().all(|key| scene.version(key) == Some(1)));
            assert_eq!(scene.store().len(), late_keys.len());
            scene.assert_usable(&late_keys);
        }
    }
}

#[test]
fn of_two_live_records_of_a_key_the_later_one_stays() {
    for boot in BOOTS {
        for len in [900, 40_000] {
            let mut scene = Scene::new();
            scene.set_len("twice", 1, len);
            names("kept", 80).iter().for_each(|key| scene.set(key, 1));
            scene.set("twice", 2);
            let mut image = scene.image();
            let (name, slot) = find(&mut image, "twice", |segment, slot| !segment.is_live(slot));
            segment(&mut image, &name).set_record_state(slot, LIVE);
            for (time, superseded) in [(1, 1), (2, 0)] {
                scene.reopen(&image, boot);
                let report = scene.store().recovery();
                assert_eq!((report.pairs, report.superseded, report.dropped), (81, superseded, 0), "opening {time}");
                assert_eq!(report.same_boot, boot == 1 || time == 2);
                assert_eq!(scene.version("twice"), Some(2));
                image = scene.image();
            }
        }
    }
}

/// The disk knows that a pair was deleted, and does not know that an earlier value was overwritten.
#[test]
fn invariant_06_an_overwritten_value_does_not_return_after_its_successor_was_deleted() {
    for has_expired in [false, true] {
        let mut scene = Scene::new();
        scene.set("twice", 1);
        names("kept", 80).iter().for_each(|key| scene.set(key, 1));
        scene.set("twice", 2);
        match has_expired {
            false => assert!(scene.store().delete(b"twice").unwrap()),
            true => assert!(scene.store().touch(b"twice", Duration::from_secs(1)).unwrap()),
        }
        scene.hand.advance(Duration::from_secs(10));
        while scene.store().maintain(1_000).unwrap().pending {}
        let mut image = scene.image();
        let (newer, newer_slot) = find(&mut image, "twice", |segment, slot| segment.word(slot) & 3 == GONE);
        let (older, older_slot) = find(&mut image, "twice", |segment, slot| segment.word(slot) & 3 == DEAD);
        assert_ne!((&newer, newer_slot), (&older, older_slot));
        segment(&mut image, &older).set_record_state(older_slot, LIVE);
        for _ in 0..2 {
            scene.reopen(&image, 2);
            assert_eq!((scene.store().len(), scene.version("twice")), (80, None));
            image = scene.image();
        }
    }
}

/// Compaction commits a copy with the same sequence, and keeps the source live until the copy is safe on the disk.
#[test]
fn of_a_record_and_its_copy_one_stays() {
    for boot in BOOTS {
        for dead_source in [false, true] {
            let mut scene = Scene::new();
            scene.set("moved", 1);
            let kept = names("kept", 80);
            kept.iter().for_each(|key| scene.set(key, 1));
            let mut image = scene.image();
            let (source_name, source) = find(&mut image, "moved", |_, _| true);
            let (name, _) = find(&mut image, "kept-79", |_, _| true);
            assert_ne!(source_name, name);
            copy_forward(&mut image, &source_name, source, &name);
            if dead_source {
                segment(&mut image, &source_name).set_record_state(source, DEAD);
            }
            scene.reopen(&image, boot);
            let report = scene.store().recovery();
            assert_eq!((report.superseded, report.dropped), (0, 0), "they are one record");
            assert_eq!((report.pairs, scene.version("moved")), (81, Some(1)));
            let all: Vec<_> = kept.iter().cloned().chain(["moved".to_owned()]).collect();
            scene.assert_usable(&all);
        }
    }
}

fn copy_forward(image: &mut Image, from: &str, slot: u32, to: &str) {
    let source = segment(image, from);
    let (mut copy, payload) = (source.slot(slot), source.0[source.record(slot)].to_vec());
    let sequence = source.base() + u64::from(u32::from_le_bytes(copy[8..12].try_into().unwrap()));
    let mut target = segment(image, to);
    let (write_offset, slots) = target.reserved();
    let delta = sequence.wrapping_sub(target.base()) as i64;
    assert!(delta < 0);
    copy[8..12].copy_from_slice(&(delta as i32).to_le_bytes());
    copy[12..16].copy_from_slice(&write_offset.to_le_bytes());
    target.0[write_offset as usize..][..payload.len()].copy_from_slice(&payload);
    target.set_reserved(write_offset + payload.len().next_multiple_of(16) as u32, slots + 1);
    target.put_slot(slots, &copy);
    target.seal_slot(slots);
}

/// A new big file is renamed before its header is written, and committed afterwards.
#[test]
fn invariant_12_an_uncommitted_big_value_is_invisible() {
    for boot in BOOTS {
        for has_header in [false, true] {
            let mut scene = Scene::new();
            scene.set("kept", 1);
            scene.set_len("big", 1, 40_000);
            let mut image = scene.image();
            let (name, _) = find(&mut image, "big", |_, _| true);
            let file = segment(&mut image, &name);
            let at = file.slot_at(0);
            file.0[at..].fill(0);
            if !has_header {
                file.0[..RESERVATION + 8].fill(0);
            }
            scene.reopen(&image, boot);
            scene.assert_clean(1);
            assert_eq!((scene.version("big"), scene.version("kept")), (None, Some(1)));
            scene.store().maintain(10).unwrap();
            assert!(!Path::new(&scene.dir.path().join(&name)).exists(), "its space is freed");
        }
    }
}
