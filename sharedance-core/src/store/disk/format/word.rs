//! The last word of a slot, by which a record is committed, changed and marked dead.

use std::time::Duration;

/// A record's state, flags, key length and deadline in one word. One store of it commits the record or marks it dead.
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
    /// A newer record has replaced it.
    Dead,
    /// It was deleted, expired or evicted, and nothing has replaced it. A crash of the system may restore older records
    /// of its key: recovery drops those.
    Gone,
}

/// Four bytes of client flags precede the key.
pub(crate) const FLAG_CLIENT_FLAGS: u8 = 1;
/// Eight bytes of a version that the caller chose precede the key, after the client flags.
pub(crate) const FLAG_VERSION: u8 = 8;
/// The value is stale: the next reader is chosen to compute a new one.
pub(crate) const FLAG_STALE: u8 = 2;
/// A reader has been chosen to compute a new value.
pub(crate) const FLAG_REFRESHER: u8 = 4;

pub(crate) const CLIENT_FLAGS_LEN: usize = 4;
pub(crate) const VERSION_LEN: usize = 8;
pub(crate) const MAX_KEY_LEN: usize = (1 << 12) - 1;

const STATE_BITS: u64 = 0b11;
const CHECK_SHIFT: u32 = 6;
const CHECK_BITS: u64 = 0x3f << CHECK_SHIFT;
const CHECK_SEED: u64 = 0x2a;

impl Word {
    /// The word of a slot that was never committed.
    pub(crate) const EMPTY: u64 = 0;

    /// The word of a live record without flags.
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

    /// The decoded word; `None` if it is empty, or if its check bits show that it is damaged.
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

    /// The length of what precedes the value: client flags and version, if the record has them, and the key.
    pub(crate) fn prefix_len(self) -> usize {
        let version_len = if self.flags & FLAG_VERSION == 0 { 0 } else { VERSION_LEN };
        self.version_offset() + version_len + usize::from(self.key_len)
    }

    /// The offset of the version in the record, if there is one: after the client flags.
    pub(crate) fn version_offset(self) -> usize {
        if self.flags & FLAG_CLIENT_FLAGS == 0 { 0 } else { CLIENT_FLAGS_LEN }
    }

    pub(crate) fn is_live(self) -> bool {
        self.state == RecordState::Live
    }

    /// Parity of the word in six columns: it detects every single flipped bit.
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

    /// A deadline beyond the range of the field (34 years of store time) is never.
    pub(crate) fn at_ms(store_ms: u64) -> Deadline {
        Deadline(store_ms.min(Self::NEVER.0))
    }

    pub(crate) fn ms(self) -> u64 {
        self.0
    }

    pub(crate) fn has_passed(self, now_ms: u64) -> bool {
        self != Self::NEVER && self.0 <= now_ms
    }

    /// The time until the deadline; `None` if the record never expires.
    pub(crate) fn remaining(self, now_ms: u64) -> Option<Duration> {
        (self != Self::NEVER).then(|| Duration::from_millis(self.0.saturating_sub(now_ms)))
    }
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
    }

    #[test]
    fn an_empty_word_means_nothing() {
        assert_eq!(Word::decode(Word::EMPTY), None);
    }

    #[test]
    fn deadlines_pass_at_their_millisecond() {
        assert!(!Deadline::at_ms(10).has_passed(9));
        assert!(Deadline::at_ms(10).has_passed(10));
        assert!(!Deadline::NEVER.has_passed(u64::MAX));
        assert_eq!(Deadline::at_ms(u64::MAX), Deadline::NEVER);
    }
}
