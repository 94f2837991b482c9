//! The set of segments: reserves space for records, activates and seals segments, and retires them.
//!
//! Lock order: append point, then spare blanks or table. The caller may hold a shard of the index. No mutex is held
//! during a file operation.

use std::time::Duration;

use crate::store::disk::directory::Directory;
use crate::store::disk::file_name::FileName;
use crate::store::disk::format::{self, Header, Kind};
use crate::store::disk::meta::Description;
use crate::store::error::StoreError;
use crate::store::log::append_points::{AppendPoint, AppendPoints};
use crate::store::log::files::{SegmentFiles, lock};
use crate::store::log::queues::Queues;
use crate::store::log::table::SegmentTable;
use crate::store::primitives::atomic::{AtomicU64, Ordering};
use crate::store::primitives::{Arc, Mutex};
use crate::store::segment::blank::Blank;
use crate::store::segment::open::OpenSegment;
use crate::store::segment::payload::Payload;
use crate::store::segment::reservation::Reservation;
use crate::store::segment::sealed::Segment;
use crate::store::segment::ttl_class::TtlClass;

/// The range of sequences in a segment. A segment with a wider range gets no new writes: slots have 31 bits for a
/// sequence.
const MAX_SEQUENCE_SPAN: u64 = 1 << 30;

#[derive(Debug)]
pub(crate) struct Log {
    description: Description,
    pub(crate) files: SegmentFiles,
    /// The next sequence: of a write, or of the activation of a segment.
    sequence: AtomicU64,
    points: AppendPoints,
    table: SegmentTable,
    /// Segments that are out of use, but that readers still hold.
    limbo: Mutex<Vec<Arc<Segment>>>,
    /// The order of eviction, in a store that evicts.
    pub(crate) queues: Option<Queues>,
    tracking: Tracking,
    /// Whether new records may go to any open segment if none can be added. They may not in a store that evicts: there
    /// the segment distinguishes new pairs from those that were read.
    shares_segments_when_full: bool,
}

/// What segments record in memory about the use of their records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tracking {
    /// How often they are read.
    pub(crate) reads: bool,
    /// When they were read last.
    pub(crate) accesses: bool,
}

impl Log {
    pub(crate) fn new(
        directory: Directory,
        description: Description,
        max_bytes: Option<u64>,
        tracking: Tracking,
    ) -> Log {
        let segment_len = description.segment_len;
        Log {
            description,
            files: SegmentFiles::new(directory, segment_len, max_bytes),
            sequence: AtomicU64::new(1),
            points: AppendPoints::new(max_bytes, segment_len),
            table: SegmentTable::default(),
            limbo: Mutex::default(),
            queues: tracking.reads.then(Queues::new),
            shares_segments_when_full: !tracking.reads,
            tracking,
        }
    }

    pub(crate) fn description(&self) -> &Description {
        &self.description
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn peek_sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// Payloads longer than this go to a file of their own.
    pub(crate) fn max_shared_payload(&self) -> usize {
        self.description.segment_len / 4
    }

    /// All segments in use.
    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments_where(|_| true)
    }

    /// The segments in use for which `wanted` returns true.
    pub(crate) fn segments_where(&self, wanted: impl Fn(&Segment) -> bool) -> Vec<Arc<Segment>> {
        self.table.segments_where(wanted)
    }

    /// Reserves space for a new record in the open segment of its TTL class, or in any open segment if none can be added.
    ///
    /// # Errors
    /// [`StoreError::Full`] if there is no space.
    pub(crate) fn reserve(
        &self,
        class: TtlClass,
        payload: &Payload<'_>,
        now_ms: u64,
    ) -> Result<Reservation, StoreError> {
        match self.reserve_at(self.points.point_for(class), Kind::Hot, class, payload, now_ms) {
            Err(StoreError::Full) if self.shares_segments_when_full => {
                self.reserve_anywhere(payload).ok_or(StoreError::Full)
            }
            reserved => reserved,
        }
    }

    fn reserve_anywhere(&self, payload: &Payload<'_>) -> Option<Reservation> {
        let hot = self.points.hot().find_map(|point| {
            let mut open = lock(&point.open);
            self.reserve_in(open.as_mut()?, payload)
        });
        hot.or_else(|| {
            let mut open = lock(&self.points.cold.open);
            // The survivors of a segment that is being emptied fit into this segment and another one.
            if self.files.has_room_for_survivors() { self.reserve_in(open.as_mut()?, payload) } else { None }
        })
    }

    fn reserve_in(&self, segment: &mut OpenSegment, payload: &Payload<'_>) -> Option<Reservation> {
        if self.can_number(segment) { segment.reserve(payload) } else { None }
    }

    /// Whether the slots of `segment` can hold the sequences of new records.
    fn can_number(&self, segment: &Segment) -> bool {
        self.peek_sequence() - segment.header.base < MAX_SEQUENCE_SPAN
    }

    /// Whether the next record finds space, whatever its length, without a segment being emptied for it.
    pub(crate) fn has_room(&self) -> bool {
        if self.files.space.is_exceeded() {
            return false;
        }
        if self.files.can_add_segment() {
            return true;
        }
        let longest = format::footprint(self.max_shared_payload());
        let is_roomy = |open: &Option<OpenSegment>| {
            open.as_ref().is_some_and(|segment| segment.room() >= longest && self.can_number(segment))
        };
        self.points.hot().any(|point| is_roomy(&lock(&point.open)))
            || is_roomy(&lock(&self.points.cold.open)) && self.files.has_room_for_survivors()
    }

    /// Ends appending to `segment`, if it is open.
    pub(crate) fn seal(&self, segment: &Arc<Segment>, now_ms: u64) {
        for point in self.points.all() {
            let mut open = lock(&point.open);
            if let Some(open) = open.take_if(|open| Arc::ptr_eq(open, segment)) {
                open.seal(now_ms);
            }
        }
    }

    /// Reserves space for the copy of a record by compaction. One segment is open for the copies of all classes: they
    /// have outlived the records that were written beside them.
    ///
    /// # Errors
    /// As for [`Log::reserve`].
    pub(crate) fn reserve_cold(
        &self,
        class: TtlClass,
        payload: &Payload<'_>,
        now_ms: u64,
    ) -> Result<Reservation, StoreError> {
        self.reserve_at(&self.points.cold, Kind::Cold, class, payload, now_ms)
    }

    fn reserve_at(
        &self,
        point: &AppendPoint,
        kind: Kind,
        class: TtlClass,
        payload: &Payload<'_>,
        now_ms: u64,
    ) -> Result<Reservation, StoreError> {
        loop {
            {
                let mut open = lock(&point.open);
                if let Some(segment) = open.as_mut()
                    && let Some(reservation) = self.reserve_in(segment, payload)
                {
                    return Ok(reservation);
                }
                if let Some(blank) = self.files.take_spare(kind) {
                    if let Some(full) = open.take() {
                        full.seal(now_ms);
                    }
                    *open = Some(self.activate(blank, kind, class, now_ms));
                    continue;
                }
            }
            self.files.create_spare(kind, self.table.len())?;
        }
    }

    /// Creates a file for a single record. It contains the record's payload.
    pub(crate) fn create_big(
        &self,
        class: TtlClass,
        payload: &Payload<'_>,
        now_ms: u64,
    ) -> Result<Reservation, StoreError> {
        let blank = self.files.create_big(payload, self.table.len())?;
        let segment = self.activate(blank, Kind::Big, class, now_ms);
        Ok(segment.reserve_written(payload, now_ms))
    }

    fn activate(&self, blank: Blank, kind: Kind, class: TtlClass, now_ms: u64) -> OpenSegment {
        let header = Header {
            store_id: self.description.store_id,
            base: self.next_sequence(),
            segment_id: blank.segment_id,
            kind,
            ttl_class: class.0,
            file_len: blank.file_len() as u64,
        };
        self.enter(now_ms, |number| blank.activate(number, header, self.files.directory.lock.clone()))
    }

    /// Adds a segment to the table, which numbers it.
    pub(crate) fn enter(&self, now_ms: u64, make: impl FnOnce(u32) -> Segment) -> OpenSegment {
        self.table.add(|number| {
            let mut segment = make(number);
            if self.tracking.reads {
                segment.count_reads();
            }
            if self.tracking.accesses {
                segment.track_accesses(now_ms);
            }
            segment
        })
    }

    /// Creates blanks until enough are ready. Waits up to `wait` until one is needed, and as long after a failure. The wait
    /// ends early once `is_over` returns true and [`Log::end_waits`] is called.
    pub(crate) fn prepare(&self, wait: Duration, is_over: impl Fn() -> bool) -> Result<(), StoreError> {
        self.files.prepare(wait, is_over, || self.table.len())
    }

    /// Ends the waits in [`Log::prepare`] that are over.
    pub(crate) fn end_waits(&self) {
        self.files.end_waits();
    }

    /// Once a second: updates the estimate of how many blanks are needed, and deletes the others.
    pub(crate) fn update_demand(&self) {
        self.files.update_demand(self.table.len());
    }

    /// Seals the open segments that contain only dead records, so that they can be retired.
    pub(crate) fn seal_idle(&self, now_ms: u64) {
        for point in self.points.all() {
            let mut open = lock(&point.open);
            if open.as_ref().is_some_and(|segment| segment.is_idle()) {
                if let Some(idle) = open.take() {
                    idle.seal(now_ms);
                }
                point.class.store(0, Ordering::Release);
            }
        }
    }

    /// Takes a spent segment out of use. No shard of the index holds it. Its file is deleted, or recycled once its last
    /// reader has released it.
    pub(crate) fn retire(&self, segment: Arc<Segment>) {
        self.table.remove(&segment);
        if segment.header.kind == Kind::Big {
            return self.files.delete(FileName::Big(segment.header.segment_id), segment.file_len());
        }
        self.recycle(segment);
    }

    /// Tries again to recycle the segments that readers held.
    pub(crate) fn recycle_limbo(&self) {
        let waiting = std::mem::take(&mut *lock(&self.limbo));
        waiting.into_iter().for_each(|segment| self.recycle(segment));
    }

    fn recycle(&self, segment: Arc<Segment>) {
        if !self.files.wants_blank() {
            // The mapping stays valid for readers after the file has lost its name.
            return self.files.delete(FileName::Segment(segment.header.segment_id), segment.file_len());
        }
        match Arc::try_unwrap(segment) {
            Ok(segment) => self.files.keep_blank(segment.into_blank()),
            Err(held) => lock(&self.limbo).push(held),
        }
    }

    /// Continues from what recovery found.
    pub(crate) fn resume(&self, next_sequence: u64, next_segment_id: u32, file_bytes: u64) {
        self.sequence.store(next_sequence, Ordering::Relaxed);
        self.files.resume(next_segment_id, file_bytes);
    }

    /// Continues to append to a segment that recovery found half full, unless its class has a fuller one.
    pub(crate) fn reopen(&self, segment: OpenSegment, now_ms: u64) {
        let span = self.peek_sequence().saturating_sub(segment.header.base);
        let point = match segment.header.kind {
            Kind::Cold => &self.points.cold,
            _ => self.points.point_for(TtlClass(segment.header.ttl_class)),
        };
        let mut open = lock(&point.open);
        let is_fuller = open.as_ref().is_none_or(|other| segment.room() < other.room());
        if span >= MAX_SEQUENCE_SPAN || !is_fuller {
            segment.seal(now_ms);
        } else if let Some(other) = open.replace(segment) {
            other.seal(now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::clock::Clock;
    use crate::store::primitives::atomic::{AtomicBool, Ordering};
    use crate::store::primitives::thread;
    use crate::store::{Options, Store, Ttl};

    fn open(dir: &tempfile::TempDir) -> Store {
        Options::manual().segment_len(65_536).clock(Clock::manual().0).open(dir.path()).unwrap()
    }

    #[test]
    fn records_of_one_class_share_a_segment_and_so_do_those_of_too_many_classes() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        for octave in 0..20u32 {
            for i in 0..3u32 {
                let ttl = Ttl::After(Duration::from_secs(1 << octave));
                store.set_with_ttl((octave * 3 + i).to_be_bytes(), b"value", ttl).unwrap();
            }
        }
        assert_eq!(store.stats().segments, crate::store::log::append_points::APPEND_POINTS as u64);
        assert_eq!(store.len(), 60);
    }

    #[test]
    fn a_wait_for_work_ends_when_it_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        store.prepare(Duration::ZERO).unwrap();
        let (log, is_over) = (&store.shared.engine.log, AtomicBool::new(false));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| log.prepare(Duration::from_secs(3_600), || is_over.load(Ordering::SeqCst)));
            is_over.store(true, Ordering::SeqCst);
            log.end_waits();
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_segment_that_a_reader_holds_is_recycled_after_its_release() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        store.set(b"key", b"value").unwrap();
        let held = store.get(b"key").unwrap();
        store.delete(b"key").unwrap();
        let spare = |store: &Store| store.shared.engine.log.files.blanks();
        assert_eq!((store.maintain(10).unwrap().retired, spare(&store)), (1, 0));
        for i in 0..500u32 {
            store.set(i.to_be_bytes(), [7; 500]).unwrap();
        }
        assert_eq!(held, b"value");
        drop(held);
        let before = spare(&store);
        store.maintain(10).unwrap();
        assert_eq!((spare(&store), super::lock(&store.shared.engine.log.limbo).len()), (before + 1, 0));
    }

    #[test]
    fn blanks_are_ready_before_they_are_needed() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        store.prepare(Duration::ZERO).unwrap();
        assert_eq!(store.stats().file_bytes, 65_536);
        store.set(b"key", b"value").unwrap();
        store.prepare(Duration::from_secs(60)).unwrap();
        assert_eq!(store.stats().file_bytes, 3 * 65_536, "one in use, two for the next");
    }
}
