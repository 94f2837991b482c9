//! Executes the requests of the binary dialect of memcached.

use sharedance_core::protocol::memcached::binary::{self, Command, Request, Status, Tag};
use sharedance_core::protocol::memcached::{Exptime, Mode, Update};
use sharedance_core::store::DeleteResult;

use super::context::Context;
use super::pairs::{Count, Counted, Failure, WriteOptions, Written};
use super::stats;
use super::step::Step;
use crate::buffers::Output;

impl From<Failure> for Status {
    fn from(failure: Failure) -> Status {
        match failure {
            Failure::TooLarge => Status::TooLarge,
            Failure::OutOfMemory => Status::OutOfMemory,
            Failure::Other => Status::Failed,
        }
    }
}

/// The result of a request without a response of its own form: the version of the written value, or zero.
type Result = std::result::Result<u64, Status>;

/// Executes `request`, which had `consumed` bytes.
pub(super) fn execute<'a>(
    request: Request<'a>,
    consumed: usize,
    context: &Context<'_>,
    output: &mut Output,
) -> Step<'a> {
    let Request { command, tag, quiet } = request;
    let mut is_last = false;
    let result = match command {
        Command::Get { key, with_key, wants_value, touch } => {
            let get = Get { key: if with_key { key } else { &[] }, wants_value, quiet };
            match retrieve(key, touch, &get, tag, context, output) {
                Ok(()) => return Step::Done { consumed },
                Err(status) => Err(status),
            }
        }
        Command::Update(update) => write(update, context),
        Command::TooLarge { key, deletes } => {
            context.refuse_too_large(key, deletes);
            Err(Status::TooLarge)
        }
        Command::Delete { key, version } => match context.delete(key, version) {
            Ok(DeleteResult::Deleted(_)) => Ok(0),
            Ok(DeleteResult::Conflict) => Err(Status::Exists),
            Ok(DeleteResult::NotFound) => Err(Status::NotFound),
            Err(failure) => Err(failure.into()),
        },
        Command::Count { key, direction, delta, initial, create, version } => {
            let create = create.map(|exptime| (initial, exptime));
            let count = Count { direction, delta, version, touch: None, create, new_version: None };
            match count_to(key, &count, initial, context) {
                Ok((number, version)) => {
                    if !quiet {
                        binary::push_number(output.bytes(), tag, number, version);
                    }
                    return Step::Done { consumed };
                }
                Err(status) => Err(status),
            }
        }
        Command::FlushAll { at } => context.flush(at).map(|()| 0).map_err(Status::from),
        Command::Noop => Ok(0),
        Command::Version => {
            binary::push_text(output.bytes(), tag, stats::VERSION);
            return Step::Done { consumed };
        }
        Command::Stats { about } => match stats::respond_in_binary(about, context, output.bytes(), tag) {
            Ok(()) => return Step::Done { consumed },
            Err(status) => Err(status),
        },
        Command::Quit => {
            is_last = true;
            Ok(0)
        }
        Command::SaslMechanisms | Command::SaslAuthenticate { .. } | Command::Unknown => Err(Status::UnknownCommand),
        Command::Invalid(status) => {
            is_last = true;
            Err(status)
        }
        _ => return Step::Done { consumed },
    };
    match result {
        Ok(_) if quiet => {}
        Ok(version) => binary::push_done(output.bytes(), tag, version),
        Err(status) => binary::push_error(output.bytes(), tag, status),
    }
    if is_last { Step::Last { consumed } } else { Step::Done { consumed } }
}

/// What the response to a retrieval contains.
struct Get<'a> {
    /// Empty unless the response repeats it.
    key: &'a [u8],
    wants_value: bool,
    quiet: bool,
}

fn retrieve(
    key: &[u8],
    touch: Option<Exptime>,
    get: &Get<'_>,
    tag: Tag,
    context: &Context<'_>,
    output: &mut Output,
) -> std::result::Result<(), Status> {
    let value = match touch {
        None => context.get(key),
        Some(exptime) => context.touch(key, exptime)?,
    };
    match value {
        Some(value) => {
            let value_len = if get.wants_value { value.len() } else { 0 };
            binary::push_found(output.bytes(), tag, value.client_flags(), get.key, value_len, value.version().get());
            if get.wants_value {
                output.push_value(value);
            }
        }
        None if get.quiet => {}
        None => binary::push_missing(output.bytes(), tag, get.key),
    }
    Ok(())
}

fn write(update: Update<'_>, context: &Context<'_>) -> Result {
    // With a version, a write that replaces a value depends on the version alone.
    let mode = match (update.mode, update.version) {
        (Mode::Add | Mode::Replace, Some(_)) => Mode::Set,
        (mode, _) => mode,
    };
    match context.write(&Update { mode, ..update }, &WriteOptions::default()) {
        Written::Done { version } => Ok(version),
        Written::Exists => Err(Status::Exists),
        Written::NotFound => Err(Status::NotFound),
        Written::NotStored => Err(match update.mode {
            Mode::Add => Status::Exists,
            Mode::Replace => Status::NotFound,
            _ => Status::NotStored,
        }),
        Written::Failed(failure) => Err(failure.into()),
    }
}

fn count_to(key: &[u8], count: &Count, initial: u64, context: &Context<'_>) -> std::result::Result<(u64, u64), Status> {
    match context.count(key, count) {
        Counted::Done { number, version } => Ok((number, version)),
        Counted::Created { version } => Ok((initial, version)),
        Counted::NotFound => Err(Status::NotFound),
        Counted::Exists => Err(Status::Exists),
        Counted::NotANumber => Err(Status::NotANumber),
        Counted::Failed(failure) => Err(failure.into()),
    }
}
