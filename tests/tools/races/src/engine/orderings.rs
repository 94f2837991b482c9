//! The guarantees of a segment's atomics, under every result that the memory model allows for their loads. The
//! scenarios call the store's own functions, on a model of a mapping.

use loom::sync::Mutex;
use loom::thread;

use crate::store::disk::directory::Directory;
use crate::store::disk::dirty::Unsynced;
use crate::store::disk::file_name::FileName;
use crate::store::disk::format::{
    Deadline, FLAG_CLIENT_FLAGS, Header, Kind, RECORDS_OFFSET, RecordState, SLOT_LEN, Word, footprint, slot_offset,
};
use crate::store::disk::mapping::Mapping;
use crate::store::primitives::Arc;
use crate::store::primitives::atomic::{AtomicU64, Ordering};
use crate::store::segment::blank::Blank;
use crate::store::segment::open::OpenSegment;
use crate::store::segment::payload::Payload;
use crate::store::segment::record::RecordRef;
use crate::store::segment::reservation::Reservation;
use crate::store::segment::sources::{Reason, Source};

/// Interruptions of threads that could have continued.
pub(crate) const DEFAULT_ROUNDS: usize = 2;

pub(crate) const SCENARIOS: &[(&str, fn())] = &[
    ("commit", a_record_is_complete_or_missing),
    ("incarnation", a_slot_of_an_earlier_incarnation_is_ignored),
    ("spent", a_segment_that_is_being_written_to_is_not_spent),
    ("recycling", a_pinned_segment_is_not_recycled),
    ("expiry", a_sweep_does_not_miss_a_deadline),
    ("touch", concurrent_changes_of_deadline_and_mark_both_stay),
    ("carried", a_source_dies_before_its_copy),
    ("unsynced", a_change_is_written_by_one_of_two_syncs),
];

/// Runs every order with at most this many interruptions of threads that could have continued.
pub(crate) fn explore(name: &str, scenario: fn(), interruptions: usize) {
    const MAX_STEPS: usize = 100_000;
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(interruptions);
    builder.max_branches = MAX_STEPS;
    let orders = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = orders.clone();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        scenario();
    });
    println!("{name}: {} orders", orders.load(Ordering::Relaxed));
}

const HASH: u64 = 7;
const KEY: &[u8] = b"key";
const VALUE: &[u8] = b"a value";
const LEN: usize = RECORDS_OFFSET + 2 * (16 + SLOT_LEN);

fn header(kind: Kind) -> Header {
    Header { store_id: 1, base: 1, segment_id: 0, kind, ttl_class: 0, file_len: LEN as u64 }
}

fn activate(blank: Blank, kind: Kind) -> OpenSegment {
    let dir = tempfile::tempdir().unwrap();
    OpenSegment::new(blank.activate(0, header(kind), Directory::open(dir.path()).unwrap().lock))
}

fn segment(kind: Kind) -> OpenSegment {
    assert_eq!(footprint(KEY.len() + VALUE.len()), 16 + SLOT_LEN);
    activate(Blank::new(0, Mapping::of_heap(LEN)), kind)
}

fn payload() -> Payload<'static> {
    Payload::of([KEY, VALUE])
}

fn reserve(segment: &mut OpenSegment) -> Reservation {
    segment.reserve(&payload()).unwrap()
}

fn write(mut reservation: Reservation, deadline_ms: u64) {
    reservation.fill(&payload());
    reservation.commit(HASH, 2, Word::live(KEY.len(), Deadline::at_ms(deadline_ms)));
}

fn assert_whole(record: RecordRef<'_>) {
    assert_eq!((record.key(), record.value()), (KEY, VALUE));
    assert_eq!((record.hash(), record.sequence()), (HASH, 2));
    assert!(record.is_intact());
}

fn a_record_is_complete_or_missing() {
    let mut open = segment(Kind::Hot);
    let segment = Arc::clone(&open);
    let writer = thread::spawn(move || write(reserve(&mut open), 100));
    if let Some(record) = segment.record(0) {
        assert_whole(record);
    }
    writer.join().unwrap();
    assert_whole(segment.record(0).unwrap());
}

fn a_slot_of_an_earlier_incarnation_is_ignored() {
    let mapping = Mapping::of_heap(LEN);
    let earlier = Word::live(KEY.len(), Deadline::NEVER);
    mapping.word(slot_offset(LEN, 0) + 24).store(earlier.encode(), Ordering::Relaxed);
    let mut open = activate(Blank::new(0, mapping), Kind::Hot);
    let segment = Arc::clone(&open);
    let writer = thread::spawn(move || reserve(&mut open));
    (0..segment.reserved().slots).for_each(|slot| assert_eq!(segment.raw_slot(slot).word(), Word::EMPTY));
    drop(writer.join().unwrap());
}

fn a_segment_that_is_being_written_to_is_not_spent() {
    let open = segment(Kind::Hot);
    let segment = Arc::clone(&open);
    let open = Arc::new(Mutex::new(Some(open)));
    let writer = thread::spawn({
        let open = open.clone();
        move || {
            let reservation = open.lock().unwrap().as_mut().map(reserve);
            reservation.into_iter().for_each(|reservation| write(reservation, 100));
        }
    });
    let full = open.lock().unwrap().take();
    full.into_iter().for_each(|full| drop(full.seal(1)));
    let was_spent = segment.is_spent();
    writer.join().unwrap();
    assert!(!(was_spent && segment.record(0).is_some()), "a record was committed in a spent segment");
    assert_eq!(segment.is_spent(), segment.record(0).is_none());
}

fn a_pinned_segment_is_not_recycled() {
    let mut old = segment(Kind::Hot);
    write(reserve(&mut old), 100);
    // As a shard of the index holds it.
    let named = Arc::new(Mutex::new(Some(Arc::clone(&old))));
    let reader = thread::spawn({
        let named = named.clone();
        move || {
            let found = {
                let named = named.lock().unwrap();
                named.as_ref().map(|segment| segment.record(0).unwrap().pin())
            };
            found.iter().for_each(|pinned| assert_whole(pinned.record()));
        }
    });
    {
        let mut named = named.lock().unwrap();
        old.record(0).unwrap().mark_dead();
        *named = None;
    }
    let old = old.seal(1);
    assert!(old.is_spent());
    if let Ok(old) = Arc::try_unwrap(old) {
        let mut new = activate(old.into_blank(), Kind::Hot);
        assert_eq!(new.raw_slot(0).word(), Word::EMPTY);
        write(reserve(&mut new), 200);
        assert_whole(new.record(0).unwrap());
    }
    reader.join().unwrap();
}

fn a_sweep_does_not_miss_a_deadline() {
    let mut open = segment(Kind::Hot);
    write(reserve(&mut open), 100);
    let segment = Arc::clone(&open);
    let touching = thread::spawn({
        let segment = segment.clone();
        move || segment.record(0).unwrap().touch(Deadline::at_ms(50))
    });
    let writing = thread::spawn(move || write(reserve(&mut open), 70));
    segment.forget_expiry();
    for slot in 0..segment.reserved().slots {
        segment.record(slot).iter().for_each(|record| segment.expect_expiry(record.word().deadline));
    }
    touching.join().unwrap();
    writing.join().unwrap();
    assert_eq!(segment.next_expiry_ms(), 50);
    let first = segment.record(0).unwrap();
    first.touch(Deadline::at_ms(200));
}

fn concurrent_changes_of_deadline_and_mark_both_stay() {
    let mut open = segment(Kind::Hot);
    write(reserve(&mut open), 100);
    let segment = open.seal(1);
    let touching = thread::spawn({
        let segment = segment.clone();
        move || segment.record(0).unwrap().touch(Deadline::at_ms(50))
    });
    let was_first = segment.record(0).unwrap().mark(FLAG_CLIENT_FLAGS);
    touching.join().unwrap();
    let word = segment.record(0).unwrap().word();
    assert!(was_first == Some(true) && word.flags & FLAG_CLIENT_FLAGS != 0 && word.deadline == Deadline::at_ms(50));
}

fn a_source_dies_before_its_copy() {
    let [source, cold] = [Kind::Hot, Kind::Cold].map(|kind| {
        let mut open = segment(kind);
        write(reserve(&mut open), 100);
        open.seal(1)
    });
    cold.note_source(0, Source { segment: source.clone(), slot: 0, reason: Reason::Compaction });
    let deleting = thread::spawn({
        let cold = cold.clone();
        move || cold.record(0).unwrap().mark_dead()
    });
    let copy = Word::decode(cold.raw_slot(0).word()).unwrap();
    if copy.state == RecordState::Dead {
        assert!(source.record(0).is_none(), "it would return after a restart");
    }
    deleting.join().unwrap();
    assert!(source.record(0).is_none() && cold.record(0).is_none());
}

/// Two threads change a file at once, and a sync begins meanwhile. Each change is written by this sync or by the next
/// one.
fn a_change_is_written_by_one_of_two_syncs() {
    let unsynced = Arc::new(Unsynced::default());
    let file = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let mark = unsynced.mark(FileName::Segment(0));
    // What a sync that begins now writes, by thread.
    let sync = |unsynced: &Unsynced, file: &[AtomicU64; 2]| match &unsynced.take_files()[..] {
        [] => [0, 0],
        [_] => [0, 1].map(|by| file[by].load(Ordering::Relaxed)),
        more => panic!("{} marks of one file", more.len()),
    };
    let change = |by: usize| {
        let (file, mark) = (file.clone(), mark.clone());
        move || {
            file[by].store(1, Ordering::Relaxed);
            mark.note();
        }
    };
    let other = thread::spawn(change(0));
    let syncing = thread::spawn({
        let (unsynced, file) = (unsynced.clone(), file.clone());
        move || sync(&unsynced, &file)
    });
    change(1)();
    // Acknowledged now: a sync that begins covers it, whatever the result of the other one.
    let own = sync(&unsynced, &file);
    let first = syncing.join().unwrap();
    assert!(own[1] + first[1] > 0, "a change is in neither sync: {first:?}, {own:?}");
    other.join().unwrap();
    let last = sync(&unsynced, &file);
    assert!(own[0] + first[0] + last[0] > 0, "a change is in no sync: {first:?}, {own:?}, {last:?}");
}
