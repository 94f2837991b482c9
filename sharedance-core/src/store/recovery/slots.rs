//! Reads the slots of a file, and decides which of them are accepted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::store::disk::format::{
    self, Deadline, HEADER_LEN, Header, Kind, RECORDS_OFFSET, RawSlot, RecordState, Reserved, SLOT_LEN, Slot, Word,
};
use crate::store::disk::meta::Description;

/// If the number of slots is not reliable, this many empty slots in a row are their end: 32 pages.
const EMPTY_RUN: u32 = 4096;
/// The limit on the bytes that are checked, as a multiple of the file's length. It is reached if slots refer to the
/// same bytes again and again, which no store writes: the remaining slots do not verify.
const MAX_CHECKED_PART: usize = 4;

/// What the index needs of a record. All of it is in the slot, which is not read again.
#[derive(Clone, Copy)]
pub(crate) struct LiveRecord {
    pub(crate) hash: u64,
    pub(crate) slot: u32,
    pub(crate) offset: u32,
    pub(crate) is_expired: bool,
}

/// The slots of one file.
pub(crate) struct Slots {
    base: u64,
    pub(crate) count: u32,
    pub(crate) records_end: usize,
    pub(crate) live: Vec<LiveSlot>,
    /// Slots of verified records that are gone, and their hashes; only if the disk may have restored older records.
    pub(crate) gone: Vec<(u64, u32)>,
    /// Slots to mark dead on disk, because they were not accepted.
    pub(crate) disowned: Vec<u32>,
    /// Slots to mark dead on disk, because the store was cleared after they were written.
    pub(crate) cleared: Vec<u32>,
    /// The highest sequence.
    pub(crate) last_sequence: u64,
    pub(crate) dropped: u64,
}

impl Slots {
    fn new(base: u64, count: u32, records_end: usize) -> Slots {
        Slots {
            base,
            count,
            records_end,
            live: Vec::new(),
            gone: Vec::new(),
            disowned: Vec::new(),
            cleared: Vec::new(),
            last_sequence: base,
            dropped: 0,
        }
    }
}

/// A record for the index, and what its segment needs of it.
pub(crate) struct LiveSlot {
    pub(crate) record: LiveRecord,
    pub(crate) deadline: Deadline,
    pub(crate) footprint: usize,
}

/// Reads the slots of files.
pub(crate) struct SlotReader<'d> {
    pub(crate) description: &'d Description,
    pub(crate) now_ms: u64,
    pub(crate) same_boot: bool,
    /// Records with a lower sequence were deleted.
    pub(crate) cleared_below: u64,
}

impl SlotReader<'_> {
    /// Accepts the slots, which this boot wrote; reads no record.
    pub(crate) fn read(&self, file: &File, header: &Header, reserved: Reserved) -> io::Result<Slots> {
        let len = header.file_len as usize;
        let start = len - reserved.slots as usize * SLOT_LEN;
        let mut array = vec![0; len - start];
        read_exactly(file, &mut array, start)?;
        let mut slots = Slots::new(header.base, reserved.slots, reserved.write_offset as usize);
        for slot in 0..reserved.slots {
            let at = format::slot_offset(len, slot) - start;
            let raw = RawSlot::from_bytes(&array[at..at + SLOT_LEN]);
            self.sort_out(&mut slots, slot, raw, |raw, word| {
                let layout = raw.slot().layout(word, reserved.write_offset as usize)?;
                // The only record of a big file is at its start.
                (header.kind != Kind::Big || layout.offset == RECORDS_OFFSET).then(|| layout.footprint())
            });
        }
        Ok(slots)
    }

    /// Accepts only slots that verify: the record's checksum matches, and the hash is that of the key. The hash depends
    /// on the store's secret, so no value that merely looks like slots is accepted.
    pub(crate) fn verify(&self, file: &File, header: &Header, claimed: u32) -> io::Result<Slots> {
        let len = header.file_len as usize;
        let mut bytes = vec![0; len];
        read_exactly(file, &mut bytes, 0)?;
        let mut slots = Slots::new(header.base, claimed, RECORDS_OFFSET);
        let mut uncertain = Vec::new();
        let mut empty_run = 0;
        let mut left_to_check = len.saturating_mul(MAX_CHECKED_PART);
        let end = if header.kind == Kind::Big { 1 } else { format::max_slots(len) };
        for slot in 0..end {
            let raw = RawSlot::from_bytes(&bytes[format::slot_offset(len, slot)..][..SLOT_LEN]);
            let verified = verify_slot(&bytes, header, slot, raw, self.description, &mut left_to_check);
            empty_run = if verified.is_some() { 0 } else { empty_run + 1 };
            if slot >= claimed && verified.is_none() {
                if raw.word() != Word::EMPTY {
                    uncertain.push(slot);
                }
                if empty_run > EMPTY_RUN {
                    break;
                }
                continue;
            }
            if let Some(record_end) = verified {
                slots.count = slots.count.max(slot + 1);
                slots.records_end = slots.records_end.max(record_end);
            }
            self.sort_out(&mut slots, slot, raw, |raw, word| {
                verified?;
                raw.slot().layout(word, len).map(|layout| layout.footprint())
            });
        }
        // Between two slots that verify there are slots. After the last one there may be a record's bytes.
        uncertain.retain(|slot| *slot < slots.count);
        slots.dropped += uncertain.len() as u64;
        slots.disowned.extend(uncertain);
        let slots_start = len - slots.count as usize * SLOT_LEN;
        slots.records_end = slots.records_end.next_multiple_of(format::RECORD_ALIGN).min(slots_start);
        Ok(slots)
    }

    /// Classifies one slot: live (expired or not), dead, never committed, or not accepted.
    fn sort_out(&self, slots: &mut Slots, slot: u32, raw: RawSlot, footprint: impl Fn(RawSlot, Word) -> Option<usize>) {
        if raw.word() == Word::EMPTY {
            return;
        }
        let word = Word::decode(raw.word());
        // A negative sequence was never assigned. Wrapped around, it would be above all later ones.
        let sequence = raw.slot().checked_sequence(slots.base);
        if let Some(word) = word {
            slots.last_sequence = slots.last_sequence.max(sequence.unwrap_or(0));
            if !word.is_live() {
                let is_gone = !self.same_boot && word.state == RecordState::Gone && sequence.is_some();
                if is_gone && footprint(raw, word).is_some() {
                    slots.gone.push((raw.slot().hash, slot));
                }
                return;
            }
        }
        match word
            .filter(|_| sequence.is_some())
            .and_then(|word| footprint(raw, word).map(|footprint| (word, footprint)))
        {
            Some(_) if sequence.is_some_and(|sequence| sequence < self.cleared_below) => slots.cleared.push(slot),
            Some((word, footprint)) => {
                let Slot { hash, record_offset: offset, .. } = raw.slot();
                let is_expired = word.deadline.has_passed(self.now_ms);
                let record = LiveRecord { hash, slot, offset, is_expired };
                slots.live.push(LiveSlot { record, deadline: word.deadline, footprint });
            }
            None => {
                slots.dropped += 1;
                slots.disowned.push(slot);
            }
        }
    }
}

/// The end of the record of `raw`, live or dead, if it was written to this segment in this incarnation. Subtracts the
/// bytes that were read from `left_to_check`.
fn verify_slot(
    bytes: &[u8],
    header: &Header,
    slot: u32,
    raw: RawSlot,
    description: &Description,
    left_to_check: &mut usize,
) -> Option<usize> {
    let word = Word::decode(raw.word())?;
    let fields = raw.slot();
    let layout = fields.layout(word, format::slot_offset(bytes.len(), slot))?;
    // The hash first: it is cheap, and values that look like slots do not pass it. A checksum over all bytes that each
    // of them refers to would take time out of proportion to the file.
    let hash = description.hash(&bytes[layout.key()]);
    if hash != fields.hash {
        return None;
    }
    let payload = layout.payload();
    *left_to_check = left_to_check.checked_sub(payload.len())?;
    let payload_crc = crc32c::crc32c(&bytes[payload]);
    (fields.seal(payload_crc, header.base, word) == fields.crc).then_some(layout.value_end)
}

/// Fills `buffer` from `offset`; returns `false` if the file ends before.
pub(crate) fn read_exactly(file: &File, buffer: &mut [u8], offset: usize) -> io::Result<bool> {
    match file.read_exact_at(buffer, offset as u64) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

pub(crate) fn verify_header(head: &[u8; RECORDS_OFFSET]) -> Option<Header> {
    let mut bytes = [0; HEADER_LEN];
    bytes.copy_from_slice(&head[..HEADER_LEN]);
    Header::verify(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::recovery::open::tests::one_pair;

    #[test]
    fn a_slot_is_accepted_only_with_the_keyed_hash_of_its_key() {
        let (_dir, _, file, len) = one_pair();
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let mut head = [0; RECORDS_OFFSET];
        head.copy_from_slice(&bytes[..RECORDS_OFFSET]);
        let header = verify_header(&head).unwrap();
        let raw = RawSlot::from_bytes(&bytes[format::slot_offset(len, 0)..]);
        let other = Description { segment_len: len, store_id: header.store_id, hash_key: [0; 16] };
        let verify = |header: &Header, raw| verify_slot(&bytes, header, 0, raw, &other, &mut { usize::MAX });
        assert_eq!(verify(&header, raw), None, "its own checksum is right");
        let (word, mut slot) = (Word::decode(raw.word()).unwrap(), raw.slot());
        slot.hash = siphasher::sip::SipHasher13::new_with_key(&[0; 16]).hash(b"key");
        slot.crc = slot.seal(crc32c::crc32c(b"keyvalue"), header.base, word);
        let [a, b, c] = slot.words();
        let forged = RawSlot([a, b, c, raw.word()]);
        assert_eq!(verify(&header, forged), Some(RECORDS_OFFSET + 8));
        let later = Header { base: header.base + 1, ..header };
        assert_eq!(verify(&later, forged), None, "of another incarnation");
    }
}
