//! What happens to the files of segments that are no longer in use: they are recycled, kept, or deleted.

use crate::store::disk::deletions::Deletion;
use crate::store::disk::file_name::FileName;
use crate::store::disk::format::Kind;
use crate::store::log::segment_log::{Log, lock};
use crate::store::primitives::Arc;
use crate::store::segment::blank::Blank;
use crate::store::segment::sealed::Segment;

impl Log {
    /// Takes a spent segment out of use. No shard of the index holds it. Its file is recycled, at once or when
    /// its last reader is done with it, or deleted; a deletion that fails is tried again.
    pub(crate) fn retire(&self, segment: Arc<Segment>) {
        self.table.remove(&segment);
        if segment.header.kind == Kind::Big {
            return self.delete_file(FileName::Big(segment.header.segment_id), segment.file_len());
        }
        self.recycle(segment);
    }

    /// Tries again to recycle the segments that readers held.
    pub(crate) fn recycle_limbo(&self) {
        let waiting = std::mem::take(&mut *lock(&self.limbo));
        waiting.into_iter().for_each(|segment| self.recycle(segment));
    }

    fn recycle(&self, segment: Arc<Segment>) {
        let keep = {
            let spare = lock(&self.spare);
            match self.space.is_exceeded() {
                false => spare.blanks.len() < spare.keep_target(),
                true => spare.for_survivors.is_none(),
            }
        };
        if !keep {
            // A reader's mapping outlives the name.
            return self.delete_file(FileName::Segment(segment.header.segment_id), segment.file_len());
        }
        match Arc::try_unwrap(segment) {
            Ok(segment) => {
                let blank = segment.into_blank();
                self.keep_blank(blank);
            }
            Err(held) => lock(&self.limbo).push(held),
        }
    }

    /// Keeps a blank for use: for survivors, where it is the only one that can be had for them.
    pub(super) fn keep_blank(&self, blank: Blank) {
        let is_last = self.room() < self.description.segment_len as u64;
        let mut spare = lock(&self.spare);
        if is_last && spare.for_survivors.is_none() {
            spare.for_survivors = Some(blank);
        } else {
            spare.blanks.push(blank);
        }
    }

    /// Once a second: learns how fast blanks are used up, and deletes those beyond what that calls for.
    pub(crate) fn note_demand(&self) {
        let segment_len = self.description.segment_len as u64;
        let has_room = self.room() >= segment_len;
        let segments_in_use = self.table.len();
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

    /// Deletes the ready blanks, which gives their room back.
    pub(crate) fn delete_blanks(&self) {
        let blanks = std::mem::take(&mut lock(&self.spare).blanks);
        self.delete_all(blanks);
    }

    fn delete_all(&self, blanks: Vec<Blank>) {
        for blank in blanks {
            self.delete_file(FileName::Segment(blank.segment_id), blank.file_len());
        }
    }

    fn delete_file(&self, name: FileName, len: usize) {
        let deletion = Deletion { name, is_temporary: false, len: len as u64 };
        self.deletions.delete(&self.directory, &self.space, deletion);
    }

    /// Tries again to delete the files that could not be deleted.
    pub(crate) fn retry_deletions(&self, now_ms: u64) {
        self.deletions.retry_if_due(&self.directory, &self.space, now_ms);
    }

    /// The same for a writer that found no room: at once.
    pub(crate) fn retry_deletions_now(&self) {
        self.deletions.retry(&self.directory, &self.space);
    }
}
