//! Where a record is, as the index stores it: in eight bytes.

use crate::store::disk::format::{MAX_SEGMENT_LEN, RECORD_ALIGN, SLOT_LEN};
use crate::store::segment::record::RecordRef;

/// The segment, by its number, and the slot of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) segment: u32,
    pub(crate) slot: u32,
}

impl Location {
    pub(crate) fn of(record: &RecordRef<'_>) -> Location {
        Location { segment: record.segment().number, slot: record.slot() }
    }
}

/// A location and the offset of the record, which [`Packing`] puts into one word. The offset is in the slot too; here it
/// lets the processor fetch slot and record from memory at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

/// The bits of slot and offset in a [`Place`]: enough for each one in a segment. The segment's number has the others, at
/// least as many as [`MAX_SEGMENTS`] needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    offset_bits: u32,
    slot_bits: u32,
}

/// The maximum number of segments.
pub(crate) const MAX_SEGMENTS: usize = 1 << 17;

const _: () = {
    let longest = Packing::of(MAX_SEGMENT_LEN);
    assert!(longest.offset_bits + longest.slot_bits + MAX_SEGMENTS.ilog2() <= u64::BITS);
};

impl Packing {
    pub(super) const fn of(segment_len: usize) -> Packing {
        Packing { offset_bits: (segment_len / RECORD_ALIGN).ilog2(), slot_bits: (segment_len / SLOT_LEN).ilog2() }
    }

    pub(super) fn pack(self, location: Location, record_offset: u32) -> Place {
        let offset = u64::from(record_offset) / RECORD_ALIGN as u64;
        let slot = u64::from(location.slot) << self.offset_bits;
        Place(u64::from(location.segment) << (self.offset_bits + self.slot_bits) | slot | offset)
    }

    pub(super) fn location(self, place: Place) -> Location {
        let slot_mask = (1 << self.slot_bits) - 1;
        Location {
            segment: (place.0 >> (self.offset_bits + self.slot_bits)) as u32,
            slot: (place.0 >> self.offset_bits & slot_mask) as u32,
        }
    }

    pub(super) fn record_offset(self, place: Place) -> usize {
        (place.0 & ((1 << self.offset_bits) - 1)) as usize * RECORD_ALIGN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_numbers_fit_into_a_place() {
        for segment_len in [65_536, MAX_SEGMENT_LEN] {
            let packing = Packing::of(segment_len);
            let location = Location { segment: MAX_SEGMENTS as u32 - 1, slot: (segment_len / SLOT_LEN) as u32 - 1 };
            let offset = segment_len - RECORD_ALIGN;
            let place = packing.pack(location, offset as u32);
            assert_eq!((packing.location(place), packing.record_offset(place)), (location, offset));
            let first = Location { segment: 0, slot: 0 };
            assert_eq!(packing.location(packing.pack(first, offset as u32)), first);
        }
    }
}
