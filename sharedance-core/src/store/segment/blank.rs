//! A segment file that is not in use: allocated and empty.

use crate::store::disk::directory::DirectoryLock;
use crate::store::disk::format::{self, Header, RESERVATION_OFFSET, Reserved, SLOT_LEN, STATE_OFFSET, State};
use crate::store::disk::mapping::Mapping;
use crate::store::primitives::Arc;
use crate::store::primitives::atomic::{Ordering, fence};
use crate::store::segment::sealed::Segment;

/// An allocated file without records: its state is free and its slot array is zero.
#[derive(Debug)]
pub(crate) struct Blank {
    pub(crate) segment_id: u32,
    pub(super) mapping: Mapping,
}

impl Blank {
    /// A file that was just allocated, all zeros.
    pub(crate) fn new(segment_id: u32, mapping: Mapping) -> Blank {
        Blank { segment_id, mapping }
    }

    pub(crate) fn file_len(&self) -> usize {
        self.mapping.len()
    }

    /// A file that an earlier process left in the free state, zeroed or not.
    pub(crate) fn recovered(segment_id: u32, mapping: Mapping) -> Blank {
        let mut blank = Blank { segment_id, mapping };
        blank.erase();
        blank
    }

    /// Zeroes the slots that were reserved, then the reservation word. In this order, so that the reservation word of a
    /// process that is killed in between still has the number of slots to zero.
    fn erase(&mut self) {
        let file_len = self.mapping.len();
        let reserved = Reserved::from_word(self.mapping.word(RESERVATION_OFFSET).load(Ordering::Acquire));
        let slots = reserved.slots.min(format::max_slots(file_len));
        self.mapping.zero(file_len - slots as usize * SLOT_LEN..file_len);
        fence(Ordering::SeqCst);
        self.mapping.word(RESERVATION_OFFSET).store(Reserved::NOTHING.word(), Ordering::Release);
        self.mapping.note_change();
    }

    /// Activates the file as segment `number` of the log.
    pub(crate) fn activate(mut self, number: u32, header: Header, lock: Arc<DirectoryLock>) -> Segment {
        self.mapping.copy_in_exclusively(0, &header.encode());
        self.mapping.word(RESERVATION_OFFSET).store(Reserved::NOTHING.word(), Ordering::Release);
        self.mapping.word(STATE_OFFSET).store(State::Active.word(), Ordering::Release);
        self.mapping.note_change();
        Segment::new(number, header, self.mapping, lock)
    }
}

impl Segment {
    /// Takes the file out of use. The segment is taken by value, so no other thread holds it, and no record in it is
    /// live or being read.
    pub(crate) fn into_blank(self) -> Blank {
        let mut blank = Blank { segment_id: self.header.segment_id, mapping: self.mapping };
        blank.mapping.word(STATE_OFFSET).store(State::Free.word(), Ordering::Release);
        fence(Ordering::SeqCst);
        blank.erase();
        blank
    }
}
