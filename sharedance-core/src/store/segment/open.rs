//! The right to append to a segment.

use std::ops::Deref;

use crate::store::disk::format::{
    self, RECORDS_OFFSET, RESERVATION_OFFSET, Reserved, SLOT_LEN, STATE_OFFSET, State, Word,
};
use crate::store::primitives::Arc;
use crate::store::primitives::atomic::Ordering;
use crate::store::segment::payload::Payload;
use crate::store::segment::reservation::Reservation;
use crate::store::segment::sealed::Segment;

/// The maximum length of the prefetch for the next record, in bytes. Beyond it the processor predicts the accesses
/// itself.
const PREFETCH_LEN: usize = 4096;

/// The exclusive right to append to a segment, until it is sealed.
///
/// Each segment has at most one: it is created from a segment by value, and holds a reference, which prevents that the
/// segment is taken by value again.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    segment: Arc<Segment>,
}

impl OpenSegment {
    pub(crate) fn new(segment: Segment) -> OpenSegment {
        OpenSegment { segment: Arc::new(segment) }
    }

    /// Reserves space for a record with this payload; `None` if it does not fit.
    pub(crate) fn reserve(&mut self, payload: &Payload<'_>) -> Option<Reservation> {
        let segment = &self.segment;
        let footprint = format::footprint(payload.len());
        if footprint > segment.room() {
            return None;
        }
        let reserved = segment.reserved();
        segment.in_flight.fetch_add(1, Ordering::AcqRel);
        segment.live_bytes.fetch_add(footprint as u64, Ordering::Relaxed);
        // The slot may contain bytes of a record of an earlier incarnation.
        segment.slot_word(reserved.slots).store(Word::EMPTY, Ordering::Relaxed);
        let offset = reserved.write_offset as usize;
        let end = offset + footprint - SLOT_LEN;
        set_reserved(segment, Reserved { write_offset: end as u32, slots: reserved.slots + 1 });
        // For the next record, if that is as long as this one: its memory is fetched while this one is written.
        segment.mapping.prefetch_for_writing(end..end + (end - offset).min(PREFETCH_LEN));
        Some(Reservation {
            segment: segment.clone(),
            slot: reserved.slots,
            offset,
            payload_len: payload.len(),
            payload_crc: payload.crc(),
            committed: false,
        })
    }

    /// The only reservation of a segment with a single big record. The file already contains its payload.
    pub(crate) fn reserve_written(self, payload: &Payload<'_>, now_ms: u64) -> Reservation {
        let segment = self.segment;
        segment.in_flight.fetch_add(1, Ordering::AcqRel);
        segment.live_bytes.fetch_add(format::footprint(payload.len()) as u64, Ordering::Relaxed);
        set_reserved(&segment, Reserved { write_offset: RECORDS_OFFSET as u32, slots: 1 });
        segment.sealed_at.store(now_ms + 1, Ordering::Release);
        Reservation {
            segment,
            slot: 0,
            offset: RECORDS_OFFSET,
            payload_len: payload.len(),
            payload_crc: payload.crc(),
            committed: false,
        }
    }

    /// Seals the segment.
    pub(crate) fn seal(self, now_ms: u64) -> Arc<Segment> {
        let segment = self.segment;
        segment.mapping.word(STATE_OFFSET).store(State::Sealed.word(), Ordering::Release);
        segment.mapping.note_change();
        segment.sealed_at.store(now_ms + 1, Ordering::Release);
        segment
    }

    /// Seals a segment whose reservation word recovery found damaged, and replaces that word with `reserved`.
    pub(crate) fn seal_at(self, reserved: Reserved, now_ms: u64) -> Arc<Segment> {
        set_reserved(&self.segment, reserved);
        self.seal(now_ms)
    }
}

impl Deref for OpenSegment {
    type Target = Arc<Segment>;

    fn deref(&self) -> &Arc<Segment> {
        &self.segment
    }
}

fn set_reserved(segment: &Segment, reserved: Reserved) {
    segment.slots.store(reserved.slots, Ordering::Relaxed);
    segment.mapping.word(RESERVATION_OFFSET).store(reserved.word(), Ordering::Release);
}
