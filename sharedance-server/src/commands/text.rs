//! Executes the requests of the text dialect of memcached.

use sharedance_core::protocol::memcached::text::{self, Get, Reply, Request};
use sharedance_core::protocol::memcached::{Direction, Key};
use sharedance_core::store::DeleteResult;

use super::context::Context;
use super::pairs::{Count, Counted, Failure, WriteOptions, Written};
use super::step::Step;
use super::{meta, stats};
use crate::buffers::Output;

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Reply {
        match failure {
            Failure::TooLarge => Reply::TooLarge,
            Failure::OutOfMemory => Reply::OutOfMemory,
            Failure::Other => Reply::Failed,
        }
    }
}

impl From<Written> for Reply {
    fn from(written: Written) -> Reply {
        match written {
            Written::Done { .. } => Reply::Stored,
            Written::NotStored => Reply::NotStored,
            Written::Exists => Reply::Exists,
            Written::NotFound => Reply::NotFound,
            Written::Failed(failure) => failure.into(),
        }
    }
}

/// Executes `request`, which had `consumed` bytes.
#[inline]
pub(super) fn execute<'a>(
    request: Request<'a>,
    consumed: usize,
    context: &Context<'_>,
    output: &mut Output,
) -> Step<'a> {
    let (reply, noreply) = match request {
        Request::Get(get) => {
            retrieve(&get, context, output);
            return Step::Done { consumed };
        }
        Request::Update { update, noreply } => (context.write(&update, &WriteOptions::default()).into(), noreply),
        Request::Meta(request) => {
            meta::execute(&request, context, output);
            return Step::Done { consumed };
        }
        Request::Discarded => return Step::Done { consumed },
        Request::Lock { key, wait, ttl } => return Step::Lock { consumed, key, wait, ttl },
        Request::Unlock { key } => return Step::Unlock { consumed, key },
        Request::UnlockAll { opaque } => return Step::UnlockAll { consumed, opaque },
        Request::Quit => return Step::Last { consumed },
        Request::EndOfGet => (Reply::End, false),
        Request::TooLarge { key, deletes, noreply } => {
            context.refuse_too_large(key, deletes);
            (Reply::TooLarge, noreply)
        }
        Request::Delete { key, noreply } => (delete(key, context), noreply),
        Request::Count { key, direction, delta, noreply } => match count(key, direction, delta, context) {
            Ok(number) => {
                if !noreply {
                    text::push_number(output.bytes(), number);
                }
                return Step::Done { consumed };
            }
            Err(reply) => (reply, noreply),
        },
        Request::Touch { key, exptime, noreply } => match context.touch(key.encoded(), exptime) {
            Ok(Some(_)) => (Reply::Touched, noreply),
            Ok(None) => (Reply::NotFound, noreply),
            Err(failure) => (failure.into(), noreply),
        },
        Request::FlushAll { at, noreply } => match context.flush(at) {
            Ok(()) => (Reply::Ok, noreply),
            Err(failure) => (failure.into(), noreply),
        },
        Request::Stats { about } => {
            stats::respond_in_text(about, context, output.bytes());
            return Step::Done { consumed };
        }
        Request::Version => {
            let bytes = output.bytes();
            bytes.extend_from_slice(b"VERSION ");
            bytes.extend_from_slice(stats::VERSION.as_bytes());
            bytes.extend_from_slice(b"\r\n");
            return Step::Done { consumed };
        }
        Request::Verbosity { noreply } => (Reply::Ok, noreply),
        Request::Refused(reply) => (reply, false),
        Request::Fatal(reply) => {
            output.bytes().extend_from_slice(reply.as_bytes());
            return Step::Last { consumed };
        }
        _ => (Reply::Error, false),
    };
    if !noreply {
        output.bytes().extend_from_slice(reply.as_bytes());
    }
    Step::Done { consumed }
}

#[inline]
fn retrieve(get: &Get<'_>, context: &Context<'_>, output: &mut Output) {
    let value = match get.touch {
        None => context.get(get.key),
        // If the expiration time cannot be changed, the value is not returned either.
        Some(exptime) => context.touch(get.key, exptime).unwrap_or_default(),
    };
    if let Some(value) = value {
        let version = get.with_version.then(|| value.version().get());
        text::push_value(output.bytes(), get.key, value.client_flags(), value.len(), version);
        output.push_value(value);
        output.bytes().extend_from_slice(b"\r\n");
    }
    if get.is_last {
        output.bytes().extend_from_slice(Reply::End.as_bytes());
    }
}

fn count(key: Key<'_>, direction: Direction, delta: u64, context: &Context<'_>) -> Result<u64, Reply> {
    let count = Count { direction, delta, version: None, touch: None, create: None, new_version: None };
    match context.count(key.encoded(), &count) {
        Counted::Done { number, .. } => Ok(number),
        Counted::NotANumber => Err(Reply::NotANumber),
        Counted::Failed(failure) => Err(failure.into()),
        Counted::NotFound | Counted::Exists | Counted::Created { .. } => Err(Reply::NotFound),
    }
}

fn delete(key: Key<'_>, context: &Context<'_>) -> Reply {
    match context.delete(key.encoded(), None) {
        Ok(DeleteResult::Deleted(_)) => Reply::Deleted,
        Ok(_) => Reply::NotFound,
        Err(failure) => failure.into(),
    }
}
