//! The set of segments: where records are appended, which files are prepared, which are recycled.
//!
//! Locks are taken in the order append point, then spare blanks or table; a shard of the index may be held before
//! either. None is held over a file operation.

use std::time::Duration;

use crate::store::disk::allocation::{Contents, Pace};
use crate::store::disk::deletions::{Deletion, Deletions};
use crate::store::disk::directory::{CreateError, Directory};
use crate::store::disk::file_name::FileName;
use crate::store::disk::format::{self, Header, Kind};
use crate::store::disk::mapping::Mapping;
use crate::store::disk::meta::Description;
use crate::store::disk::space::Space;
use crate::store::error::StoreError;
use crate::store::index::MAX_SEGMENTS;
use crate::store::log::append_points::{AppendPoint, AppendPoints};
use crate::store::log::queues::Queues;
use crate::store::log::spares::Spares;
use crate::store::log::table::SegmentTable;
use crate::store::primitives::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::store::primitives::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use crate::store::segment::blank::Blank;
use crate::store::segment::open::OpenSegment;
use crate::store::segment::payload::Payload;
use crate::store::segment::reservation::Reservation;
use crate::store::segment::sealed::Segment;
use crate::store::segment::ttl_class::TtlClass;

/// A segment takes no new writes once its sequences would span more than this; slots have 31 bits for them.
const MAX_SEQUENCE_SPAN: u64 = 1 << 30;

#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) directory: Directory,
    pub(super) description: Description,
    /// The next sequence: of a record's write, or of a segment's activation.
    sequence: AtomicU64,
    next_segment_id: AtomicU32,
    points: AppendPoints,
    pub(super) table: SegmentTable,
    pub(super) spare: Mutex<Spares>,
    spare_taken: Condvar,
    /// Spent segments that readers still hold.
    pub(super) limbo: Mutex<Vec<Arc<Segment>>>,
    pub(crate) space: Space,
    /// Files out of use that could not be deleted.
    pub(crate) deletions: Deletions,
    /// Where old pairs are evicted to make room.
    pub(crate) queues: Option<Queues>,
    tracking: Tracking,
    /// Whether new records may go to any open segment when none can be added. Eviction distinguishes new pairs from those
    /// that are read by their segments, so there they may not.
    shares_segments_when_full: bool,
}

/// What segments keep in memory about the use of their records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tracking {
    /// How often they are read.
    pub(crate) reads: bool,
    /// When they were read last.
    pub(crate) accesses: bool,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    pub(crate) fn new(
        directory: Directory,
        description: Description,
        max_bytes: Option<u64>,
        tracking: Tracking,
    ) -> Log {
        Log {
            directory,
            description,
            sequence: AtomicU64::new(1),
            next_segment_id: AtomicU32::new(0),
            points: AppendPoints::new(max_bytes, description.segment_len),
            table: SegmentTable::default(),
            spare: Mutex::default(),
            spare_taken: Condvar::new(),
            limbo: Mutex::default(),
            space: Space::new(max_bytes),
            deletions: Deletions::default(),
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

    /// Takes room for a new record in the open segment of its TTL class, or in any open segment where none can be added.
    ///
    /// # Errors
    /// [`StoreError::Full`] where there is no room.
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
            // Survivors of a segment that is being emptied fit into this one and a whole one.
            if self.has_room_for_survivors() { self.reserve_in(open.as_mut()?, payload) } else { None }
        })
    }

    fn reserve_in(&self, segment: &mut OpenSegment, payload: &Payload<'_>) -> Option<Reservation> {
        if self.can_number(segment) { segment.reserve(payload) } else { None }
    }

    /// Whether the slots of `segment` can hold the sequences of new records.
    fn can_number(&self, segment: &Segment) -> bool {
        self.peek_sequence() - segment.header.base < MAX_SEQUENCE_SPAN
    }

    /// Whether compaction has a segment to put its survivors in. While the caller holds the lock of the cold append point
    /// it stays so.
    fn has_room_for_survivors(&self) -> bool {
        let has_blank = lock(&self.spare).for_survivors.is_some();
        has_blank || self.room() >= self.description.segment_len as u64
    }

    /// Whether the next record finds room, whatever its length, and without anything being emptied for it.
    pub(crate) fn has_room(&self) -> bool {
        if self.space.is_exceeded() {
            return false;
        }
        if self.can_add_segment() {
            return true;
        }
        let longest = format::footprint(self.max_shared_payload());
        let is_roomy = |open: &Option<OpenSegment>| {
            open.as_ref().is_some_and(|segment| segment.room() >= longest && self.can_number(segment))
        };
        self.points.hot().any(|point| is_roomy(&lock(&point.open)))
            || is_roomy(&lock(&self.points.cold.open)) && self.has_room_for_survivors()
    }

    /// Whether a segment for new records is ready or can be created.
    pub(crate) fn can_add_segment(&self) -> bool {
        let (has_blanks, reserve) = {
            let spare = lock(&self.spare);
            (!spare.blanks.is_empty(), self.reserve_of(Kind::Hot, &spare))
        };
        has_blanks || self.room() >= self.description.segment_len as u64 + reserve
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

    /// Takes room for the copy of a record by compaction. One segment is open for those of all classes: they have shown
    /// that they do not expire with the records that were written beside them.
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
                if let Some(blank) = self.take_spare(kind) {
                    if let Some(full) = open.take() {
                        full.seal(now_ms);
                    }
                    *open = Some(self.activate(blank, kind, class, now_ms));
                    continue;
                }
            }
            let blank = self.create_blank(kind, Pace::AtOnce)?;
            let mut spare = lock(&self.spare);
            if kind == Kind::Cold && spare.for_survivors.is_none() {
                // A new write must not take it meanwhile: it may be the last that can be had.
                spare.for_survivors = Some(blank);
            } else {
                spare.blanks.push(blank);
            }
        }
    }

    /// Creates a file for a single record, with the record's payload already in it.
    pub(crate) fn create_big(
        &self,
        class: TtlClass,
        payload: &Payload<'_>,
        now_ms: u64,
    ) -> Result<Reservation, StoreError> {
        let file_len = format::big_file_len(payload.len());
        let id = self.fresh_id(FileName::Big);
        let mapping = self.create_file(FileName::Big(id), file_len, Contents::Payload(payload.parts()), Kind::Big)?;
        let segment = self.activate(Blank::new(id, mapping), Kind::Big, class, now_ms);
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
        self.enter(now_ms, |number| blank.activate(number, header, self.directory.lock.clone()))
    }

    /// Gives a segment its number, and its place in the table.
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

    fn take_spare(&self, kind: Kind) -> Option<Blank> {
        let mut spare = lock(&self.spare);
        let blank = spare.take(kind == Kind::Cold)?;
        self.spare_taken.notify_one();
        Some(blank)
    }

    fn create_file(
        &self,
        name: FileName,
        len: usize,
        contents: Contents<'_>,
        kind: Kind,
    ) -> Result<Mapping, StoreError> {
        if self.table.len() >= MAX_SEGMENTS {
            return Err(StoreError::Full);
        }
        let reserve = {
            // The reserve of survivors is a blank or room for one, and does not become the other meanwhile.
            let spare = lock(&self.spare);
            let reserve = self.reserve_of(kind, &spare);
            match kind {
                Kind::Cold => self.space.claim_for_survivors(len as u64)?,
                Kind::Hot | Kind::Big => self.space.claim(len as u64, reserve)?,
            }
            reserve
        };
        let created = self.directory.create_file(name, len, contents, reserve);
        created.map_err(|CreateError { cause, leftover }| {
            match leftover {
                Some(error) => self.deletions.add_failed(Deletion { name, is_temporary: true, len: len as u64 }, error),
                None => self.space.give_back(len as u64),
            }
            cause
        })
    }

    /// Whether a new segment need not be made first.
    pub(crate) fn has_blanks(&self) -> bool {
        !lock(&self.spare).blanks.is_empty()
    }

    /// Room that is left for segments, ready blanks included, in bytes.
    pub(crate) fn headroom(&self) -> u64 {
        let blanks = lock(&self.spare).blanks.len() as u64 * self.description.segment_len as u64;
        self.room().saturating_add(blanks)
    }

    /// Room to leave, within the limit and on the file system. Compaction may use up what new writes must leave: it gives
    /// it back. Where a blank is kept for it, they need not leave any.
    fn reserve_of(&self, kind: Kind, spare: &Spares) -> u64 {
        match kind {
            Kind::Hot | Kind::Big if spare.for_survivors.is_none() => self.description.segment_len as u64,
            Kind::Hot | Kind::Big | Kind::Cold => 0,
        }
    }

    /// An id that no file in the directory has: a new file replaces one of the same name.
    fn fresh_id(&self, name: fn(u32) -> FileName) -> u32 {
        loop {
            let id = self.next_segment_id.fetch_add(1, Ordering::Relaxed);
            if !self.directory.is_taken(name(id)) {
                return id;
            }
        }
    }

    fn create_blank(&self, kind: Kind, pace: Pace) -> Result<Blank, StoreError> {
        // Before the system is asked for a name: a full store comes here with each write.
        if kind != Kind::Cold && self.space.left() < self.description.segment_len as u64 {
            return Err(StoreError::Full);
        }
        let id = self.fresh_id(FileName::Segment);
        let len = self.description.segment_len;
        let mapping = self.create_file(FileName::Segment(id), len, Contents::Blank(pace), kind)?;
        Ok(Blank::new(id, mapping))
    }

    /// Creates blanks until enough are ready; waits up to `wait` for one to be needed, and as long after a failure.
    pub(crate) fn prepare(&self, wait: Duration) -> Result<(), StoreError> {
        let enough = |spare: &mut Spares| spare.blanks.len() >= spare.ready_target();
        let waited = self.spare_taken.wait_timeout_while(lock(&self.spare), wait, enough);
        let (mut spare, _) = waited.unwrap_or_else(PoisonError::into_inner);
        while spare.blanks.len() < spare.ready_target() {
            drop(spare);
            let created = self.create_blank(Kind::Hot, Pace::GivingWay);
            spare = lock(&self.spare);
            match created {
                Ok(blank) => spare.blanks.push(blank),
                Err(error) => {
                    drop(self.spare_taken.wait_timeout(spare, wait));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Closes the append points whose segments hold nothing but dead records, so that these can be taken out of use.
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

    /// Room for files that are not there yet, in bytes.
    pub(super) fn room(&self) -> u64 {
        if !self.directory.mappings.has_room(false) {
            return 0;
        }
        let on_disk = self.directory.available_space().unwrap_or(u64::MAX);
        self.space.left().min(on_disk)
    }

    /// Continues from what recovery found.
    pub(crate) fn resume(&self, next_sequence: u64, next_segment_id: u32, file_bytes: u64) {
        self.sequence.store(next_sequence, Ordering::Relaxed);
        self.next_segment_id.store(next_segment_id, Ordering::Relaxed);
        self.space.resume(file_bytes);
        let blank = lock(&self.spare).blanks.pop();
        blank.into_iter().for_each(|blank| self.keep_blank(blank));
        let segment_len = self.description.segment_len as u64;
        if self.space.left() < segment_len && lock(&self.spare).for_survivors.is_none() {
            self.space.allow_survivors(segment_len);
        }
    }

    /// Takes over a free file that recovery found.
    pub(crate) fn adopt_blank(&self, blank: Blank) {
        lock(&self.spare).blanks.push(blank);
    }

    /// Continues appending to a segment that recovery found half full, unless its class has a fuller one.
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
    use crate::store::{Options, Store, Ttl};

    fn open(dir: &tempfile::TempDir) -> Store {
        Options::new().segment_len(65_536).clock(Clock::manual().0).open(dir.path()).unwrap()
    }

    #[test]
    fn records_of_one_class_lie_together_and_those_of_too_many_classes_share() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        for octave in 0..20u32 {
            for i in 0..3u32 {
                let ttl = Ttl::After(Duration::from_secs(1 << octave));
                store.set_with_ttl(&(octave * 3 + i).to_be_bytes(), b"value", ttl).unwrap();
            }
        }
        assert_eq!(store.stats().segments, crate::store::log::append_points::APPEND_POINTS as u64);
        assert_eq!(store.len(), 60);
    }

    #[test]
    fn a_segment_that_a_reader_holds_is_recycled_when_it_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        store.set(b"key", b"value").unwrap();
        let held = store.get(b"key").unwrap();
        store.delete(b"key").unwrap();
        let spare = |store: &Store| super::lock(&store.shared.engine.log.spare).blanks.len();
        assert_eq!((store.maintain(10).unwrap().retired, spare(&store)), (1, 0));
        for i in 0..500u32 {
            store.set(&i.to_be_bytes(), &[7; 500]).unwrap();
        }
        assert_eq!(held, b"value");
        drop(held);
        let before = spare(&store);
        store.maintain(10).unwrap();
        assert_eq!((spare(&store), super::lock(&store.shared.engine.log.limbo).len()), (before + 1, 0));
    }

    #[test]
    fn blanks_stand_ready_before_they_are_needed() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        store.prepare(Duration::ZERO).unwrap();
        assert_eq!(store.stats().file_bytes, 65_536);
        store.set(b"key", b"value").unwrap();
        store.prepare(Duration::from_secs(60)).unwrap();
        assert_eq!(store.stats().file_bytes, 3 * 65_536, "one in use, two for the next");
    }
}
