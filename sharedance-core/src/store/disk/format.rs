//! The bytes on disk: headers, slots, records; layout and checksums. No file is opened here.
//!
//! `FORMAT.md` is the normative text. All integers are little-endian.
//!
//! ```text
//! segment file      0 ┌──────────────────────────┐
//!                     │ header (60 + crc 4)      │
//!                  64 │ state word       (u64)   │
//!                  72 │ reservation word (u64)   │
//!                4096 ├──────────────────────────┤
//!                     │ records, 16-aligned  ──► │
//!                     │                          │
//!                     │ ◄── slots, 32 bytes each │
//!                     │ … slot 1, slot 0         │
//!     length of file  └──────────────────────────┘
//!
//! slot              0   8          12       16         20    24
//!                   hash sequence−base offset value_len crc32c word
//!
//! word     bits     0–1    2–5   6–11   12–23    24–63
//!                   state  flags check  key_len  deadline in store milliseconds
//! ```

use std::ops::Range;
use std::time::Duration;

/// Where records begin: one page, so that no record shares a page with the header.
pub(crate) const RECORDS_OFFSET: usize = 4096;
pub(crate) const HEADER_LEN: usize = 64;
pub(crate) const STATE_OFFSET: usize = HEADER_LEN;
pub(crate) const RESERVATION_OFFSET: usize = STATE_OFFSET + 8;
pub(crate) const SLOT_LEN: usize = 32;
pub(crate) const RECORD_ALIGN: usize = 16;
pub(crate) const CLIENT_FLAGS_LEN: usize = 4;
pub(crate) const VERSION_LEN: usize = 8;

/// Above, recycling comes in lumps that are too large.
pub(crate) const MAX_SEGMENT_LEN: usize = 256 * 1024 * 1024;
pub(crate) const FORMAT_VERSION: u32 = 1;
/// No store lives long enough to count this far: what says so is not believed.
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

/// The head of a segment, written once each time it is put to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) store_id: u64,
    /// The sequence to which the slots' sequences are relative. It is taken from the store's sequence each time
    /// the segment is put to use, so it also tells one incarnation of the segment from the next.
    pub(crate) base: u64,
    pub(crate) segment_id: u32,
    pub(crate) kind: Kind,
    pub(crate) ttl_class: u8,
    /// Bytes of the whole file.
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

    /// The header that `bytes` hold, where magic and checksum say that they hold one.
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

/// What a segment file is being used for. The words differ in many bits, so that no flipped bit makes one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing in it counts, whatever it holds.
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

/// How much of a segment is taken: one word, so that it is never seen half-changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reserved {
    /// Where the next record goes.
    pub(crate) write_offset: u32,
    /// How many slots are taken.
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

    /// Whether a segment of `file_len` bytes can have been filled this far.
    pub(crate) fn is_plausible(self, file_len: usize) -> bool {
        let records_end = self.write_offset as usize;
        let slots_len = (self.slots as usize).saturating_mul(SLOT_LEN);
        records_end >= RECORDS_OFFSET && slots_len <= file_len && records_end <= file_len - slots_len
    }
}

/// Where slot `slot` of a file of `file_len` bytes stands.
pub(crate) fn slot_offset(file_len: usize, slot: u32) -> usize {
    file_len - SLOT_LEN * (slot as usize + 1)
}

/// How many slots fit between the records' start and the end of the file.
pub(crate) fn max_slots(file_len: usize) -> u32 {
    ((file_len - RECORDS_OFFSET) / SLOT_LEN) as u32
}

/// A record's state, key length and deadline in one word: storing it commits the record, and marks it dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) state: RecordState,
    pub(crate) flags: u8,
    pub(crate) key_len: u16,
    pub(crate) deadline: Deadline,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordState {
    Live,
    /// Another record took its place.
    Dead,
    /// Nothing took its place: it was deleted, expired or evicted. After a crash of the system, which may have brought
    /// back what it had replaced, nothing older of its key counts.
    Gone,
}

/// Four bytes of client flags stand before the key.
pub(crate) const FLAG_CLIENT_FLAGS: u8 = 1;
/// Eight bytes of a version that the caller chose stand before the key, behind the client flags.
pub(crate) const FLAG_VERSION: u8 = 8;
/// The value is out of date, and a new one is wanted.
pub(crate) const FLAG_STALE: u8 = 2;
/// A reader was chosen to make a new value.
pub(crate) const FLAG_REFRESHER: u8 = 4;

pub(crate) const MAX_KEY_LEN: usize = (1 << 12) - 1;

const STATE_BITS: u64 = 0b11;
const CHECK_SHIFT: u32 = 6;
const CHECK_BITS: u64 = 0x3f << CHECK_SHIFT;
const CHECK_SEED: u64 = 0x2a;

impl Word {
    /// The word of a slot that was never committed.
    pub(crate) const EMPTY: u64 = 0;

    /// Of a record with no marks.
    pub(crate) fn live(key_len: usize, deadline: Deadline) -> Word {
        Word { state: RecordState::Live, flags: 0, key_len: key_len as u16, deadline }
    }

    pub(crate) fn encode(self) -> u64 {
        let state = match self.state {
            RecordState::Live => 1,
            RecordState::Dead => 2,
            RecordState::Gone => 3,
        };
        let word = state
            | u64::from(self.flags & 0xf) << 2
            | u64::from(self.key_len & 0xfff) << 12
            | self.deadline.0 << (64 - Deadline::BITS);
        word | Self::check(word) << CHECK_SHIFT
    }

    /// The decoded word; `None` where it is empty, or where its check shows that it is damaged.
    pub(crate) fn decode(word: u64) -> Option<Word> {
        let state = match word & STATE_BITS {
            1 => RecordState::Live,
            2 => RecordState::Dead,
            3 => RecordState::Gone,
            _ => return None,
        };
        if Self::check(word & !CHECK_BITS) != (word & CHECK_BITS) >> CHECK_SHIFT {
            return None;
        }
        Some(Word {
            state,
            flags: (word >> 2) as u8 & 0xf,
            key_len: (word >> 12) as u16 & 0xfff,
            deadline: Deadline(word >> (64 - Deadline::BITS)),
        })
    }

    /// Bytes of the record before the value: client flags and a version, if there are any, and the key.
    pub(crate) fn prefix_len(self) -> usize {
        let version_len = if self.flags & FLAG_VERSION == 0 { 0 } else { VERSION_LEN };
        self.version_offset() + version_len + usize::from(self.key_len)
    }

    /// Where the version is in the record, if there is one: after the client flags.
    pub(crate) fn version_offset(self) -> usize {
        if self.flags & FLAG_CLIENT_FLAGS == 0 { 0 } else { CLIENT_FLAGS_LEN }
    }

    pub(crate) fn is_live(self) -> bool {
        self.state == RecordState::Live
    }

    /// Parity of the word in six columns: any single flipped bit shows.
    fn check(word: u64) -> u64 {
        let folded = word ^ word >> 36;
        let folded = folded ^ folded >> 18;
        let folded = folded ^ folded >> 6 ^ folded >> 12;
        (folded ^ CHECK_SEED) & 0x3f
    }
}

/// The end of a record's life in store milliseconds; a record is expired from that millisecond on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline(u64);

impl Deadline {
    const BITS: u32 = 40;
    pub(crate) const NEVER: Deadline = Deadline((1 << Self::BITS) - 1);

    /// A deadline past what the field holds (34 years of store time) is never.
    pub(crate) fn at_ms(store_ms: u64) -> Deadline {
        Deadline(store_ms.min(Self::NEVER.0))
    }

    pub(crate) fn ms(self) -> u64 {
        self.0
    }

    pub(crate) fn has_passed(self, now_ms: u64) -> bool {
        self != Self::NEVER && self.0 <= now_ms
    }

    /// How long it is until then; `None` where it never expires.
    pub(crate) fn remaining(self, now_ms: u64) -> Option<Duration> {
        (self != Self::NEVER).then(|| Duration::from_millis(self.0.saturating_sub(now_ms)))
    }
}

/// A slot as it is in memory or on disk: four words, not verified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawSlot(pub(crate) [u64; 4]);

/// The immutable part of a slot: which bytes of the segment are the record, and what they must add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) hash: u64,
    /// Sequence of the write, less the segment's base: below zero where compaction carried the record forward.
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

    /// Where the parts of the record stand, provided that they lie between the header and `records_end`.
    pub(crate) fn layout(&self, word: Word, records_end: usize) -> Option<RecordLayout> {
        let offset = self.record_offset as usize;
        let key_end = offset.checked_add(word.prefix_len())?;
        let key_start = key_end - usize::from(word.key_len);
        let value_end = key_end.checked_add(self.value_len as usize)?;
        let in_bounds = offset >= RECORDS_OFFSET && value_end <= records_end;
        (in_bounds && word.key_len > 0).then_some(RecordLayout { offset, key_start, key_end, value_end })
    }

    /// The sequence as [`Slot::sequence`] tells it, where there is such a one.
    pub(crate) fn checked_sequence(&self, base: u64) -> Option<u64> {
        base.checked_add_signed(i64::from(self.sequence_delta))
    }

    /// The sequence of the write that made the record, in a segment of this base.
    pub(crate) fn sequence(&self, base: u64) -> u64 {
        base.wrapping_add_signed(i64::from(self.sequence_delta))
    }

    /// The checksum that this slot must carry, given that of its payload (client flags, version, key and value).
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

/// Where the parts of one record are in its file.
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

    /// Room that the record takes, its slot included.
    pub(crate) fn footprint(&self) -> usize {
        footprint(self.value_end - self.offset)
    }
}

/// Room that a record of `payload_len` bytes takes in its segment, its slot included.
pub(crate) fn footprint(payload_len: usize) -> usize {
    align_up(payload_len, RECORD_ALIGN) + SLOT_LEN
}

/// Eight bytes of `bytes` from `at`, as a number.
pub(crate) fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Four bytes of `bytes` from `at`, as a number.
pub(crate) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words() -> impl Strategy<Value = Word> {
        (any::<bool>(), 0..16u8, 0..=MAX_KEY_LEN as u16, 0..=Deadline::NEVER.0).prop_map(
            |(live, flags, key_len, at)| {
                let state = if live { RecordState::Live } else { RecordState::Dead };
                Word { state, flags, key_len, deadline: Deadline(at) }
            },
        )
    }

    proptest! {
        #[test]
        fn words_survive_the_round_trip(word in words()) {
            prop_assert_eq!(Word::decode(word.encode()), Some(word));
        }

        #[test]
        fn a_flipped_bit_of_a_word_shows(word in words(), bit in 0..64u32) {
            prop_assert_eq!(Word::decode(word.encode() ^ 1 << bit), None);
        }

        #[test]
        fn a_flipped_bit_of_a_header_shows(base in any::<u64>(), id in any::<u32>(), bit in 0..HEADER_LEN * 8) {
            let header =
                Header { store_id: 7, base, segment_id: id, kind: Kind::Cold, ttl_class: 44, file_len: 1 << 23 };
            let mut bytes = header.encode();
            prop_assert_eq!(Header::verify(&bytes), Some(header));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Header::verify(&bytes), None);
        }

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
    fn an_empty_word_means_nothing() {
        assert_eq!(Word::decode(Word::EMPTY), None);
    }

    #[test]
    fn slots_survive_the_round_trip() {
        let slot = Slot { hash: 1 << 63, sequence_delta: -2, record_offset: 3 << 30, value_len: u32::MAX, crc: 5 };
        let [a, b, c] = slot.words();
        assert_eq!(RawSlot([a, b, c, 9]).slot(), slot);
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

    #[test]
    fn deadlines_pass_at_their_millisecond() {
        assert!(!Deadline::at_ms(10).has_passed(9));
        assert!(Deadline::at_ms(10).has_passed(10));
        assert!(!Deadline::NEVER.has_passed(u64::MAX));
        assert_eq!(Deadline::at_ms(u64::MAX), Deadline::NEVER);
    }
}
