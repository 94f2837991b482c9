//! The commands of a call under a lock, and the meaning of their responses.

use sharedance_core::Version;

use crate::command::{Guarded, GuardedOutput, Mode};
use crate::error::Error;
use crate::options::LockOptions;
use crate::reply::Rejection;
use crate::time::LOCK_WAIT_MAX;

/// Servers limit a TTL to this: about 136 years.
const TTL_MAX_SECS: u64 = u32::MAX as u64;

/// The value that was read together with taking the lock; `None` if the lock was not obtained.
pub(crate) type Acquired = Option<Found>;

type Outputs = Vec<Result<GuardedOutput, Rejection>>;

/// The value of a locked key, if it was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) known: Known,
}

/// What the holder of a lock knows about the key's value; the condition of the next store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// The value was not read.
    Nothing,
    /// There is no value.
    Absent,
    /// The value has this version.
    Version(Version),
}

impl Known {
    /// The mode of a store that does not overwrite changes by clients without the lock.
    pub(crate) fn mode(self) -> Mode {
        match self {
            Known::Nothing => Mode::Set,
            Known::Absent => Mode::Add,
            Known::Version(version) => Mode::IfVersion(version),
        }
    }

    /// Records that the value was stored with that version, or touched, with the expiration number `exptime`.
    pub(crate) fn living(self, exptime: i64) -> Known {
        if exptime < 0 { Known::Nothing } else { self }
    }
}

pub(crate) fn acquire(key: &[u8], LockOptions { wait, ttl }: LockOptions, with_value: bool) -> Vec<Guarded<'_>> {
    let wait_ms = wait.min(LOCK_WAIT_MAX).as_nanos().div_ceil(1_000_000) as u64;
    let ttl_secs = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0)).clamp(1, TTL_MAX_SECS);
    let lock = Guarded::Lock { key, wait_ms, ttl_secs };
    match with_value {
        true => vec![lock, Guarded::Get { key }],
        false => vec![lock],
    }
}

pub(crate) fn acquired(outputs: Outputs, server: &str) -> Result<Acquired, Error> {
    match &mut accepted(outputs, server)?[..] {
        [GuardedOutput::Held(false), ..] => Ok(None),
        [_, found] => found_in(found, server).map(Some),
        _ => Ok(Some(Found { value: None, known: Known::Nothing })),
    }
}

pub(crate) fn accepted(outputs: Outputs, server: &str) -> Result<Vec<GuardedOutput>, Error> {
    let rejected = |rejection| Error::Rejected { server: server.to_owned(), rejection };
    outputs.into_iter().collect::<Result<_, _>>().map_err(rejected)
}

/// The value that was read.
pub(crate) fn found(mut outputs: Vec<GuardedOutput>, server: &str) -> Result<Found, Error> {
    found_in(&mut outputs[0], server)
}

fn found_in(output: &mut GuardedOutput, server: &str) -> Result<Found, Error> {
    match output {
        GuardedOutput::Value(found) => Ok(match found.take() {
            Some((value, version)) => Found { value: Some(value), known: Known::Version(version) },
            None => Found { value: None, known: Known::Absent },
        }),
        _ => Err(expired(server)),
    }
}

/// Whether there was a value to touch or to delete.
pub(crate) fn was(outputs: &[GuardedOutput], server: &str) -> Result<bool, Error> {
    match outputs {
        [GuardedOutput::Was(was)] => Ok(*was),
        _ => Err(expired(server)),
    }
}

/// Whether the lock was held until its release.
pub(crate) fn was_held(outputs: &[GuardedOutput]) -> bool {
    outputs.ends_with(&[GuardedOutput::Held(true)])
}

/// The result of a store.
pub(crate) enum Stored {
    As(Version),
    /// The lock is no longer held, or the value has another version: the response does not distinguish these cases.
    Refused,
    /// A client without the lock has changed the value.
    Changed,
}

pub(crate) fn stored(outputs: &[GuardedOutput]) -> Stored {
    match outputs {
        [GuardedOutput::Stored(version), ..] => Stored::As(*version),
        [GuardedOutput::Changed, ..] => Stored::Changed,
        _ => Stored::Refused,
    }
}

pub(crate) fn expired(server: &str) -> Error {
    Error::LockExpired { server: server.to_owned() }
}

pub(crate) fn conflict(server: &str) -> Error {
    Error::Conflict { server: server.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_rounded_up_and_no_time_is_too_long_for_a_server() {
        let shown = |wait, ttl| match acquire(b"k", LockOptions::new().wait(wait).ttl(ttl), false)[..] {
            [Guarded::Lock { wait_ms, ttl_secs, .. }] => (wait_ms, ttl_secs),
            _ => panic!("another command"),
        };
        assert_eq!(shown(Duration::ZERO, Duration::ZERO), (0, 1));
        assert_eq!(shown(Duration::from_micros(1), Duration::from_millis(1001)), (1, 2));
        assert_eq!(shown(Duration::MAX, Duration::MAX), (86_400_000, u64::from(u32::MAX)));
    }

    #[test]
    fn a_value_that_was_read_without_the_lock_is_not_shown() {
        let value = || Ok(GuardedOutput::Value(Some((b"v".to_vec(), Version::new(3).unwrap()))));
        for second in [Ok(GuardedOutput::Refused), value()] {
            assert_eq!(acquired(vec![Ok(GuardedOutput::Held(false)), second], "s").unwrap(), None);
        }
        let found = Found { value: Some(b"v".to_vec()), known: Known::Version(Version::new(3).unwrap()) };
        assert_eq!(acquired(vec![Ok(GuardedOutput::Held(true)), value()], "s").unwrap(), Some(found));
        let absent = Found { value: None, known: Known::Absent };
        let none = vec![Ok(GuardedOutput::Held(true)), Ok(GuardedOutput::Value(None))];
        assert_eq!(acquired(none, "s").unwrap(), Some(absent));
        let unread = Found { value: None, known: Known::Nothing };
        assert_eq!(acquired(vec![Ok(GuardedOutput::Held(true))], "s").unwrap(), Some(unread));
        // The lock had ended before the value was read.
        let late = acquired(vec![Ok(GuardedOutput::Held(true)), Ok(GuardedOutput::Refused)], "s");
        assert!(matches!(late, Err(Error::LockExpired { .. })));
    }
}
