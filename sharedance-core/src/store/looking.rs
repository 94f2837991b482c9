//! What a look is told, and what comes of it.

use std::time::Duration;

use super::Ttl;
use super::value::Value;

/// What a reader wants besides the value: see [`Store::look`](super::Store::look).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Let it live for so long from now on.
    pub touch: Option<Ttl>,
    /// Where there is no value, store an empty one that lives for so long, and be chosen to make the real one.
    pub create: Option<Ttl>,
    /// Ask to be chosen where it has less than this left to live.
    pub refresh_below: Option<Duration>,
    /// Whether this counts as a reading of the value, for those who ask for [`Seen::idle`] and [`Seen::was_read`] later.
    pub note_access: bool,
    /// Whether the reader is not to be chosen, whatever the state of the value.
    pub never_chosen: bool,
}

/// A value, and what is known about it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Seen {
    /// The value.
    pub value: Value,
    /// Whether it was stored just now, by this look: it is empty.
    pub is_new: bool,
    /// How long it still lives; `None` for ever.
    pub expires_in: Option<Duration>,
    /// How long ago it was written or, if it has been since, read; in whole seconds. `None` unless
    /// [`Options::track_accesses`](super::Options::track_accesses).
    pub idle: Option<Duration>,
    /// Whether it has been read since it was written. Never true unless
    /// [`Options::track_accesses`](super::Options::track_accesses).
    pub was_read: bool,
    /// Whether it was marked stale: [`Store::invalidate`](super::Store::invalidate).
    pub is_stale: bool,
    /// Who is to make a new value.
    pub refresh: Refresh,
}

/// Who is to make a new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Nobody, for all that this reader has asked.
    Nobody,
    /// The reader who is told this, and nobody else.
    You,
    /// Another one, who was told before.
    Another,
}
