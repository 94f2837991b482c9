//! A committed record, and the changes of it.

#![allow(unsafe_code)]

use std::num::NonZeroU64;

use crate::Version;
use crate::store::disk::format::{self, Deadline, Kind, RecordLayout, RecordState, SLOT_LEN, Slot, Word};
use crate::store::primitives::Arc;
use crate::store::primitives::atomic::Ordering;
use crate::store::segment::accesses::{self, Access};
use crate::store::segment::payload::Payload;
use crate::store::segment::sealed::Segment;

/// A committed record in its segment, with its slot as it was when it was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordRef<'s> {
    segment: &'s Arc<Segment>,
    fields: Fields,
}

/// A record that a reader holds: its bytes do not change, and its segment is not recycled.
#[derive(Debug, Clone)]
pub(crate) struct Pinned {
    segment: Arc<Segment>,
    fields: Fields,
}

/// The contents of a slot when it was read. Always stored together with the segment of the slot.
#[derive(Debug, Clone, Copy)]
struct Fields {
    index: u32,
    slot: Slot,
    word: Word,
    layout: RecordLayout,
}

impl Pinned {
    #[inline]
    pub(crate) fn record(&self) -> RecordRef<'_> {
        RecordRef { segment: &self.segment, fields: self.fields }
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    pub(crate) fn slot(&self) -> u32 {
        self.fields.index
    }

    /// The same record with the deadline and flags of `word`, which was read from its slot, or written to it, later.
    pub(crate) fn with_word(self, word: Word) -> Pinned {
        // A word with another layout is damaged.
        let word = if word.prefix_len() == self.fields.word.prefix_len() { word } else { self.fields.word };
        Pinned { fields: Fields { word, ..self.fields }, ..self }
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        bytes(&self.segment, self.fields, RecordLayout::key)
    }

    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        bytes(&self.segment, self.fields, RecordLayout::value)
    }

    pub(crate) fn version(&self) -> Version {
        self.record().version()
    }

    pub(crate) fn client_flags(&self) -> u32 {
        self.record().client_flags()
    }

    /// Records a read, if reads are tracked.
    pub(crate) fn note_read(&self, now_ms: u64) {
        self.segment.note_read(self.fields.index);
        if let Some(accesses) = &self.segment.accesses {
            accesses.note(self.fields.index, Access { at_secs: accesses::seconds(now_ms), was_read: true });
        }
    }
}

/// A part of a record's bytes.
#[inline]
fn bytes(segment: &Segment, fields: Fields, part: impl Fn(&RecordLayout) -> std::ops::Range<usize>) -> &[u8] {
    // SAFETY: `Fields` are created only by `RecordRef::read`, from a slot of this segment whose word was committed, and
    // stay with the segment. The bytes were written before the commit and do not change until the segment becomes a
    // `Blank`. That takes the segment by value, which is not possible while it is borrowed.
    unsafe { segment.mapping.bytes(part(&fields.layout)) }
}

impl<'s> RecordRef<'s> {
    /// The record in slot `index`, live or dead, if one was committed.
    #[inline]
    pub(super) fn read(segment: &'s Arc<Segment>, index: u32) -> Option<RecordRef<'s>> {
        // The caller has the index from a reservation, or from a walk over the reserved slots. So a relaxed load sees
        // their number.
        if index >= segment.slots.load(Ordering::Relaxed) {
            return None;
        }
        let raw = segment.raw_slot(index);
        let word = Word::decode(raw.word())?;
        let layout = raw.slot().layout(word, format::slot_offset(segment.file_len(), index))?;
        Some(RecordRef { segment, fields: Fields { index, slot: raw.slot(), word, layout } })
    }

    pub(crate) fn segment(&self) -> &'s Arc<Segment> {
        self.segment
    }

    /// The number of the record's slot.
    pub(crate) fn slot(&self) -> u32 {
        self.fields.index
    }

    pub(crate) fn word(&self) -> Word {
        self.fields.word
    }

    pub(crate) fn hash(&self) -> u64 {
        self.fields.slot.hash
    }

    pub(crate) fn value_len(&self) -> usize {
        self.fields.slot.value_len as usize
    }

    /// The offset of the record in its file.
    pub(crate) fn offset(&self) -> usize {
        self.fields.layout.payload().start
    }

    /// The length of the record with its slot, in bytes.
    pub(crate) fn footprint(&self) -> usize {
        self.fields.layout.footprint()
    }

    pub(crate) fn is_live(&self) -> bool {
        self.fields.word.is_live()
    }

    pub(crate) fn has_expired(&self, now_ms: u64) -> bool {
        self.fields.word.deadline.has_passed(now_ms)
    }

    #[inline]
    pub(crate) fn pin(&self) -> Pinned {
        Pinned { segment: self.segment.clone(), fields: self.fields }
    }

    /// Whether this is the record of `pinned`. The slot of a pinned record is not reused, so the location is
    /// sufficient.
    pub(crate) fn is(&self, pinned: &Pinned) -> bool {
        Arc::ptr_eq(self.segment, &pinned.segment) && self.fields.index == pinned.fields.index
    }

    #[inline]
    pub(crate) fn key(&self) -> &'s [u8] {
        bytes(self.segment, self.fields, RecordLayout::key)
    }

    #[cfg(any(test, loom))]
    pub(crate) fn value(&self) -> &'s [u8] {
        bytes(self.segment, self.fields, RecordLayout::value)
    }

    /// The whole record: client flags, version, key and value.
    #[inline]
    pub(crate) fn payload(&self) -> &'s [u8] {
        bytes(self.segment, self.fields, RecordLayout::payload)
    }

    /// The number that the caller stored with the value; zero without one.
    pub(crate) fn client_flags(&self) -> u32 {
        match self.fields.word.flags & format::FLAG_CLIENT_FLAGS {
            0 => 0,
            _ => format::read_u32(self.payload(), 0),
        }
    }

    /// The version of the value: the one that the caller chose, otherwise the sequence of the write.
    pub(crate) fn version(&self) -> Version {
        let number = match self.fields.word.flags & format::FLAG_VERSION {
            0 => self.sequence(),
            _ => format::read_u64(self.payload(), self.fields.word.version_offset()),
        };
        // Only damage makes it zero.
        Version::from(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }

    /// The sequence of the write that created the record. Unlike a chosen version, it is unique among the writes of the
    /// key.
    pub(crate) fn sequence(&self) -> u64 {
        self.fields.slot.sequence(self.segment.header.base)
    }

    /// Whether the record's bytes match its checksum. Records that this process wrote or has verified are not read
    /// again.
    pub(crate) fn verify(&self) -> bool {
        let index = self.fields.index;
        let verified = self.segment.verified.as_deref().and_then(|verified| verified.get(index as usize / 64));
        let Some(verified) = verified else {
            return true;
        };
        let bit = 1 << (index % 64);
        if verified.load(Ordering::Relaxed) & bit != 0 {
            return true;
        }
        let is_intact = self.is_intact();
        if is_intact {
            verified.fetch_or(bit, Ordering::Relaxed);
        }
        is_intact
    }

    /// Whether the record has this payload. If the checksums differ, the bytes are not read.
    pub(crate) fn has_payload(&self, payload: &Payload<'_>) -> bool {
        self.fields.layout.payload().len() == payload.len()
            && self.has_checksum(payload.crc())
            && payload.is(self.payload())
    }

    /// Whether the record's bytes match its checksum now.
    pub(crate) fn is_intact(&self) -> bool {
        self.has_checksum(crc32c::crc32c(self.payload()))
    }

    /// Whether the record was written with a payload of this CRC-32C.
    pub(crate) fn has_checksum(&self, payload_crc: u32) -> bool {
        let slot = &self.fields.slot;
        slot.seal(payload_crc, self.segment.header.base, self.fields.word) == slot.crc
    }

    /// Marks the record dead, on disk and in the statistics, because another record replaced it. The caller holds the
    /// key's shard for writing, or has just removed the record from the index.
    pub(crate) fn mark_dead(&self) {
        self.bury(RecordState::Dead);
        self.discount();
    }

    /// Marks the record gone; otherwise the same as [`RecordRef::mark_dead`].
    pub(crate) fn mark_gone(&self) {
        self.bury(RecordState::Gone);
        self.discount();
    }

    /// Marks the record dead or gone on disk, and its source before it. If the record is gone, so is its source: the
    /// disk may contain only one of the two.
    pub(super) fn bury(&self, state: RecordState) {
        self.segment.bury_source(self.fields.index, state);
        let word = Word { state, ..self.fields.word };
        self.segment.slot_word(self.fields.index).store(word.encode(), Ordering::Release);
        self.segment.mapping.note_change();
    }

    /// Subtracts the record from the statistics.
    pub(crate) fn discount(&self) {
        self.segment.live_bytes.fetch_sub(self.footprint() as u64, Ordering::Relaxed);
        self.segment.live_records.fetch_sub(1, Ordering::AcqRel);
    }

    /// Changes the record's deadline. Returns the new word, or `None` if the word is damaged. The caller holds the
    /// key's shard, at least for reading.
    pub(crate) fn touch(&self, deadline: Deadline) -> Option<Word> {
        let before = self.change_word(|word| Word { deadline, ..word })?;
        self.segment.expect_expiry(deadline);
        Some(Word { deadline, ..before })
    }

    /// Sets a flag of the record. Returns whether it was clear before: among concurrent callers, one gets `true`.
    /// Returns `None` if the word is damaged. The caller holds the key's shard, at least for reading.
    pub(crate) fn mark(&self, flag: u8) -> Option<bool> {
        let before = self.change_word(|word| Word { flags: word.flags | flag, ..word })?;
        Some(before.flags & flag == 0)
    }

    /// Changes the record's word atomically, and returns the old one. The caller holds the lock of the shard, so the
    /// record stays live. Other threads that hold it for reading may change the word at the same time: each failed
    /// exchange is caused by one of their changes (or is spurious), so the loop ends.
    ///
    /// Returns `None` if the word in the file is not one that the store writes: memory or disk has changed it since the
    /// record was found. Such a word never equals an expected value that is computed from the record.
    fn change_word(&self, change: impl Fn(Word) -> Word) -> Option<Word> {
        let mut current = self.fields.word;
        loop {
            let (old, new) = (current.encode(), change(current).encode());
            let word = self.segment.slot_word(self.fields.index);
            match word.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    self.segment.mapping.note_change();
                    return Some(current);
                }
                Err(actual) => current = Word::decode(actual).filter(|word| word.is_live())?,
            }
        }
    }
}

impl Segment {
    /// The record in slot `slot`, if one was committed and is live.
    pub(crate) fn record(self: &Arc<Self>, slot: u32) -> Option<RecordRef<'_>> {
        self.committed(slot).filter(RecordRef::is_live)
    }

    /// The record in slot `slot`, live or dead, if one was committed.
    pub(crate) fn committed(self: &Arc<Self>, slot: u32) -> Option<RecordRef<'_>> {
        RecordRef::read(self, slot)
    }

    /// Marks the source of the record in `slot` dead or gone on disk, if it has one.
    pub(crate) fn bury_source(&self, slot: u32, state: RecordState) {
        if let Some(source) = self.sources.source(slot) {
            if let Some(record) = source.segment.record(source.slot) {
                record.bury(state);
            }
            self.sources.forget(slot);
        }
    }

    /// Subtracts a record with a damaged slot from the statistics, and overwrites the slot so that no recovery accepts
    /// it. The record was committed at `offset`. The caller holds its shard for writing, and removes it from the index.
    ///
    /// The length of the record was only in its slot. So the bytes up to the next readable record are subtracted.
    pub(crate) fn write_off(self: &Arc<Self>, slot: u32, offset: usize) {
        self.bury_source(slot, RecordState::Gone);
        self.disown(slot);
        let reserved = self.reserved();
        let next = (slot + 1..reserved.slots).find_map(|slot| self.committed(slot));
        let end = match next {
            Some(next) => next.offset(),
            None if self.header.kind == Kind::Big => self.file_len(),
            None => reserved.write_offset as usize,
        };
        let footprint = (end.saturating_sub(offset) + SLOT_LEN) as u64;
        self.live_bytes.fetch_sub(footprint.min(self.live_bytes()), Ordering::Relaxed);
        self.live_records.fetch_sub(1, Ordering::AcqRel);
    }
}
