//! What a look is told, and what comes of it.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::store::api::request::Ttl;
use crate::store::api::value::Value;

/// What a reader wants besides the value: see [`Store::look`](crate::store::Store::look). Name what you want, and leave the
/// rest to `..Look::default()`, which wants nothing: more may be added.
///
/// ```
/// # use sharedance_core::store::{Look, Store, Ttl};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// store.set("session:17", "user=ada")?;
/// let look = Look { touch: Some(Ttl::Never), note_access: true, ..Look::default() };
/// store.look("session:17", &look)?;
/// let seen = store.look("session:17", &Look::default())?.expect("it is there");
/// assert_eq!(seen.expires_in, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Let it live for so long from now on.
    pub touch: Option<Ttl>,
    /// Where there is no value, store an empty one that lives for so long, and be chosen to make the real one.
    pub create: Option<Ttl>,
    /// The version of the value that is created; a new one without.
    pub create_version: Option<NonZeroU64>,
    /// Ask to be chosen where it has less than this left to live.
    pub refresh_below: Option<Duration>,
    /// Whether this counts as a reading of the value, for those who ask for [`Seen::idle`] and [`Seen::was_read`]
    /// later, and for [`WhenFull::Evict`](crate::store::WhenFull::Evict), which keeps pairs that are read.
    pub note_access: bool,
    /// Whether the reader is not to be chosen, whatever the state of the value.
    pub never_chosen: bool,
}

/// A value, and what is known about it: how it was when [`Store::look`](crate::store::Store::look) came by.
///
/// ```
/// # use std::time::Duration;
/// # use sharedance_core::clock::Clock;
/// # use sharedance_core::store::{Look, Options};
/// # let dir = tempfile::tempdir()?;
/// # let (clock, hand) = Clock::manual();
/// # let store = Options::new().clock(clock).open(dir.path())?;
/// store.set_with_ttl("code", "1234", Duration::from_secs(300))?;
/// hand.advance(Duration::from_secs(100));
/// let seen = store.look("code", &Look::default())?.expect("it is there");
/// assert_eq!(seen.value, "1234");
/// assert_eq!(seen.expires_in, Some(Duration::from_secs(200)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Seen {
    /// The value.
    pub value: Value,
    /// Whether it was stored just now, by this look: it is empty.
    pub is_new: bool,
    /// How long it still lives; `None` where it never expires.
    pub expires_in: Option<Duration>,
    /// How long ago it was written or, if it has been since, read; in whole seconds. `None` unless
    /// [`Options::track_accesses`](crate::store::Options::track_accesses).
    pub idle: Option<Duration>,
    /// Whether it has been read since it was written. Never true unless
    /// [`Options::track_accesses`](crate::store::Options::track_accesses).
    pub was_read: bool,
    /// Whether it was marked stale: [`Store::invalidate`](crate::store::Store::invalidate).
    pub is_stale: bool,
    /// Who is to make a new value.
    pub refresh: Refresh,
}

/// Who is to make a new value. There will be no other answer.
///
/// ```
/// # use sharedance_core::store::{Look, Refresh, Store, StoreError, Ttl, Value};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let make_page = || "<html>";
/// let page = |store: &Store| -> Result<Option<Value>, StoreError> {
///     let look = Look { create: Some(Ttl::Default), ..Look::default() };
///     let Some(seen) = store.look("front page", &look)? else { return Ok(None) };
///     Ok(match seen.refresh {
///         Refresh::NotNeeded => Some(seen.value),
///         Refresh::Yours => {
///             store.set("front page", make_page())?;
///             store.get("front page")
///         }
///         Refresh::InProgress => None, // It is being made: try again soon.
///     })
/// };
/// assert_eq!(page(&store)?.unwrap(), "<html>");
/// assert_eq!(page(&store)?.unwrap(), "<html>");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A reader that was chosen and ends leaves the value as it is until it expires: give what you
/// [create](Look::create) a short life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// No reader: the value is as fresh as this reader wants it.
    NotNeeded,
    /// The reader that gets this, and no other.
    Yours,
    /// Another reader, which was chosen before.
    InProgress,
}
