//! Executes the meta commands of memcached.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::time::Duration;

use sharedance_core::protocol::memcached::meta::{self, Delete, Facts, Flags, Get, Request, Set, Status};
use sharedance_core::protocol::memcached::text::Reply;
use sharedance_core::protocol::memcached::{Exptime, Key, KeyBuffer};
use sharedance_core::store::{DeleteResult, Entry, GetOptions, Recache, Ttl};
use sharedance_core::{Version, WriteResult};

use super::context::Context;
use super::pairs::{Count, Counted, Remainder, WriteOptions, Written};
use crate::buffers::Output;

/// A retrieval without side effects.
const WITHOUT_EFFECT: GetOptions = {
    let mut options = GetOptions::new();
    options.peek = true;
    options.never_recache = true;
    options
};

/// Executes `request`.
#[inline]
pub(super) fn execute(request: &Request<'_>, context: &Context<'_>, output: &mut Output) {
    match request.needs_lock() {
        None => execute_now(request, context, output),
        Some((key, flags)) => {
            match context.locks.pin(key.bytes(&mut KeyBuffer::default()), context.connection, context.now) {
                // Dropped once the request has been executed: no other connection gets the lock before.
                Some(_pin) => execute_now(request, context, output),
                None => refuse_without_lock(request, key, flags, output),
            }
        }
    }
}

/// The response if the lock that a request needs is not held: as if the value had another version.
#[cold]
fn refuse_without_lock(request: &Request<'_>, key: Key<'_>, flags: Flags<'_>, output: &mut Output) {
    match request {
        Request::Set(set) => meta::push_stored(output.bytes(), set, Status::Exists, 0, set.update.value.len()),
        _ => meta::push_status(output.bytes(), Status::Exists, flags, key),
    }
}

#[inline]
fn execute_now(request: &Request<'_>, context: &Context<'_>, output: &mut Output) {
    let failed = match request {
        Request::Get(get) => self::get(get, context, output),
        Request::Set(set) => self::set(set, context, output),
        Request::Delete(delete) => self::delete(delete, context, output),
        Request::Count(count) => self::count(count, context, output),
        Request::Debug { key } => debug(*key, context, output),
        Request::Noop => Err(Reply::MetaNoop),
        _ => Err(Reply::Error),
    };
    if let Err(reply) = failed {
        output.bytes().extend_from_slice(reply.as_bytes());
    }
}

#[inline]
fn get(get: &Get<'_>, context: &Context<'_>, output: &mut Output) -> Result<(), Reply> {
    let mut buffer = KeyBuffer::default();
    let key = get.key.bytes(&mut buffer);
    let options = GetOptions::new()
        .touch(get.touch.map(|exptime| context.ttl(exptime)))
        .create(get.create.map(|exptime| context.ttl(exptime)))
        .create_version(get.new_version.map(Version::from))
        .recache_below(get.refresh_below.and_then(|exptime| remaining(exptime, context)))
        .peek(get.unnoticed)
        .never_recache(!context.access.may_be_chosen());
    let Some(entry) = context.get_with(key, options)? else {
        if !get.quiet {
            meta::push_status(output.bytes(), Status::Missing, get.flags, get.key);
        }
        return Ok(());
    };
    // A client that has this version does not need the value.
    let wants_value = get.wants_value && get.known_version.map(Version::from) != Some(entry.value.version());
    meta::push_found(output.bytes(), &Get { wants_value, ..*get }, &facts(&entry));
    if wants_value {
        output.push_value(entry.value);
        output.bytes().extend_from_slice(b"\r\n");
    }
    Ok(())
}

/// The remaining TTL below which a value has to be refreshed. Without an end, there is none.
fn remaining(exptime: Exptime, context: &Context<'_>) -> Option<Duration> {
    match context.ttl(exptime) {
        Ttl::After(remaining) => Some(remaining),
        _ => None,
    }
}

fn facts(entry: &Entry) -> Facts {
    Facts {
        value_len: entry.value.len(),
        client_flags: entry.value.client_flags(),
        version: entry.value.version().get(),
        ttl_secs: entry.expires_in.map(whole_secs),
        idle_secs: entry.idle.unwrap_or_default().as_secs(),
        was_read: entry.was_read,
        is_yours: entry.recache == Recache::Yours,
        is_stale: entry.is_stale,
        is_taken: entry.recache == Recache::InProgress,
    }
}

/// Rounds up, so that a TTL of a second is not reported as zero, except for one millisecond: the store lets pairs live that
/// much longer than requested.
fn whole_secs(remaining: Duration) -> u64 {
    let remaining = remaining.saturating_sub(Duration::from_millis(1));
    remaining.as_secs() + u64::from(remaining.subsec_nanos() > 0)
}

fn set(set: &Set<'_>, context: &Context<'_>, output: &mut Output) -> Result<(), Reply> {
    let value_len = Cell::new(set.update.value.len());
    let options = WriteOptions {
        may_be_stale: set.may_be_stale,
        creates: set.creates,
        new_version: set.new_version,
        value_len: set.flags.ask_for_len().then_some(&value_len),
    };
    let (status, version) = match context.write(&set.update, &options) {
        Written::Done { .. } if set.quiet => return Ok(()),
        Written::Done { version } => (Status::Done, version),
        Written::NotStored => (Status::NotStored, 0),
        Written::Exists => (Status::Exists, 0),
        Written::NotFound => (Status::NotFound, 0),
        Written::Failed(failure) => return Err(failure.into()),
    };
    meta::push_stored(output.bytes(), set, status, version, value_len.get());
    Ok(())
}

fn delete(delete: &Delete<'_>, context: &Context<'_>, output: &mut Output) -> Result<(), Reply> {
    let mut buffer = KeyBuffer::default();
    let key = delete.key.bytes(&mut buffer);
    let status = match (delete.removes_value, delete.invalidates) {
        (false, false) => match context.delete(key, delete.version)? {
            DeleteResult::Deleted(_) => Status::Done,
            DeleteResult::Conflict => Status::Exists,
            DeleteResult::NotFound => Status::NotFound,
        },
        (false, true) if delete.new_version.is_none() => {
            status_of(context.invalidate(key, delete.version, delete.touch)?)
        }
        (removes_value, is_stale) => {
            let remainder = Remainder {
                keeps_value: !removes_value,
                client_flags: delete.client_flags,
                is_stale,
                touch: delete.touch,
                new_version: delete.new_version,
            };
            status_of(context.reduce(key, delete.version, &remainder)?)
        }
    };
    if status != Status::Done || !delete.quiet {
        meta::push_status(output.bytes(), status, delete.flags, delete.key);
    }
    Ok(())
}

fn status_of(result: WriteResult) -> Status {
    match result {
        WriteResult::Stored(_) => Status::Done,
        WriteResult::Conflict => Status::Exists,
        WriteResult::NotFound => Status::NotFound,
    }
}

fn count(count: &meta::Count<'_>, context: &Context<'_>, output: &mut Output) -> Result<(), Reply> {
    let mut buffer = KeyBuffer::default();
    let key = count.key.bytes(&mut buffer);
    let change = Count {
        direction: count.direction,
        delta: count.delta,
        version: count.version.map(NonZeroU64::get),
        touch: count.touch,
        create: count.create.map(|exptime| (count.initial, exptime)),
        new_version: count.new_version,
    };
    let (number, version) = match context.count(key, &change) {
        Counted::Done { .. } | Counted::Created { .. } if count.quiet => return Ok(()),
        Counted::Done { number, version } => (number, version),
        Counted::Created { version } => (count.initial, version),
        Counted::NotANumber => return Err(Reply::NotANumber),
        Counted::Failed(failure) => return Err(failure.into()),
        missed @ (Counted::NotFound | Counted::Exists) => {
            let status = if missed == Counted::NotFound { Status::NotFound } else { Status::Exists };
            meta::push_status(output.bytes(), status, count.flags, count.key);
            return Ok(());
        }
    };
    let ttl_secs = count.flags.ask_for_ttl().then(|| ttl_secs(key, context)).flatten();
    meta::push_counted(output.bytes(), count, number, version, ttl_secs);
    Ok(())
}

fn ttl_secs(key: &[u8], context: &Context<'_>) -> Option<u64> {
    let entry = context.store.get_with(key, WITHOUT_EFFECT).ok().flatten()?;
    entry.expires_in.map(whole_secs)
}

fn debug(key: Key<'_>, context: &Context<'_>, output: &mut Output) -> Result<(), Reply> {
    context.counters.meta_debugs.add(1);
    let mut buffer = KeyBuffer::default();
    match context.store.get_with(key.bytes(&mut buffer), WITHOUT_EFFECT).map_err(|error| context.failure(&error))? {
        Some(entry) => meta::push_debug(output.bytes(), key, &facts(&entry)),
        None => output.bytes().extend_from_slice(b"EN\r\n"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remaining_ttl_is_never_more_than_was_requested() {
        let secs = |millis| whole_secs(Duration::from_millis(millis));
        assert_eq!([secs(3_600_001), secs(3_600_000), secs(3_599_002), secs(3_599_001)], [3600, 3600, 3600, 3599]);
        assert_eq!([secs(1_000), secs(2), secs(1), secs(0)], [1, 1, 0, 0]);
    }
}
