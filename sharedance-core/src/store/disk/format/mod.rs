//! The bytes of a segment file: header, records, slots; layout and checksums. These files do no I/O.
//!
//! `FORMAT.md` is normative. All integers are little-endian.
//!
//! | file | what |
//! | --- | --- |
//! | [`segment`] | the file: where its parts are, the header, the state word, the reservation word |
//! | [`slot`] | a record's slot, and where the parts of the record are |
//! | [`word`] | the last word of a slot: state, flags, key length, deadline |
//! | [`integers`] | integers in bytes |
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

mod integers;
mod segment;
mod slot;
mod word;

pub(crate) use integers::{read_u32, read_u64};
pub(crate) use segment::{
    FORMAT_VERSION, HEADER_LEN, Header, Kind, MAX_SEGMENT_LEN, MAX_SEQUENCE, RECORD_ALIGN, RECORDS_OFFSET,
    RESERVATION_OFFSET, Reserved, SLOT_LEN, STATE_OFFSET, State, big_file_len, footprint, max_slots, slot_offset,
};
pub(crate) use slot::{RawSlot, RecordLayout, Slot};
pub(crate) use word::{
    CLIENT_FLAGS_LEN, Deadline, FLAG_CLIENT_FLAGS, FLAG_REFRESHER, FLAG_STALE, FLAG_VERSION, MAX_KEY_LEN, RecordState,
    VERSION_LEN, Word,
};
