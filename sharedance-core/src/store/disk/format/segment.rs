//! A segment file: where its parts are, its header, and the two words after it.

use super::integers::{read_u32, read_u64};

/// Where records begin: one page, so that no record shares a page with the header.
pub(crate) const RECORDS_OFFSET: usize = 4096;
pub(crate) const HEADER_LEN: usize = 64;
pub(crate) const STATE_OFFSET: usize = HEADER_LEN;
pub(crate) const RESERVATION_OFFSET: usize = STATE_OFFSET + 8;
pub(crate) const SLOT_LEN: usize = 32;
pub(crate) const RECORD_ALIGN: usize = 16;

/// The longest segment. Longer ones would free too much space at a time.
pub(crate) const MAX_SEGMENT_LEN: usize = 256 * 1024 * 1024;
pub(crate) const FORMAT_VERSION: u32 = 1;
/// No store lives long enough to reach this number: a file with a greater one is damaged.
pub(crate) const MAX_SEQUENCE: u64 = 1 << 62;
pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"SHDSEGM\x01";

const _: () = assert!(RESERVATION_OFFSET + 8 <= RECORDS_OFFSET);
const _: () = assert!(RECORDS_OFFSET.is_multiple_of(RECORD_ALIGN));
const _: () = assert!(64_usize.is_multiple_of(SLOT_LEN), "a slot never crosses a cache line");

pub(crate) fn align_up(len: usize, to: usize) -> usize {
    len.next_multiple_of(to)
}

/// The length of a file that holds one record of `payload_len` bytes and its slot, in whole pages.
pub(crate) fn big_file_len(payload_len: usize) -> usize {
    align_up(RECORDS_OFFSET + align_up(payload_len, RECORD_ALIGN) + SLOT_LEN, RECORDS_OFFSET)
}

/// The length of a record of `payload_len` bytes in its segment, with its slot.
pub(crate) fn footprint(payload_len: usize) -> usize {
    align_up(payload_len, RECORD_ALIGN) + SLOT_LEN
}

/// What a segment's records have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// New writes.
    Hot,
    /// Records that compaction copied.
    Cold,
    /// A single record, in a file of its own size.
    Big,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Kind::Hot => 0,
            Kind::Cold => 1,
            Kind::Big => 2,
        }
    }

    fn from_code(code: u8) -> Option<Kind> {
        match code {
            0 => Some(Kind::Hot),
            1 => Some(Kind::Cold),
            2 => Some(Kind::Big),
            _ => None,
        }
    }
}

/// The header of a segment, written once each time the segment is activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) store_id: u64,
    /// The sequence to which the slots' sequences are relative. It is taken from the store's sequence each time
    /// the segment is activated, so it also identifies the incarnation of the segment.
    pub(crate) base: u64,
    pub(crate) segment_id: u32,
    pub(crate) kind: Kind,
    pub(crate) ttl_class: u8,
    /// The length of the file in bytes.
    pub(crate) file_len: u64,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..16].copy_from_slice(&self.store_id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.base.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.segment_id.to_le_bytes());
        bytes[28] = self.kind.code();
        bytes[29] = self.ttl_class;
        bytes[32..40].copy_from_slice(&self.file_len.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..HEADER_LEN - 4]);
        bytes[HEADER_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header in `bytes`, if its magic and its checksum are correct.
    pub(crate) fn verify(bytes: &[u8; HEADER_LEN]) -> Option<Header> {
        let crc = crc32c::crc32c(&bytes[..HEADER_LEN - 4]);
        if bytes[0..8] != SEGMENT_MAGIC || bytes[HEADER_LEN - 4..] != crc.to_le_bytes() {
            return None;
        }
        Some(Header {
            store_id: read_u64(bytes, 8),
            base: read_u64(bytes, 16),
            segment_id: read_u32(bytes, 24),
            kind: Kind::from_code(bytes[28])?,
            ttl_class: bytes[29],
            file_len: read_u64(bytes, 32),
        })
    }
}

/// What a segment file is used for. The words differ in many bits: a flipped bit does not turn one into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It contains no records, whatever its bytes are.
    Free,
    /// Records are being appended.
    Active,
    /// No more records will be appended.
    Sealed,
}

impl State {
    pub(crate) fn word(self) -> u64 {
        match self {
            State::Free => 0,
            State::Active => 0xa5c3_96e1_5a3c_691e,
            State::Sealed => 0x3c5a_e169_c3a5_1e96,
        }
    }

    pub(crate) fn from_word(word: u64) -> Option<State> {
        [State::Free, State::Active, State::Sealed].into_iter().find(|state| state.word() == word)
    }
}

/// How much of a segment is reserved: one word, so that both parts change at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reserved {
    /// The offset of the next record.
    pub(crate) write_offset: u32,
    /// The number of slots in use.
    pub(crate) slots: u32,
}

impl Reserved {
    pub(crate) const NOTHING: Reserved = Reserved { write_offset: RECORDS_OFFSET as u32, slots: 0 };

    pub(crate) fn word(self) -> u64 {
        u64::from(self.write_offset) | u64::from(self.slots) << 32
    }

    pub(crate) fn from_word(word: u64) -> Reserved {
        Reserved { write_offset: word as u32, slots: (word >> 32) as u32 }
    }

    /// Whether a segment of `file_len` bytes can have this much in it.
    pub(crate) fn is_plausible(self, file_len: usize) -> bool {
        let records_end = self.write_offset as usize;
        let slots_len = (self.slots as usize).saturating_mul(SLOT_LEN);
        records_end >= RECORDS_OFFSET && slots_len <= file_len && records_end <= file_len - slots_len
    }
}

/// The offset of slot `slot` in a file of `file_len` bytes.
pub(crate) fn slot_offset(file_len: usize, slot: u32) -> usize {
    file_len - SLOT_LEN * (slot as usize + 1)
}

/// The number of slots that fit between the start of the records and the end of the file.
pub(crate) fn max_slots(file_len: usize) -> u32 {
    ((file_len - RECORDS_OFFSET) / SLOT_LEN) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_flipped_bit_of_a_header_shows(base in any::<u64>(), id in any::<u32>(), bit in 0..HEADER_LEN * 8) {
            let header =
                Header { store_id: 7, base, segment_id: id, kind: Kind::Cold, ttl_class: 44, file_len: 1 << 23 };
            let mut bytes = header.encode();
            prop_assert_eq!(Header::verify(&bytes), Some(header));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Header::verify(&bytes), None);
        }
    }

    #[test]
    fn states_are_far_apart() {
        let words = [State::Free, State::Active, State::Sealed].map(State::word);
        for (i, a) in words.iter().enumerate() {
            assert_eq!(State::from_word(*a).map(State::word), Some(*a));
            for b in &words[i + 1..] {
                assert!((a ^ b).count_ones() > 16);
            }
        }
    }
}
