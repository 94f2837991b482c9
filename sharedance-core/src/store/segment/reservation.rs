//! The right to write one record.

#![allow(unsafe_code)]

use crate::store::disk::format::{self, Slot, Word};
use crate::store::primitives::Arc;
use crate::store::primitives::atomic::Ordering;
use crate::store::segment::payload::Payload;
use crate::store::segment::sealed::Segment;

/// The exclusive right to write one record into a segment. If it is dropped without a commit, its slot stays empty, and
/// its space is released with the segment.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(super) segment: Arc<Segment>,
    pub(super) slot: u32,
    pub(super) offset: usize,
    pub(super) payload_len: usize,
    pub(super) payload_crc: u32,
    pub(super) committed: bool,
}

impl Reservation {
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    pub(crate) fn record_offset(&self) -> u32 {
        self.offset as u32
    }

    /// Writes the payload, which must be the one for which the space was reserved.
    ///
    /// # Panics
    /// If it has another length or checksum.
    pub(crate) fn fill(&mut self, payload: &Payload<'_>) {
        assert_eq!((payload.len(), payload.crc()), (self.payload_len, self.payload_crc));
        let mut written = 0;
        for part in payload.parts() {
            // SAFETY: `OpenSegment::reserve` gave the range to this reservation only, and `&mut self` excludes a
            // concurrent `fill`. No slice covers the range: `Segment::committed` creates slices from committed slots,
            // and the commit takes `self`. `part` does not overlap it, because it is a slice.
            unsafe { self.segment.mapping.copy_in(self.offset + written, part) };
            written += part.len();
        }
    }

    /// Commits the record by the store of its word. The caller holds the key's shard for writing, so that the order of
    /// the sequences is the order in the index.
    pub(crate) fn commit(mut self, hash: u64, sequence: u64, word: Word) {
        let segment = &self.segment;
        let mut slot = Slot {
            hash,
            sequence_delta: sequence.wrapping_sub(segment.header.base) as i32,
            record_offset: self.offset as u32,
            value_len: (self.payload_len - word.prefix_len()) as u32,
            crc: 0,
        };
        slot.crc = slot.seal(self.payload_crc, segment.header.base, word);
        segment.live_records.fetch_add(1, Ordering::AcqRel);
        let at = format::slot_offset(segment.file_len(), self.slot);
        for (i, part) in slot.words().into_iter().enumerate() {
            segment.mapping.word(at + i * 8).store(part, Ordering::Relaxed);
        }
        segment.slot_word(self.slot).store(word.encode(), Ordering::Release);
        segment.mapping.note_change();
        segment.expect_expiry(word.deadline);
        self.committed = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.committed {
            let footprint = format::footprint(self.payload_len) as u64;
            self.segment.live_bytes.fetch_sub(footprint, Ordering::Relaxed);
        }
        self.segment.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
