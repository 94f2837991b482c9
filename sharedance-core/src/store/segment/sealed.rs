//! One segment: reserve room, commit a record, read it, mark it dead, take it out of use.
//!
//! Together with `open.rs`, `reservation.rs`, `record.rs` and `blank.rs` this file keeps the protocol that makes `disk/mapping.rs` sound:
//!
//! 1. A [`Reservation`] owns its byte range and its slot alone: an [`OpenSegment`] hands ranges out once, by a write offset
//!    that only grows, and there is one `OpenSegment` for a segment, whose `reserve` takes `&mut self`.
//! 2. The range is written through `&mut Reservation` while the slot's word is empty, and the word is stored last, with
//!    `Release`: that store is the commit, and consumes the reservation. After it neither the bytes nor the slot's first
//!    three words change.
//! 3. A slice is made only by a `RecordRef`, which is made of a slot whose word was read as committed, with `Acquire`,
//!    and belongs to the segment that it was read from.
//! 4. A [`Segment`] becomes a [`Blank`] again only by value, which means that no [`Arc`] to it is left: no reader, no
//!    writer, no slice.
//!
//! [`Reservation`]: crate::store::segment::reservation::Reservation
//! [`OpenSegment`]: crate::store::segment::open::OpenSegment
//! [`Blank`]: crate::store::segment::blank::Blank
//!
//! The stores of a thread that is killed become visible as a prefix of its program order, so another process finds
//! a slot empty or its record complete, never in between.

use crate::store::disk::directory::DirectoryLock;
use crate::store::disk::format::{
    self, Deadline, Header, Kind, RESERVATION_OFFSET, RawSlot, RecordState, Reserved, SLOT_LEN, STATE_OFFSET, State,
    Word,
};
use crate::store::disk::mapping::Mapping;
use crate::store::primitives::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::store::primitives::{Arc, MappedWord};
use crate::store::segment::accesses::Accesses;
use crate::store::segment::reads::Reads;
use crate::store::segment::sources::{Carried, Source};

/// A segment in use.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Its place in the log's table while it is in use; reused afterwards, unlike the id in its header.
    pub(crate) number: u32,
    pub(crate) header: Header,
    pub(super) mapping: Mapping,
    /// Bytes of live records and of reservations that are neither committed nor given up, slots included. It may be too
    /// low, and below zero, where records were written off.
    pub(super) live_bytes: AtomicU64,
    pub(super) live_records: AtomicU32,
    pub(super) in_flight: AtomicU32,
    /// Slots that were reserved. Beyond them no slot is read: records may be there.
    pub(super) slots: AtomicU32,
    /// Where its records were before, or those whose place they took, as long as the disk may need that.
    pub(crate) carried: Carried<Segment>,
    in_quarantine: AtomicBool,
    /// When it was sealed, in store milliseconds plus one; zero while it is not.
    pub(super) sealed_at: AtomicU64,
    /// No live record expires before this store millisecond.
    next_expiry_ms: AtomicU64,
    /// Which of the slots that recovery found, and believed without reading their records, have been read and verified
    /// since. Slots beyond were written by this process.
    pub(super) verified: Option<Box<[AtomicU64]>>,
    /// How often records were read; `None` where that is not tracked.
    reads: Option<Reads>,
    /// When records were last read; `None` where that is not tracked.
    pub(crate) accesses: Option<Accesses>,
    /// Keeps the directory locked for as long as anything is mapped.
    _lock: Arc<DirectoryLock>,
}

impl Segment {
    pub(super) fn new(number: u32, header: Header, mapping: Mapping, lock: Arc<DirectoryLock>) -> Segment {
        Segment {
            number,
            header,
            mapping,
            live_bytes: AtomicU64::new(0),
            live_records: AtomicU32::new(0),
            in_flight: AtomicU32::new(0),
            slots: AtomicU32::new(0),
            carried: Carried::nowhere(),
            in_quarantine: AtomicBool::new(false),
            sealed_at: AtomicU64::new(0),
            next_expiry_ms: AtomicU64::new(u64::MAX),
            verified: None,
            reads: None,
            accesses: None,
            _lock: lock,
        }
    }

    /// A segment that an earlier process left, taken over at `now_ms`. Its live records are told with [`Segment::adopt`]. The first
    /// `unverified` slots are checked one by one, when their records are first read.
    pub(crate) fn recovered(
        number: u32,
        header: Header,
        mapping: Mapping,
        lock: Arc<DirectoryLock>,
        unverified: u32,
        now_ms: u64,
    ) -> Segment {
        let sealed = mapping.word(STATE_OFFSET).load(Ordering::Acquire) != State::Active.word();
        let reserved = Reserved::from_word(mapping.word(RESERVATION_OFFSET).load(Ordering::Acquire));
        let mut segment = Segment::new(number, header, mapping, lock);
        segment.slots = AtomicU32::new(reserved.slots.min(format::max_slots(segment.file_len())));
        if sealed || header.kind == Kind::Big {
            segment.sealed_at = AtomicU64::new(now_ms + 1);
        }
        if unverified > 0 {
            segment.verified = Some((0..unverified.div_ceil(64)).map(|_| AtomicU64::new(0)).collect());
        }
        segment
    }

    /// Begins to count how often records are read.
    pub(crate) fn count_reads(&mut self) {
        self.reads = Some(Reads::new(format::max_slots(self.file_len())));
    }

    /// Begins to note when records are read.
    pub(crate) fn track_accesses(&mut self, now_ms: u64) {
        self.accesses = Some(Accesses::new(format::max_slots(self.file_len()), now_ms));
    }

    /// Records that the record in `slot` was read.
    pub(crate) fn note_read(&self, slot: u32) {
        if let Some(reads) = &self.reads {
            reads.note(slot);
        }
    }

    /// How often the record in `slot` was read, as far as that counts, since this was last asked.
    pub(crate) fn take_reads(&self, slot: u32) -> u8 {
        self.reads.as_ref().map_or(0, |reads| reads.take(slot))
    }

    /// Lets the record in `slot` have been read `count` times.
    pub(crate) fn inherit_reads(&self, slot: u32, count: u8) {
        if let Some(reads) = &self.reads {
            reads.inherit(slot, count);
        }
    }

    /// Counts a live record that recovery found.
    pub(crate) fn adopt(&self, footprint: usize, deadline: Deadline) {
        self.live_bytes.fetch_add(footprint as u64, Ordering::Relaxed);
        self.live_records.fetch_add(1, Ordering::Relaxed);
        self.expect_expiry(deadline);
    }

    pub(crate) fn file_len(&self) -> usize {
        self.mapping.len()
    }

    /// Hints that the bytes at `offset` are about to be read.
    pub(crate) fn prefetch(&self, offset: usize) {
        self.mapping.prefetch(offset);
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        (self.live_bytes.load(Ordering::Relaxed) as i64).max(0) as u64
    }

    /// When it was sealed, in store milliseconds; none while records may be appended.
    pub(crate) fn sealed_at_ms(&self) -> Option<u64> {
        self.sealed_at.load(Ordering::Acquire).checked_sub(1)
    }

    /// Whether it is sealed, and each reservation in it has ended: no further record can become live. The caller as for
    /// [`Segment::is_spent`].
    pub(crate) fn is_complete(&self) -> bool {
        self.sealed_at_ms().is_some() && self.has_no_reservations()
    }

    pub(crate) fn has_no_reservations(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) == 0
    }

    pub(crate) fn live_records(&self) -> u32 {
        self.live_records.load(Ordering::Acquire)
    }

    /// Whether no record is live and none can become so. The caller has seen it sealed under the append point's lock,
    /// or in a table from which only sealed segments are taken.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_complete() && self.live_records() == 0
    }

    /// Records that the segment is in quarantine; returns `false` where it was already.
    pub(crate) fn enter_quarantine(&self) -> bool {
        !self.in_quarantine.swap(true, Ordering::Relaxed)
    }

    /// Records the source that the record in `slot` depends on until it is safe. The caller holds its key's shard for
    /// writing.
    pub(crate) fn note_source(self: &Arc<Self>, slot: u32, source: Source<Segment>) {
        source.segment.carried.add_destination(self);
        self.carried.add_source(slot, source);
    }

    /// Marks the segment free on disk, though readers may still hold it, and lets the segments whose
    /// records have their sources here forget this one. In this order: while a record is live here on disk, a thread
    /// that deletes the one that it is the source of has to find it.
    pub(crate) fn give_up(self: &Arc<Self>) {
        self.mapping.word(STATE_OFFSET).store(State::Free.word(), Ordering::SeqCst);
        self.mapping.note_change();
        for destination in self.carried.destinations() {
            destination.carried.forget_segment(self);
        }
    }

    /// Whether every record in it is dead while it is still being appended to.
    pub(crate) fn is_idle(&self) -> bool {
        self.reserved().slots > 0 && self.has_no_reservations() && self.live_records() == 0
    }

    pub(crate) fn reserved(&self) -> Reserved {
        Reserved::from_word(self.mapping.word(RESERVATION_OFFSET).load(Ordering::Acquire))
    }

    /// Room left for records and their slots, in bytes.
    pub(crate) fn room(&self) -> usize {
        let reserved = self.reserved();
        (self.file_len() - reserved.slots as usize * SLOT_LEN).saturating_sub(reserved.write_offset as usize)
    }

    /// Flips bits of one of the four words of a slot, as faulty memory does.
    #[cfg(test)]
    pub(crate) fn damage(&self, slot: u32, word: usize, bits: u64) {
        let word = self.mapping.word(format::slot_offset(self.file_len(), slot) + word * 8);
        word.store(word.load(Ordering::Relaxed) ^ bits, Ordering::Relaxed);
    }

    pub(super) fn slot_word(&self, slot: u32) -> &MappedWord {
        self.mapping.word(format::slot_offset(self.file_len(), slot) + 24)
    }

    /// Slot `slot` as it stands.
    pub(crate) fn raw_slot(&self, slot: u32) -> RawSlot {
        let at = format::slot_offset(self.file_len(), slot);
        let word = self.mapping.word(at + 24).load(Ordering::Acquire);
        let part = |i: usize| self.mapping.word(at + i * 8).load(Ordering::Relaxed);
        RawSlot([part(0), part(1), part(2), word])
    }

    /// Whether a record of this sequence can stand here.
    pub(crate) fn can_express(&self, sequence: u64) -> bool {
        i32::try_from(sequence.wrapping_sub(self.header.base) as i64).is_ok()
    }

    /// Overwrites a slot that recovery does not believe, so that no later recovery does.
    pub(crate) fn disown(&self, slot: u32) {
        let dead = Word { state: RecordState::Dead, flags: 0, key_len: 0, deadline: Deadline::at_ms(0) };
        self.slot_word(slot).store(dead.encode(), Ordering::Release);
        self.mapping.note_change();
    }

    /// When the next record can expire, in store milliseconds; `u64::MAX` where none will.
    pub(crate) fn next_expiry_ms(&self) -> u64 {
        self.next_expiry_ms.load(Ordering::Acquire)
    }

    /// Records that a live record expires at `deadline`.
    pub(crate) fn expect_expiry(&self, deadline: Deadline) {
        if deadline != Deadline::NEVER {
            self.next_expiry_ms.fetch_min(deadline.ms(), Ordering::AcqRel);
        }
    }

    /// Forgets when the next record expires: a walk over all slots is about to find out.
    ///
    /// Both this and [`Segment::expect_expiry`], which follows the store of a word, read and write in one step: either
    /// the expectation comes later and stays, or the walk sees the word.
    pub(crate) fn forget_expiry(&self) {
        self.next_expiry_ms.swap(u64::MAX, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::directory::Directory;
    use crate::store::disk::format::RECORDS_OFFSET;
    use crate::store::segment::blank::Blank;
    use crate::store::segment::open::OpenSegment;
    use crate::store::segment::payload::Payload;

    const LEN: usize = 65_536;

    fn lock() -> Arc<DirectoryLock> {
        Directory::open(tempfile::tempdir().unwrap().path()).unwrap().lock
    }

    fn header(base: u64) -> Header {
        Header { store_id: 1, base, segment_id: 0, kind: Kind::Hot, ttl_class: 44, file_len: LEN as u64 }
    }

    fn segment() -> OpenSegment {
        OpenSegment::new(Blank::new(0, Mapping::of_heap(LEN)).activate(0, header(10), lock()))
    }

    fn write(segment: &mut OpenSegment, key: &[u8], value: &[u8], sequence: u64) -> u32 {
        let payload = Payload::of([key, value]);
        let mut reservation = segment.reserve(&payload).unwrap();
        let slot = reservation.slot();
        reservation.fill(&payload);
        reservation.commit(7, sequence, Word::live(key.len(), Deadline::at_ms(1_000)));
        slot
    }

    #[test]
    fn what_is_committed_is_found_and_what_is_marked_dead_is_not() {
        let mut segment = segment();
        let slot = write(&mut segment, b"key", b"value", 12);
        let record = segment.record(slot).unwrap();
        assert_eq!((record.key(), record.value()), (&b"key"[..], &b"value"[..]));
        assert_eq!((record.sequence(), segment.next_expiry_ms()), (12, 1_000));
        assert_eq!(segment.live_bytes(), 16 + SLOT_LEN as u64);
        record.mark_dead();
        assert!(segment.record(slot).is_none());
        assert_eq!(segment.live_bytes(), 0);
    }

    #[test]
    fn records_and_slots_grow_towards_each_other_until_they_meet() {
        let mut segment = segment();
        let mut taken = 0;
        let payload = [1; 1_000];
        while let Some(reservation) = segment.reserve(&Payload::of([&payload[..]])) {
            assert_eq!(reservation.slot(), taken);
            taken += 1;
        }
        assert_eq!(taken as usize, (LEN - RECORDS_OFFSET) / format::footprint(1_000));
        assert!(segment.room() < format::footprint(1_000));
        let rest = segment.room() - SLOT_LEN;
        assert!(segment.reserve(&Payload::of([&payload[..rest / 16 * 16]])).is_some());
    }

    #[test]
    fn a_reservation_that_is_given_up_leaves_an_empty_slot_and_no_live_byte() {
        let mut segment = segment();
        let payload = Payload::of([&[1; 100][..]]);
        let mut reservation = segment.reserve(&payload).unwrap();
        reservation.fill(&payload);
        let segment = segment.seal(5);
        assert!(segment.live_bytes() > 0 && !segment.is_spent(), "it may yet be committed");
        drop(reservation);
        assert_eq!((segment.raw_slot(0).word(), segment.live_bytes()), (Word::EMPTY, 0));
        assert!(segment.is_spent());
    }

    #[test]
    fn a_slot_is_empty_from_its_reservation_on_whatever_stood_there_before() {
        let mut mapping = Mapping::of_heap(LEN);
        mapping.copy_in_exclusively(RECORDS_OFFSET, &vec![0xff; LEN - RECORDS_OFFSET]);
        let mut segment = OpenSegment::new(Blank::new(0, mapping).activate(0, header(10), lock()));
        for slot in 0..3 {
            let reservation = segment.reserve(&Payload::of([&[1; 100][..]])).unwrap();
            assert_eq!((reservation.slot(), segment.raw_slot(slot).word()), (slot, Word::EMPTY));
        }
    }

    #[test]
    fn a_blank_is_free_and_has_no_slots_wherever_its_making_was_interrupted() {
        let mut segment = segment();
        let slots: Vec<_> = (0..5).map(|i| write(&mut segment, &[i], b"v", 20)).collect();
        slots.iter().for_each(|slot| segment.record(*slot).unwrap().mark_dead());
        segment.mapping.word(STATE_OFFSET).store(State::Free.word(), Ordering::Relaxed);
        // Killed here; another process finds the file.
        let mapping = Arc::into_inner(segment.seal(0)).unwrap().mapping;
        let blank = Blank::recovered(0, mapping);
        let segment = Arc::new(blank.activate(0, header(30), lock()));
        assert!(slots.iter().all(|slot| segment.raw_slot(*slot).word() == Word::EMPTY));
        assert_eq!(segment.reserved(), Reserved::NOTHING);
        let blank = Arc::into_inner(segment).unwrap().into_blank();
        assert_eq!(blank.mapping.word(STATE_OFFSET).load(Ordering::Relaxed), State::Free.word());
    }

    #[test]
    fn only_what_an_earlier_process_wrote_is_read_again() {
        let mut segment = segment();
        let old = write(&mut segment, b"key", b"value", 11);
        let record = segment.record(old).unwrap();
        let value_offset = record.offset() + b"key".len();
        let mut mapping = Arc::into_inner(segment.seal(0)).unwrap().mapping;
        mapping.copy_in_exclusively(value_offset, b"V");
        let mut segment = OpenSegment::new(Segment::recovered(0, header(10), mapping, lock(), 1, 0));
        assert!(!segment.record(old).unwrap().verify());
        let new = write(&mut segment, b"key", b"value", 12);
        assert!(segment.record(new).unwrap().verify());
    }

    #[test]
    fn changing_a_word_that_was_damaged_ends() {
        let mut segment = segment();
        let slot = write(&mut segment, b"key", b"value", 12);
        let pinned = segment.record(slot).unwrap().pin();
        let word = pinned.record().word();
        let whole = word.encode();
        // A flipped bit, nothing at all, and a record that is dead already.
        for damaged in [whole ^ 1 << 30, 0, Word { state: RecordState::Dead, ..word }.encode()] {
            segment.slot_word(slot).store(damaged, Ordering::Relaxed);
            let (changed, changes) = std::sync::mpsc::channel();
            let pinned = pinned.clone();
            std::thread::spawn(move || {
                let record = pinned.record();
                let touched = record.touch(Deadline::at_ms(2_000));
                changed.send((touched, record.mark(format::FLAG_STALE))).unwrap();
            });
            let changes = changes.recv_timeout(std::time::Duration::from_secs(60)).expect("it does not end");
            assert_eq!(changes, (None, None));
        }
        assert_eq!(segment.slot_word(slot).load(Ordering::Relaxed), Word { state: RecordState::Dead, ..word }.encode());
    }
}
