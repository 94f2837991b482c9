//! Reads and changes the bytes of a segment file as `FORMAT.md` specifies: an independent implementation of the format,
//! which also creates files as a crash or a failing disk leaves them.

pub const FREE: u64 = 0;
pub const ACTIVE: u64 = 0xa5c3_96e1_5a3c_691e;
pub const SEALED: u64 = 0x3c5a_e169_c3a5_1e96;

pub const STATE: usize = 64;
pub const RESERVATION: usize = 72;
pub const RECORDS: usize = 4096;
pub const SLOT_LEN: usize = 32;
pub const FRESH_RESERVATION: u64 = RECORDS as u64;

pub const LIVE: u64 = 1;
pub const DEAD: u64 = 2;
pub const GONE: u64 = 3;

/// The bytes of a segment file.
pub struct Segment<'a>(pub &'a mut [u8]);

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

pub fn put_u64(bytes: &mut [u8], at: usize, number: u64) {
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
}

fn put_u32(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

/// Returns a slot's word with its check: the exclusive or of its ten other groups of six bits, and of 0x2a.
pub fn checked(word: u64) -> u64 {
    let word = word & !(0x3f << 6);
    let check = (0..11).fold(0x2a, |check, group| check ^ (word >> (group * 6)) & 0x3f);
    word | check << 6
}

impl Segment<'_> {
    pub fn state(&self) -> u64 {
        u64_at(self.0, STATE)
    }

    pub fn set_state(&mut self, state: u64) {
        put_u64(self.0, STATE, state);
    }

    /// Returns the offset of the next record, and the number of reserved slots.
    pub fn reserved(&self) -> (u32, u32) {
        (u32_at(self.0, RESERVATION), u32_at(self.0, RESERVATION + 4))
    }

    pub fn set_reserved(&mut self, write_offset: u32, slots: u32) {
        put_u64(self.0, RESERVATION, u64::from(write_offset) | u64::from(slots) << 32);
    }

    pub fn base(&self) -> u64 {
        u64_at(self.0, 16)
    }

    pub fn set_base(&mut self, base: u64) {
        put_u64(self.0, 16, base);
        self.seal_header();
    }

    pub fn seal_header(&mut self) {
        let crc = crc32c::crc32c(&self.0[..60]);
        put_u32(self.0, 60, crc);
    }

    pub fn slot_at(&self, slot: u32) -> usize {
        self.0.len() - SLOT_LEN * (slot as usize + 1)
    }

    pub fn slot(&self, slot: u32) -> [u8; SLOT_LEN] {
        self.0[self.slot_at(slot)..][..SLOT_LEN].try_into().unwrap()
    }

    pub fn put_slot(&mut self, slot: u32, bytes: &[u8; SLOT_LEN]) {
        let at = self.slot_at(slot);
        self.0[at..at + SLOT_LEN].copy_from_slice(bytes);
    }

    pub fn word(&self, slot: u32) -> u64 {
        u64_at(self.0, self.slot_at(slot) + 24)
    }

    pub fn is_live(&self, slot: u32) -> bool {
        self.word(slot) & 3 == LIVE
    }

    /// Makes a slot live or dead, and updates its check.
    pub fn set_record_state(&mut self, slot: u32, state: u64) {
        let word = checked(self.word(slot) & !3 | state);
        let at = self.slot_at(slot) + 24;
        put_u64(self.0, at, word);
    }

    /// Returns the bytes from the start of the record to the end of its value.
    pub fn record(&self, slot: u32) -> std::ops::Range<usize> {
        let at = self.slot_at(slot);
        let start = u32_at(self.0, at + 12) as usize;
        start..start + self.key_len(slot) + u32_at(self.0, at + 16) as usize
    }

    fn key_len(&self, slot: u32) -> usize {
        (self.word(slot) >> 12) as usize & 0xfff
    }

    pub fn key(&self, slot: u32) -> &[u8] {
        let record = self.record(slot);
        &self.0[record.start..record.start + self.key_len(slot)]
    }

    /// Computes the checksum of the slot.
    pub fn expected_crc(&self, slot: u32) -> u32 {
        let at = self.slot_at(slot);
        let mut covered = self.0[self.record(slot)].to_vec();
        let delta = i64::from(u32_at(self.0, at + 8) as i32);
        covered.extend(self.base().to_le_bytes());
        covered.extend(self.base().wrapping_add_signed(delta).to_le_bytes());
        covered.extend_from_slice(&self.0[at..at + 8]);
        covered.extend_from_slice(&self.0[at + 12..at + 20]);
        covered.extend((self.key_len(slot) as u16).to_le_bytes());
        covered.extend([0; 6]);
        crc32c::crc32c(&covered)
    }

    pub fn crc(&self, slot: u32) -> u32 {
        u32_at(self.0, self.slot_at(slot) + 20)
    }

    /// Sets the checksum of the slot to the computed one.
    pub fn seal_slot(&mut self, slot: u32) {
        let (at, crc) = (self.slot_at(slot) + 20, self.expected_crc(slot));
        put_u32(self.0, at, crc);
    }

    /// Returns the slots with a live record.
    pub fn live(&self) -> Vec<u32> {
        (0..self.reserved().1).filter(|slot| self.is_live(*slot)).collect()
    }
}
