//! Slots: which bytes of a segment are a record, what its parts are, and its checksum.

use std::ops::Range;

use super::integers::read_u64;
use super::segment::{RECORDS_OFFSET, footprint};
use super::word::{FLAG_CLIENT_FLAGS, FLAG_VERSION, Word};

/// A slot as it is in memory or on disk: four words that are not verified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawSlot(pub(crate) [u64; 4]);

/// The immutable part of a slot: which bytes of the segment are the record, and their checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) hash: u64,
    /// Sequence of the write minus the segment's base: negative if compaction has copied the record.
    pub(crate) sequence_delta: i32,
    pub(crate) record_offset: u32,
    pub(crate) value_len: u32,
    pub(crate) crc: u32,
}

impl RawSlot {
    pub(crate) fn from_bytes(bytes: &[u8]) -> RawSlot {
        RawSlot(std::array::from_fn(|i| read_u64(bytes, i * 8)))
    }

    pub(crate) fn word(self) -> u64 {
        self.0[3]
    }

    pub(crate) fn slot(self) -> Slot {
        Slot {
            hash: self.0[0],
            sequence_delta: self.0[1] as u32 as i32,
            record_offset: (self.0[1] >> 32) as u32,
            value_len: self.0[2] as u32,
            crc: (self.0[2] >> 32) as u32,
        }
    }
}

impl Slot {
    /// The slot's first three words; the fourth is the [`Word`].
    pub(crate) fn words(&self) -> [u64; 3] {
        [
            self.hash,
            u64::from(self.sequence_delta as u32) | u64::from(self.record_offset) << 32,
            u64::from(self.value_len) | u64::from(self.crc) << 32,
        ]
    }

    /// The layout of the record, if the record is between the header and `records_end`.
    pub(crate) fn layout(&self, word: Word, records_end: usize) -> Option<RecordLayout> {
        let offset = self.record_offset as usize;
        let key_end = offset.checked_add(word.prefix_len())?;
        let key_start = key_end - usize::from(word.key_len);
        let value_end = key_end.checked_add(self.value_len as usize)?;
        let in_bounds = offset >= RECORDS_OFFSET && value_end <= records_end;
        (in_bounds && word.key_len > 0).then_some(RecordLayout { offset, key_start, key_end, value_end })
    }

    /// [`Slot::sequence`], or `None` if it is out of range.
    pub(crate) fn checked_sequence(&self, base: u64) -> Option<u64> {
        base.checked_add_signed(i64::from(self.sequence_delta))
    }

    /// The sequence of the write that created the record, in a segment with this base.
    pub(crate) fn sequence(&self, base: u64) -> u64 {
        base.wrapping_add_signed(i64::from(self.sequence_delta))
    }

    /// The checksum of this slot, computed from that of its payload (client flags, version, key and value).
    pub(crate) fn seal(&self, payload_crc: u32, base: u64, word: Word) -> u32 {
        let mut tail = [0; 40];
        tail[0..8].copy_from_slice(&base.to_le_bytes());
        tail[8..16].copy_from_slice(&self.sequence(base).to_le_bytes());
        tail[16..24].copy_from_slice(&self.hash.to_le_bytes());
        tail[24..28].copy_from_slice(&self.record_offset.to_le_bytes());
        tail[28..32].copy_from_slice(&self.value_len.to_le_bytes());
        tail[32..34].copy_from_slice(&word.key_len.to_le_bytes());
        tail[34] = word.flags & (FLAG_CLIENT_FLAGS | FLAG_VERSION);
        crc32c::crc32c_append(payload_crc, &tail)
    }
}

/// The offsets of the parts of a record in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordLayout {
    pub(crate) offset: usize,
    pub(crate) key_start: usize,
    pub(crate) key_end: usize,
    pub(crate) value_end: usize,
}

impl RecordLayout {
    pub(crate) fn key(&self) -> Range<usize> {
        self.key_start..self.key_end
    }

    pub(crate) fn value(&self) -> Range<usize> {
        self.key_end..self.value_end
    }

    pub(crate) fn payload(&self) -> Range<usize> {
        self.offset..self.value_end
    }

    /// The length of the record with its slot.
    pub(crate) fn footprint(&self) -> usize {
        footprint(self.value_end - self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn layouts_of_arbitrary_slots_stay_in_bounds(raw in any::<[u64; 4]>(), records_end in 0..1usize << 40) {
            let slot = RawSlot(raw);
            if let Some(word) = Word::decode(slot.word())
                && let Some(layout) = slot.slot().layout(word, records_end)
            {
                prop_assert!(layout.offset >= RECORDS_OFFSET && layout.value_end <= records_end);
                prop_assert!(layout.offset <= layout.key_start && layout.key_start < layout.key_end);
                prop_assert!(layout.key_end <= layout.value_end);
            }
        }
    }

    #[test]
    fn slots_survive_the_round_trip() {
        let slot = Slot { hash: 1 << 63, sequence_delta: -2, record_offset: 3 << 30, value_len: u32::MAX, crc: 5 };
        let [a, b, c] = slot.words();
        assert_eq!(RawSlot([a, b, c, 9]).slot(), slot);
    }
}
