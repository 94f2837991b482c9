//! The files of the segments: creates them, keeps some ready, deletes them, and accounts for their space.
//!
//! The mutex of the spare blanks is not held during a file operation.

use std::time::Duration;

use crate::store::disk::allocation::{Contents, Pace};
use crate::store::disk::deletions::{Deletion, Deletions};
use crate::store::disk::directory::{CreateError, Directory};
use crate::store::disk::file_name::FileName;
use crate::store::disk::format::{self, Kind};
use crate::store::disk::mapping::Mapping;
use crate::store::disk::space::Space;
use crate::store::error::StoreError;
use crate::store::index::MAX_SEGMENTS;
use crate::store::log::spares::Spares;
use crate::store::primitives::atomic::{AtomicU32, Ordering};
use crate::store::primitives::{Condvar, Mutex, MutexGuard, PoisonError};
use crate::store::segment::blank::Blank;
use crate::store::segment::payload::Payload;

#[derive(Debug)]
pub(crate) struct SegmentFiles {
    pub(crate) directory: Directory,
    segment_len: usize,
    next_id: AtomicU32,
    spare: Mutex<Spares>,
    spare_taken: Condvar,
    /// A thread that was creating a blank has ended.
    creation_ended: Condvar,
    pub(crate) space: Space,
    /// Files out of use that could not be deleted.
    pub(crate) deletions: Deletions,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SegmentFiles {
    /// `max_bytes` limits the space of all files together.
    pub(super) fn new(directory: Directory, segment_len: usize, max_bytes: Option<u64>) -> SegmentFiles {
        SegmentFiles {
            directory,
            segment_len,
            next_id: AtomicU32::new(0),
            spare: Mutex::default(),
            spare_taken: Condvar::new(),
            creation_ended: Condvar::new(),
            space: Space::new(max_bytes),
            deletions: Deletions::default(),
        }
    }

    /// Takes the blank that is ready for a segment of this kind.
    pub(super) fn take_spare(&self, kind: Kind) -> Option<Blank> {
        let mut spare = lock(&self.spare);
        let blank = spare.take(kind == Kind::Cold)?;
        self.spare_taken.notify_one();
        Some(blank)
    }

    /// Creates a blank for a segment of this kind, and keeps it ready.
    ///
    /// # Errors
    /// [`StoreError::Full`] if there is no space for a file.
    pub(super) fn create_spare(&self, kind: Kind, segments_in_use: usize) -> Result<(), StoreError> {
        if kind == Kind::Hot {
            return match self.create_hot(Pace::AtOnce, segments_in_use) {
                // The space may have gone into the blank that another thread is creating.
                Err(StoreError::Full) if self.wait_for_blank() => Ok(()),
                created => created,
            };
        }
        let blank = self.create_blank(kind, Pace::AtOnce, segments_in_use)?;
        let mut spare = lock(&self.spare);
        if spare.for_survivors.is_none() {
            // Reserved, because it may be the last one: a new write must not take it.
            spare.for_survivors = Some(blank);
        } else {
            spare.blanks.push(blank);
        }
        Ok(())
    }

    /// Creates a blank for new writes, and keeps it ready.
    fn create_hot(&self, pace: Pace, segments_in_use: usize) -> Result<(), StoreError> {
        lock(&self.spare).in_creation += 1;
        let created = self.create_blank(Kind::Hot, pace, segments_in_use);
        let mut spare = lock(&self.spare);
        spare.in_creation -= 1;
        let created = created.map(|blank| spare.blanks.push(blank));
        self.creation_ended.notify_all();
        created
    }

    /// Waits until a blank is ready, as long as a thread is creating one. Returns whether one is ready.
    fn wait_for_blank(&self) -> bool {
        let mut spare = lock(&self.spare);
        while spare.blanks.is_empty() && spare.in_creation > 0 {
            spare = self.creation_ended.wait(spare).unwrap_or_else(PoisonError::into_inner);
        }
        !spare.blanks.is_empty()
    }

    /// Creates a file for a single record. It contains the record's payload.
    pub(super) fn create_big(&self, payload: &Payload<'_>, segments_in_use: usize) -> Result<Blank, StoreError> {
        let file_len = format::big_file_len(payload.len());
        let id = self.fresh_id(FileName::Big);
        let contents = Contents::Payload(payload.parts());
        let mapping = self.create(FileName::Big(id), file_len, contents, Kind::Big, segments_in_use)?;
        Ok(Blank::new(id, mapping))
    }

    /// Creates blanks until enough are ready. Waits up to `wait` until one is needed, and as long after a failure. The wait
    /// ends early once `is_over` returns true and [`SegmentFiles::end_waits`] is called.
    pub(super) fn prepare(
        &self,
        wait: Duration,
        is_over: impl Fn() -> bool,
        segments_in_use: impl Fn() -> usize,
    ) -> Result<(), StoreError> {
        let enough = |spare: &mut Spares| spare.blanks.len() >= spare.ready_target() && !is_over();
        let waited = self.spare_taken.wait_timeout_while(lock(&self.spare), wait, enough);
        let (mut spare, _) = waited.unwrap_or_else(PoisonError::into_inner);
        while spare.blanks.len() < spare.ready_target() {
            drop(spare);
            let created = self.create_hot(Pace::GivingWay, segments_in_use());
            spare = lock(&self.spare);
            if let Err(error) = created {
                drop(self.spare_taken.wait_timeout(spare, wait));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Ends the waits in [`SegmentFiles::prepare`] that are over.
    pub(super) fn end_waits(&self) {
        // Under the lock: a thread that has found that its wait is not over is waiting by then.
        let _spare = lock(&self.spare);
        self.spare_taken.notify_all();
    }

    fn create_blank(&self, kind: Kind, pace: Pace, segments_in_use: usize) -> Result<Blank, StoreError> {
        // Checked before any system call, because every write to a full store gets here.
        if kind != Kind::Cold && self.space.left() < self.segment_len as u64 {
            return Err(StoreError::Full);
        }
        let id = self.fresh_id(FileName::Segment);
        let mapping =
            self.create(FileName::Segment(id), self.segment_len, Contents::Blank(pace), kind, segments_in_use)?;
        Ok(Blank::new(id, mapping))
    }

    fn create(
        &self,
        name: FileName,
        len: usize,
        contents: Contents<'_>,
        kind: Kind,
        segments_in_use: usize,
    ) -> Result<Mapping, StoreError> {
        if segments_in_use >= MAX_SEGMENTS {
            return Err(StoreError::Full);
        }
        let reserve = {
            // Under the mutex, so that the reserve of survivors does not change from a blank to space or back meanwhile.
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

    /// An id that no file in the directory has: a new file would replace one of the same name.
    fn fresh_id(&self, name: fn(u32) -> FileName) -> u32 {
        loop {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            if !self.directory.is_taken(name(id)) {
                return id;
            }
        }
    }

    /// The space that a new file must leave, within the limit and on the file system, so that compaction can work. A
    /// file for compaction leaves none, because compaction frees more than it takes. No file needs to leave space while
    /// a blank is reserved for compaction.
    fn reserve_of(&self, kind: Kind, spare: &Spares) -> u64 {
        match kind {
            Kind::Hot | Kind::Big if spare.for_survivors.is_none() => self.segment_len as u64,
            Kind::Hot | Kind::Big | Kind::Cold => 0,
        }
    }

    /// Space for files that do not exist yet, in bytes.
    pub(super) fn room(&self) -> u64 {
        if !self.directory.mappings.has_room(false) {
            return 0;
        }
        let on_disk = self.directory.available_space().unwrap_or(u64::MAX);
        self.space.left().min(on_disk)
    }

    /// Space for segments, ready blanks included, in bytes.
    pub(crate) fn headroom(&self) -> u64 {
        let blanks = lock(&self.spare).blanks.len() as u64 * self.segment_len as u64;
        self.room().saturating_add(blanks)
    }

    /// Whether a blank for new records is ready.
    pub(crate) fn has_blanks(&self) -> bool {
        !lock(&self.spare).blanks.is_empty()
    }

    /// Whether a segment for new records is ready or can be created.
    pub(crate) fn can_add_segment(&self) -> bool {
        let (has_blanks, reserve) = {
            let spare = lock(&self.spare);
            (!spare.blanks.is_empty(), self.reserve_of(Kind::Hot, &spare))
        };
        has_blanks || self.room() >= self.segment_len as u64 + reserve
    }

    /// Whether compaction has a segment for its survivors. This does not change while the caller holds the mutex of the
    /// cold append point.
    pub(super) fn has_room_for_survivors(&self) -> bool {
        let has_blank = lock(&self.spare).for_survivors.is_some();
        has_blank || self.room() >= self.segment_len as u64
    }

    /// Whether a segment that is out of use should become a blank. Otherwise its file is deleted.
    pub(super) fn wants_blank(&self) -> bool {
        let spare = lock(&self.spare);
        match self.space.is_exceeded() {
            false => spare.blanks.len() < spare.keep_target(),
            true => spare.for_survivors.is_none(),
        }
    }

    /// Keeps a blank ready; it is reserved for survivors if there is neither another one nor space for one.
    pub(super) fn keep_blank(&self, blank: Blank) {
        let is_last = self.room() < self.segment_len as u64;
        let mut spare = lock(&self.spare);
        if is_last && spare.for_survivors.is_none() {
            spare.for_survivors = Some(blank);
        } else {
            spare.blanks.push(blank);
        }
    }

    /// Keeps a free file that recovery found.
    pub(crate) fn adopt_blank(&self, blank: Blank) {
        lock(&self.spare).blanks.push(blank);
    }

    /// Once a second: updates the estimate of how many blanks are needed, and deletes the others.
    pub(super) fn update_demand(&self, segments_in_use: usize) {
        let segment_len = self.segment_len as u64;
        let has_room = self.room() >= segment_len;
        let surplus = {
            let mut spare = lock(&self.spare);
            if has_room
                && self.space.left() >= segment_len
                && let Some(blank) = spare.for_survivors.take()
            {
                spare.blanks.push(blank);
            }
            spare.update_demand(segments_in_use);
            let keep = if self.space.is_exceeded() { 0 } else { spare.keep_target() };
            let surplus = spare.blanks.len().saturating_sub(keep);
            spare.blanks.drain(..surplus).collect()
        };
        self.delete_all(surplus);
    }

    /// Deletes the ready blanks, which frees their space.
    pub(crate) fn delete_blanks(&self) {
        let blanks = std::mem::take(&mut lock(&self.spare).blanks);
        self.delete_all(blanks);
    }

    fn delete_all(&self, blanks: Vec<Blank>) {
        for blank in blanks {
            self.delete(FileName::Segment(blank.segment_id), blank.file_len());
        }
    }

    /// Deletes a file. A deletion that fails is tried again.
    pub(super) fn delete(&self, name: FileName, len: usize) {
        let deletion = Deletion { name, is_temporary: false, len: len as u64 };
        self.deletions.delete(&self.directory, &self.space, deletion);
    }

    /// Tries again to delete the files that could not be deleted, if enough time has passed.
    pub(crate) fn retry_deletions(&self, now_ms: u64) {
        self.deletions.retry_if_due(&self.directory, &self.space, now_ms);
    }

    /// The same at once, for a writer that found no space.
    pub(crate) fn retry_deletions_now(&self) {
        self.deletions.retry(&self.directory, &self.space);
    }

    /// Continues from what recovery found.
    pub(super) fn resume(&self, next_id: u32, file_bytes: u64) {
        self.next_id.store(next_id, Ordering::Relaxed);
        self.space.resume(file_bytes);
        let blank = lock(&self.spare).blanks.pop();
        blank.into_iter().for_each(|blank| self.keep_blank(blank));
        let segment_len = self.segment_len as u64;
        if self.space.left() < segment_len && lock(&self.spare).for_survivors.is_none() {
            self.space.allow_survivors(segment_len);
        }
    }
}

#[cfg(test)]
impl SegmentFiles {
    pub(super) fn blanks(&self) -> usize {
        lock(&self.spare).blanks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::primitives::thread;

    const SEGMENT_LEN: usize = 65_536;

    #[test]
    fn a_writer_is_not_refused_while_another_thread_makes_the_last_space_a_blank() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        let files = SegmentFiles::new(directory, SEGMENT_LEN, Some(2 * SEGMENT_LEN as u64));
        lock(&files.spare).in_creation += 1;
        let blank = files.create_blank(Kind::Hot, Pace::AtOnce, 0).unwrap();
        thread::scope(|scope| {
            let writer = scope.spawn(|| files.create_spare(Kind::Hot, 0));
            let mut spare = lock(&files.spare);
            spare.in_creation -= 1;
            spare.blanks.push(blank);
            files.creation_ended.notify_all();
            drop(spare);
            writer.join().unwrap().unwrap();
        });
        assert!(files.take_spare(Kind::Hot).is_some());
        assert!(matches!(files.create_spare(Kind::Hot, 0), Err(StoreError::Full)), "no thread creates another one");
    }
}
