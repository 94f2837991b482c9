//! A segment in use: its records, its statistics, and its end.
//!
//! `open.rs`, `reservation.rs`, `record.rs`, `blank.rs` and this file keep the protocol that makes `disk/mapping.rs`
//! sound:
//!
//! 1. A [`Reservation`] owns its byte range and its slot: an [`OpenSegment`] hands out each range once, by a write
//!    offset that only grows. A segment has one `OpenSegment`, whose `reserve` takes `&mut self`.
//! 2. The range is written through `&mut Reservation` while the slot's word is empty. The word is stored last, with
//!    `Release`: that store is the commit, and consumes the reservation. After it neither the bytes nor the slot's
//!    first three words change.
//! 3. A slice is created only by a `RecordRef`. That is created from a slot whose word was read as committed, with
//!    `Acquire`, and belongs to the segment of the slot.
//! 4. A [`Segment`] becomes a [`Blank`] again only by value. Then there is no [`Arc`] to it: no reader, no writer, no
//!    slice.
//!
//! [`Reservation`]: crate::store::segment::reservation::Reservation
//! [`OpenSegment`]: crate::store::segment::open::OpenSegment
//! [`Blank`]: crate::store::segment::blank::Blank
//!
//! The stores of a killed thread become visible as a prefix of its program order. So another process finds either an
//! empty slot or a complete record.

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
use crate::store::segment::sources::{Source, Sources};

/// A segment in use.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Its index in the log's table while it is in use. Unlike the id in the header, it is reused.
    pub(crate) number: u32,
    pub(crate) header: Header,
    pub(super) mapping: Mapping,
    /// Bytes of live records and of open reservations, slots included. It may be too low, even negative, after damaged
    /// records were subtracted.
    pub(super) live_bytes: AtomicU64,
    pub(super) live_records: AtomicU32,
    pub(super) in_flight: AtomicU32,
    /// The number of reserved slots. No other slot is read: its bytes may belong to records.
    pub(super) slots: AtomicU32,
    /// The older records that its records were copied from or replace, while the disk may need those.
    pub(crate) sources: Sources<Segment>,
    in_quarantine: AtomicBool,
    /// When it was sealed, in store milliseconds, plus one; zero if it is not sealed.
    pub(super) sealed_at: AtomicU64,
    /// No live record expires before this store millisecond.
    next_expiry_ms: AtomicU64,
    /// Which of the slots that recovery accepted without reading their records have been read and verified since. Slots
    /// beyond these were written by this process.
    pub(super) verified: Option<Box<[AtomicU64]>>,
    /// How often records were read; `None` if that is not tracked.
    reads: Option<Reads>,
    /// When records were last read; `None` if that is not tracked.
    pub(crate) accesses: Option<Accesses>,
    /// Keeps the directory locked while anything is mapped.
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
            sources: Sources::new(),
            in_quarantine: AtomicBool::new(false),
            sealed_at: AtomicU64::new(0),
            next_expiry_ms: AtomicU64::new(u64::MAX),
            verified: None,
            reads: None,
            accesses: None,
            _lock: lock,
        }
    }

    /// A segment from an earlier process, at `now_ms`. [`Segment::adopt`] adds its live records. The records of the
    /// first `unverified` slots are checked when they are first read.
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

    /// Starts to count how often records are read.
    pub(crate) fn count_reads(&mut self) {
        self.reads = Some(Reads::new(format::max_slots(self.file_len())));
    }

    /// Starts to record when records are read.
    pub(crate) fn track_accesses(&mut self, now_ms: u64) {
        self.accesses = Some(Accesses::new(format::max_slots(self.file_len()), now_ms));
    }

    /// Records that the record in `slot` was read.
    pub(crate) fn note_read(&self, slot: u32) {
        if let Some(reads) = &self.reads {
            reads.note(slot);
        }
    }

    /// How often the record in `slot` was read since the last call, up to the maximum count.
    pub(crate) fn take_reads(&self, slot: u32) -> u8 {
        self.reads.as_ref().map_or(0, |reads| reads.take(slot))
    }

    /// Sets the count of the record in `slot` to `count`.
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

    /// When it was sealed, in store milliseconds; `None` while it is open.
    pub(crate) fn sealed_at_ms(&self) -> Option<u64> {
        self.sealed_at.load(Ordering::Acquire).checked_sub(1)
    }

    /// Whether it is sealed and each reservation in it has ended: no other record can become live. For the caller the
    /// same applies as for [`Segment::is_spent`].
    pub(crate) fn is_complete(&self) -> bool {
        self.sealed_at_ms().is_some() && self.has_no_reservations()
    }

    pub(crate) fn has_no_reservations(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) == 0
    }

    pub(crate) fn live_records(&self) -> u32 {
        self.live_records.load(Ordering::Acquire)
    }

    /// Whether no record is live or can become live. The caller has observed that it is sealed under the mutex of the
    /// append point, or has it from a table with sealed segments only.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_complete() && self.live_records() == 0
    }

    /// Records that the segment is in quarantine; returns `false` if it already was.
    pub(crate) fn enter_quarantine(&self) -> bool {
        !self.in_quarantine.swap(true, Ordering::Relaxed)
    }

    /// Records the source of the record in `slot`, which is needed until the record is safe. The caller holds the key's
    /// shard for writing.
    pub(crate) fn note_source(self: &Arc<Self>, slot: u32, source: Source<Segment>) {
        source.segment.sources.add_destination(self);
        self.sources.add_source(slot, source);
    }

    /// Marks the segment free on disk, even if readers still hold it. Then it removes the segment from the sources of
    /// other segments. The order matters: while a record is live here on disk, a thread that deletes its copy must find
    /// it.
    pub(crate) fn give_up(self: &Arc<Self>) {
        self.mapping.word(STATE_OFFSET).store(State::Free.word(), Ordering::SeqCst);
        self.mapping.note_change();
        for destination in self.sources.destinations() {
            destination.sources.forget_segment(self);
        }
    }

    /// Whether the segment is open and all its records are dead.
    pub(crate) fn is_idle(&self) -> bool {
        self.reserved().slots > 0 && self.has_no_reservations() && self.live_records() == 0
    }

    pub(crate) fn reserved(&self) -> Reserved {
        Reserved::from_word(self.mapping.word(RESERVATION_OFFSET).load(Ordering::Acquire))
    }

    /// Space for records and their slots, in bytes.
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

    /// The current contents of slot `slot`.
    pub(crate) fn raw_slot(&self, slot: u32) -> RawSlot {
        let at = format::slot_offset(self.file_len(), slot);
        let word = self.mapping.word(at + 24).load(Ordering::Acquire);
        let part = |i: usize| self.mapping.word(at + i * 8).load(Ordering::Relaxed);
        RawSlot([part(0), part(1), part(2), word])
    }

    /// Whether a slot of this segment can represent this sequence.
    pub(crate) fn can_express(&self, sequence: u64) -> bool {
        i32::try_from(sequence.wrapping_sub(self.header.base) as i64).is_ok()
    }

    /// Overwrites a slot that recovery did not accept, so that no later recovery accepts it.
    pub(crate) fn disown(&self, slot: u32) {
        let dead = Word { state: RecordState::Dead, flags: 0, key_len: 0, deadline: Deadline::at_ms(0) };
        self.slot_word(slot).store(dead.encode(), Ordering::Release);
        self.mapping.note_change();
    }

    /// When the next record may expire, in store milliseconds; `u64::MAX` if none will.
    pub(crate) fn next_expiry_ms(&self) -> u64 {
        self.next_expiry_ms.load(Ordering::Acquire)
    }

    /// Records that a live record expires at `deadline`.
    pub(crate) fn expect_expiry(&self, deadline: Deadline) {
        if deadline != Deadline::NEVER {
            self.next_expiry_ms.fetch_min(deadline.ms(), Ordering::AcqRel);
        }
    }

    /// Resets the time of the next expiry, before a walk over all slots determines it again.
    ///
    /// This and [`Segment::expect_expiry`], which is called after the store of a word, are read-modify-write
    /// operations. So either the expectation comes later and stays, or the walk sees the word.
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
    fn committed_records_are_found_and_dead_ones_are_not() {
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
    fn a_segment_is_full_when_its_records_meet_its_slots() {
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
    fn a_dropped_reservation_leaves_an_empty_slot_and_no_live_bytes() {
        let mut segment = segment();
        let payload = Payload::of([&[1; 100][..]]);
        let mut reservation = segment.reserve(&payload).unwrap();
        reservation.fill(&payload);
        let segment = segment.seal(5);
        assert!(segment.live_bytes() > 0 && !segment.is_spent(), "it can still be committed");
        drop(reservation);
        assert_eq!((segment.raw_slot(0).word(), segment.live_bytes()), (Word::EMPTY, 0));
        assert!(segment.is_spent());
    }

    #[test]
    fn a_reserved_slot_is_empty_whatever_it_contained_before() {
        let mut mapping = Mapping::of_heap(LEN);
        mapping.copy_in_exclusively(RECORDS_OFFSET, &vec![0xff; LEN - RECORDS_OFFSET]);
        let mut segment = OpenSegment::new(Blank::new(0, mapping).activate(0, header(10), lock()));
        for slot in 0..3 {
            let reservation = segment.reserve(&Payload::of([&[1; 100][..]])).unwrap();
            assert_eq!((reservation.slot(), segment.raw_slot(slot).word()), (slot, Word::EMPTY));
        }
    }

    #[test]
    fn a_blank_is_free_and_has_no_slots_wherever_its_creation_was_interrupted() {
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
    fn only_records_of_an_earlier_process_are_verified() {
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
    fn a_change_of_a_damaged_word_ends() {
        let mut segment = segment();
        let slot = write(&mut segment, b"key", b"value", 12);
        let pinned = segment.record(slot).unwrap().pin();
        let word = pinned.record().word();
        let whole = word.encode();
        // A flipped bit, zeros, and a record that is already dead.
        for damaged in [whole ^ 1 << 30, 0, Word { state: RecordState::Dead, ..word }.encode()] {
            segment.slot_word(slot).store(damaged, Ordering::Relaxed);
            let (changed, changes) = std::sync::mpsc::channel();
            let pinned = pinned.clone();
            std::thread::spawn(move || {
                let record = pinned.record();
                let touched = record.touch(Deadline::at_ms(2_000));
                changed.send((touched, record.mark(format::FLAG_STALE))).unwrap();
            });
            let changes = changes.recv_timeout(std::time::Duration::from_secs(60)).expect("the change has not ended");
            assert_eq!(changes, (None, None));
        }
        assert_eq!(segment.slot_word(slot).load(Ordering::Relaxed), Word { state: RecordState::Dead, ..word }.encode());
    }
}
