//! What the dialects of memcached do to a pair, and the counters of that. The responses are in the files of the dialects.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::time::Duration;

use sharedance_core::protocol::memcached::{Direction, Exptime, Key, KeyBuffer, Mode, Update};
use sharedance_core::store::{self, Attributes, Condition, DeleteResult, Entry, GetOptions, StoreError, Ttl, Value};
use sharedance_core::{Version, WriteResult};

use super::context::Context;
use crate::observe::CommandKind;

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// The write was executed.
    Done { version: u64 },
    /// The mode does not allow the write.
    NotStored,
    /// The value has another version.
    Exists,
    /// There is no value, so that none has the version.
    NotFound,
    /// The store failed.
    Failed(Failure),
}

/// Why the store failed, in as much detail as a client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    TooLarge,
    OutOfMemory,
    Other,
}

/// The options of a write by a meta command, besides its [`Update`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WriteOptions<'a> {
    /// Whether a value is also written if its version is too old.
    pub(super) may_be_stale: bool,
    /// Whether the value is stored where there is nothing to append or prepend to.
    pub(super) creates: bool,
    /// The version that the value gets.
    pub(super) new_version: Option<NonZeroU64>,
    /// Receives the length of the value after appending or prepending.
    pub(super) value_len: Option<&'a Cell<usize>>,
}

/// What remains of a pair that is not deleted completely.
pub(super) struct Remainder {
    /// Whether the value remains; otherwise it is replaced by an empty one with these client flags.
    pub(super) keeps_value: bool,
    pub(super) client_flags: u32,
    pub(super) is_stale: bool,
    /// The new expiration time.
    pub(super) touch: Option<Exptime>,
    pub(super) new_version: Option<NonZeroU64>,
}

/// The result of changing a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// The number has this value now.
    Done { number: u64, version: u64 },
    /// There was no number, and the initial one was stored.
    Created { version: u64 },
    /// There is no number.
    NotFound,
    /// The number has another version.
    Exists,
    /// The value is not a number.
    NotANumber,
    /// The store failed.
    Failed(Failure),
}

/// A change of a number.
pub(super) struct Count {
    pub(super) direction: Direction,
    pub(super) delta: u64,
    /// The version that the value must have.
    pub(super) version: Option<u64>,
    /// The new expiration time.
    pub(super) touch: Option<Exptime>,
    /// The initial number, if there is none, and its expiration time.
    pub(super) create: Option<(u64, Exptime)>,
    /// The version that the number gets.
    pub(super) new_version: Option<NonZeroU64>,
}

impl Context<'_> {
    /// What a client gets of an error of the store. The error itself is logged.
    #[cold]
    pub(super) fn failure(&self, error: &StoreError) -> Failure {
        self.service.log.log_store_error(error, self.now);
        match error {
            StoreError::ValueLen { .. } => Failure::TooLarge,
            StoreError::Full => Failure::OutOfMemory,
            _ => Failure::Other,
        }
    }

    pub(super) fn ttl(&self, exptime: Exptime) -> Ttl {
        match exptime {
            Exptime::Never => Ttl::Never,
            Exptime::Secs(secs) => Ttl::After(Duration::from_secs(secs.into())),
            Exptime::Until(unix_secs) => Ttl::After(Duration::from_secs(unix_secs).saturating_sub(self.unix_time)),
            Exptime::Past => Ttl::After(Duration::ZERO),
        }
    }

    /// Deletes all pairs at `at`, or now. Replaces a deletion that was scheduled before.
    pub(super) fn flush(&self, at: Exptime) -> Result<(), Failure> {
        let delay = match at {
            Exptime::Secs(secs) => Duration::from_secs(secs.into()),
            Exptime::Until(unix_secs) => Duration::from_secs(unix_secs).saturating_sub(self.unix_time),
            _ => Duration::ZERO,
        };
        self.counters.flushes.add(1);
        self.latency.note(CommandKind::FlushAll, 0, 0);
        self.store.clear_after(delay).map_err(|error| self.failure(&error))
    }

    /// The value of `key`.
    #[inline]
    pub(super) fn get(&self, key: &[u8]) -> Option<Value> {
        let value = self.store.get(key);
        let counter = if value.is_some() { &self.counters.get_hits } else { &self.counters.get_misses };
        counter.add(1);
        self.latency.note(CommandKind::Get, key.len(), value.as_ref().map_or(0, |value| value.len()));
        value
    }

    /// Sets the expiration time of `key`, and returns its value.
    pub(super) fn touch(&self, key: &[u8], exptime: Exptime) -> Result<Option<Value>, Failure> {
        self.latency.note(CommandKind::Touch, key.len(), 0);
        let options = GetOptions::new().touch(self.ttl(exptime)).never_recache(true);
        let entry = self.store.get_with(key, options).map_err(|error| self.failure(&error))?;
        let counter = if entry.is_some() { &self.counters.touch_hits } else { &self.counters.touch_misses };
        counter.add(1);
        Ok(entry.map(|entry| entry.value))
    }

    /// The value of `key`, with its metadata.
    pub(super) fn get_with(&self, key: &[u8], options: GetOptions) -> Result<Option<Entry>, Failure> {
        let entry = self.store.get_with(key, options).map_err(|error| self.failure(&error))?;
        let kind = if options.touch.is_some() { CommandKind::Touch } else { CommandKind::Get };
        self.latency.note(kind, key.len(), entry.as_ref().map_or(0, |entry| entry.value.len()));
        let counter = match (&entry, options.touch) {
            (None, _) => &self.counters.get_misses,
            (Some(_), Some(_)) => &self.counters.touch_hits,
            (Some(_), None) => &self.counters.get_hits,
        };
        counter.add(1);
        Ok(entry)
    }

    /// Writes a value.
    #[inline]
    pub(super) fn write(&self, update: &Update<'_>, options: &WriteOptions<'_>) -> Written {
        self.counters.sets.add(1);
        let mut buffer = KeyBuffer::default();
        let key = update.key.bytes(&mut buffer);
        self.latency.note(CommandKind::Set, key.len(), update.value.len());
        let compares = update.version.is_some() && update.mode != Mode::Add;
        let condition = match (update.mode, update.version) {
            (Mode::Append | Mode::Prepend, _) => return self.extend(key, update, options),
            (Mode::Add, _) => Some(Condition::Absent),
            (_, Some(version)) if options.may_be_stale => Version::new(version).map(Condition::VersionOrStale),
            (_, Some(version)) => Version::new(version).map(Condition::Version),
            (Mode::Replace, None) => Some(Condition::Present),
            (Mode::Set, None) => Some(Condition::Always),
        };
        let attributes = attributes(self.ttl(update.exptime), update, options);
        let result = match condition {
            Some(condition) => self.store.write(key, update.value, attributes, condition),
            None => self.refuse_version_zero(key, update.value.len()),
        };
        let written = match result {
            Ok(WriteResult::Stored(version)) => Written::Done { version: version.get() },
            Ok(_) if !compares => Written::NotStored,
            Ok(WriteResult::Conflict) => Written::Exists,
            Ok(WriteResult::NotFound) => Written::NotFound,
            Err(error) => Written::Failed(self.failure(&error)),
        };
        if compares {
            match written {
                Written::Done { .. } => self.counters.cas_hits.add(1),
                Written::Exists => self.counters.cas_badval.add(1),
                Written::NotFound => self.counters.cas_misses.add(1),
                _ => {}
            }
        }
        self.note_written(written, update);
        written
    }

    /// The result of a request that names version zero, which no value has.
    #[cold]
    fn refuse_version_zero(&self, key: &[u8], value_len: usize) -> Result<WriteResult, StoreError> {
        let max = self.store.max_value_len();
        if value_len > max {
            return Err(StoreError::ValueLen { len: value_len, max });
        }
        let entry = self.store.get_with(key, GetOptions::new().peek(true).never_recache(true))?;
        Ok(if entry.is_some() { WriteResult::Conflict } else { WriteResult::NotFound })
    }

    /// Counts a write. If a set was too large, deletes the old value, which would otherwise pass for the new one.
    fn note_written(&self, written: Written, update: &Update<'_>) {
        match written {
            Written::Done { .. } => {
                self.counters.stored.add(1);
                self.service.log.stored(self.now);
            }
            Written::Failed(Failure::TooLarge) => {
                self.refuse_too_large(update.key, update.is_unconditional());
            }
            Written::Failed(Failure::OutOfMemory) => self.counters.out_of_memory.add(1),
            _ => {}
        }
    }

    /// Counts a value that was too large, and deletes the old one if it `deletes`.
    pub(super) fn refuse_too_large(&self, key: Key<'_>, deletes: bool) {
        self.counters.too_large.add(1);
        if deletes && let Err(error) = self.store.delete(key.bytes(&mut KeyBuffer::default())) {
            // The client gets an error in any case.
            self.failure(&error);
        }
    }

    /// Appends or prepends.
    fn extend(&self, key: &[u8], update: &Update<'_>, options: &WriteOptions<'_>) -> Written {
        let written = loop {
            let extended = self.extend_once(key, update, options);
            let created = match extended {
                Ok(WriteResult::NotFound) if options.creates => {
                    let attributes = attributes(self.ttl(update.exptime), update, options);
                    self.store.write(key, update.value, attributes, Condition::Absent).map_err(Halt::from)
                }
                extended => extended,
            };
            break match created {
                Ok(WriteResult::Stored(version)) => Written::Done { version: version.get() },
                // Another client has created it in between.
                Ok(WriteResult::Conflict) => continue,
                Ok(WriteResult::NotFound) => Written::NotStored,
                Err(Halt::Exists) => Written::Exists,
                Err(Halt::NotANumber | Halt::Store(StoreError::ValueLen { .. })) => Written::NotStored,
                Err(Halt::Store(error)) => Written::Failed(self.failure(&error)),
            };
        };
        self.note_written(written, update);
        written
    }

    fn extend_once(&self, key: &[u8], update: &Update<'_>, options: &WriteOptions<'_>) -> Result<WriteResult, Halt> {
        // No value has version zero, which is therefore no condition.
        let expected = update.version.filter(|&version| version != 0);
        if expected.is_none() && options.new_version.is_none() && options.value_len.is_none() {
            return Ok(match update.mode {
                Mode::Append => self.store.append(key, update.value)?,
                _ => self.store.prepend(key, update.value)?,
            });
        }
        self.store.update(key, |value| {
            if expected.is_some_and(|expected| value.version().get() != expected) {
                return Err(Halt::Exists);
            }
            let parts: [&[u8]; 2] =
                if update.mode == Mode::Append { [value, update.value] } else { [update.value, value] };
            let value = parts.concat();
            if let Some(value_len) = options.value_len {
                value_len.set(value.len());
            }
            Ok(store::Update::new(value).version(options.new_version.map(Version::from)))
        })
    }

    /// Deletes a pair.
    pub(super) fn delete(&self, key: &[u8], version: Option<u64>) -> Result<DeleteResult, Failure> {
        self.latency.note(CommandKind::Delete, key.len(), 0);
        let condition =
            version.map_or(Some(Condition::Always), |version| Version::new(version).map(Condition::Version));
        let result = match condition {
            Some(condition) => self.store.delete_if(key, condition),
            None => self.refuse_version_zero(key, 0).map(|refused| match refused {
                WriteResult::NotFound => DeleteResult::NotFound,
                _ => DeleteResult::Conflict,
            }),
        };
        let result = result.map_err(|error| self.failure(&error))?;
        let counter = if result.is_deleted() { &self.counters.delete_hits } else { &self.counters.delete_misses };
        counter.add(1);
        Ok(result)
    }

    /// Marks the value as stale.
    pub(super) fn invalidate(
        &self,
        key: &[u8],
        version: Option<u64>,
        touch: Option<Exptime>,
    ) -> Result<WriteResult, Failure> {
        self.latency.note(CommandKind::Delete, key.len(), 0);
        let condition =
            version.map_or(Some(Condition::Present), |version| Version::new(version).map(Condition::Version));
        let ttl = touch.map(|exptime| self.ttl(exptime));
        let result = match condition {
            Some(condition) => self.store.invalidate(key, condition, ttl),
            None => self.refuse_version_zero(key, 0),
        };
        let result = result.map_err(|error| self.failure(&error))?;
        if !result.is_stored() {
            self.counters.delete_misses.add(1);
        }
        Ok(result)
    }

    /// Replaces a pair by its remainder, if it has this version.
    pub(super) fn reduce(
        &self,
        key: &[u8],
        version: Option<u64>,
        remainder: &Remainder,
    ) -> Result<WriteResult, Failure> {
        self.latency.note(CommandKind::Delete, key.len(), 0);
        let result = self.store.update(key, |value| {
            if version.is_some_and(|expected| expected != value.version().get()) {
                return Err(Halt::Exists);
            }
            let update = store::Update::new(if remainder.keeps_value { value.to_vec() } else { Vec::new() });
            Ok(update
                .ttl(remainder.touch.map(|exptime| self.ttl(exptime)))
                .client_flags((!remainder.keeps_value).then_some(remainder.client_flags))
                .stale(remainder.is_stale)
                .version(remainder.new_version.map(Version::from)))
        });
        let result = match result {
            Err(Halt::Exists | Halt::NotANumber) => Ok(WriteResult::Conflict),
            Err(Halt::Store(error)) => Err(self.failure(&error)),
            Ok(result) => Ok(result),
        }?;
        match result {
            WriteResult::Stored(_) if !remainder.is_stale => self.counters.delete_hits.add(1),
            WriteResult::Stored(_) => {}
            _ => self.counters.delete_misses.add(1),
        }
        Ok(result)
    }

    /// Changes a number.
    pub(super) fn count(&self, key: &[u8], count: &Count) -> Counted {
        self.latency.note(CommandKind::Count, key.len(), 0);
        let counters = self.counters;
        let (hits, misses) = match count.direction {
            Direction::Up => (&counters.incr_hits, &counters.incr_misses),
            Direction::Down => (&counters.decr_hits, &counters.decr_misses),
        };
        loop {
            let counted = self.count_once(key, count);
            match (counted, count.create) {
                (Counted::NotFound, Some((initial, exptime))) => {
                    let mut digits = Vec::new();
                    sharedance_core::protocol::memcached::text::push_digits(&mut digits, initial);
                    let attributes = Attributes::new(self.ttl(exptime)).version(count.new_version.map(Version::from));
                    match self.store.write(key, &digits, attributes, Condition::Absent) {
                        Ok(WriteResult::Stored(version)) => {
                            counters.stored.add(1);
                            return Counted::Created { version: version.get() };
                        }
                        // Another client has stored a number meanwhile: that one is changed.
                        Ok(_) => continue,
                        Err(error) => return Counted::Failed(self.failure(&error)),
                    }
                }
                (Counted::NotFound, None) => misses.add(1),
                (Counted::Done { .. }, _) => hits.add(1),
                _ => {}
            }
            return counted;
        }
    }

    fn count_once(&self, key: &[u8], count: &Count) -> Counted {
        let mut counted = 0;
        let result = self.store.update(key, |value| {
            if value.is_empty() {
                return Err(Halt::NotANumber);
            }
            if count.version.is_some_and(|expected| expected != value.version().get()) {
                return Err(Halt::Exists);
            }
            let number = padded_number(value).ok_or(Halt::NotANumber)?;
            counted = match count.direction {
                Direction::Up => number.wrapping_add(count.delta),
                Direction::Down => number.saturating_sub(count.delta),
            };
            let mut digits = Vec::with_capacity(value.len().max(20));
            sharedance_core::protocol::memcached::text::push_digits(&mut digits, counted);
            if digits.len() < value.len() {
                // The value keeps its length, as it does in memcached.
                digits.resize(value.len(), b' ');
            }
            let ttl = count.touch.map(|exptime| self.ttl(exptime));
            Ok(store::Update::new(digits).ttl(ttl).version(count.new_version.map(Version::from)))
        });
        match result {
            Ok(WriteResult::Stored(version)) => Counted::Done { number: counted, version: version.get() },
            Ok(_) => Counted::NotFound,
            Err(Halt::Exists) => Counted::Exists,
            Err(Halt::NotANumber) => Counted::NotANumber,
            Err(Halt::Store(error)) => Counted::Failed(self.failure(&error)),
        }
    }
}

fn attributes(ttl: Ttl, update: &Update<'_>, options: &WriteOptions<'_>) -> Attributes {
    Attributes::new(ttl).client_flags(update.client_flags).version(options.new_version.map(Version::from))
}

/// The number in a value, which may have spaces behind it.
fn padded_number(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii_end();
    let is_padded_with_spaces = value[digits.len()..].iter().all(|&byte| byte == b' ');
    let is_digits = is_padded_with_spaces && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_digits)?.parse().ok()
}

/// Why a value was not changed.
enum Halt {
    Exists,
    NotANumber,
    Store(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Halt {
        Halt::Store(error)
    }
}
