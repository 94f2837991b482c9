//! What the locks of both clients have in common: the commands that make up a call, what the answers mean, and the
//! calls themselves, written once. The locks differ in how they wait.

use std::time::Duration;

use crate::command::{Guarded, GuardedOutput, Mode};
use crate::entry::Version;
use crate::error::Error;
use crate::reply::Rejection;
use crate::time::LOCK_WAIT_MAX;

/// A server counts a longer TTL as this: some 136 years.
const TTL_MAX_SECS: u64 = u32::MAX as u64;

/// The value that was read together with taking the lock; `None` where the lock was not to be had.
pub(crate) type Acquired = Option<Found>;

type Outputs = Vec<Result<GuardedOutput, Rejection>>;

/// The value of a locked key, if it was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) known: Known,
}

/// What the holder of a lock knows of the key's value, and a store of it relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It was not read.
    Nothing,
    /// There is none.
    Absent,
    /// It has this version.
    Version(Version),
}

impl Known {
    /// How a value is stored, so that a change by a client without the lock is not overwritten unseen.
    pub(crate) fn mode(self) -> Mode {
        match self {
            Known::Nothing => Mode::Set,
            Known::Absent => Mode::Add,
            Known::Version(version) => Mode::IfVersion(version),
        }
    }

    /// After the value was stored with that version, or touched, to live as `exptime` says.
    pub(crate) fn living(self, exptime: i64) -> Known {
        if exptime < 0 { Known::Nothing } else { self }
    }
}

pub(crate) fn acquire(key: &[u8], wait: Duration, ttl: Duration, with_value: bool) -> Vec<Guarded<'_>> {
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

/// Whether there was something to touch or to delete.
pub(crate) fn was(outputs: &[GuardedOutput], server: &str) -> Result<bool, Error> {
    match outputs {
        [GuardedOutput::Was(was)] => Ok(*was),
        _ => Err(expired(server)),
    }
}

/// Whether the lock was held until it was given back.
pub(crate) fn was_held(outputs: &[GuardedOutput]) -> bool {
    outputs.ends_with(&[GuardedOutput::Held(true)])
}

/// What came of a store.
pub(crate) enum Stored {
    As(Version),
    /// The lock is not held any more, or the value has another version: that is not said.
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

/// Gives a client its locks: the head of the examples' functions (they have a `client`, and a `lock`), how an example
/// waits, and what makes a function asynchronous and waits in it. `Lease` and `Pool` are the client's own.
macro_rules! guarded {
    ($client:literal, $subject:literal, $wait:literal, { $($async:ident)? }, { $($await:tt)* }) => {
        /// The lock of one key, held until this is dropped or its TTL is over; see [`Client::lock`](super::Client::lock).
        ///
        /// The key's value is read and written on the connection that holds the lock, and only for as long as it does: once
        /// the TTL is over every call changes nothing and fails with [`Error::LockExpired`], so that what the next holder
        /// stores stays. What was read under the lock is replaced only if it is still there: where a client without the
        /// lock has changed it, a store fails with [`Error::Conflict`].
        ///
        /// Dropping a lock gives it back without waiting for the server's answer; [`release`](Lock::release) waits, and
        /// returns whether the lock was held until then.
        ///
        #[doc = example!($client, $wait,
            "use std::time::Duration;\n\n\
            let (wait, ttl) = (Duration::from_secs(5), Duration::from_secs(30));\n\
            if let Some(mut lock) = client.lock(\"visitors\", wait, ttl)",
            " {\n    let visitors = lock.get()", ".unwrap_or_default();\n    \
            lock.set([&visitors[..], b\",ada\"].concat(), Ttl::Never)", ";\n} // given back here")]
        #[must_use = "a lock that is not kept is given back at once"]
        pub struct Lock {
            /// Gives the lock back when it is dropped.
            lease: Lease,
            key: Vec<u8>,
            options: Options,
            known: Known,
        }

        /// A lock, and the key's value where it was asked for.
        pub(crate) type Locked = (Lock, Option<Vec<u8>>);

        impl Lock {
            pub(crate) $($async)? fn acquire(
                servers: &Servers<Pool>,
                key: &[u8],
                wait: Duration,
                ttl: Duration,
                with_value: bool,
            ) -> Result<Option<Locked>, Error> {
                let options = servers.options;
                let deadline = Deadline::after(options.operation_timeout.saturating_add(wait));
                let commands = guarded::acquire(key, wait, ttl, with_value);
                let mut unreached = None;
                for server in servers.of(key) {
                    let mut lease = match Lease::take(server, deadline)$($await)* {
                        Ok(lease) => lease,
                        Err(error) if error.is_unreached() => {
                            unreached.get_or_insert(error);
                            continue;
                        }
                        Err(error) => return Err(error),
                    };
                    let outputs = lease.run(&commands, deadline)$($await)*?;
                    let acquired = guarded::acquired(outputs, &lease.server_name())?;
                    return Ok(acquired.map(|Found { value, known }| {
                        (Lock { lease, key: key.to_vec(), options, known }, value)
                    }));
                }
                Err(unreached.expect("there is a server for each key"))
            }

            /// The value of the key. A later store relies on it: see [`Lock`].
            ///
            /// # Errors
            /// [`Error::LockExpired`]; [`Error::LockLost`] once the connection has failed; and the others.
            ///
            #[doc = example!($subject, $wait, "let value: Option<Vec<u8>> = lock.get()", ";")]
            pub $($async)? fn get(&mut self) -> Result<Option<Vec<u8>>, Error> {
                let Found { value, known } = self.look()$($await)*?;
                self.known = known;
                Ok(value)
            }

            $($async)? fn look(&mut self) -> Result<Found, Error> {
                let outputs = self.lease.run(&[Guarded::Get { key: &self.key }], self.deadline())$($await)*?;
                guarded::found(self.accepted(outputs)?, &self.lease.server_name())
            }

            /// Stores `value` under the key.
            ///
            /// # Errors
            /// [`Error::LockExpired`] and [`Error::Conflict`]: nothing was stored; [`Error::LockLost`] once the connection
            /// has failed; and the others.
            ///
            #[doc = example!($subject, $wait, "lock.set(\"user=ada\", Ttl::from_secs(1800))", ";")]
            pub $($async)? fn set(
                &mut self,
                value: impl AsRef<[u8]>,
                ttl: impl Into<Ttl>,
            ) -> Result<(), Error> {
                let (exptime, max_request_len) = (exptime(ttl), self.options.max_request_len);
                let set = guarded_store(self.known.mode(), &self.key, value.as_ref(), exptime, max_request_len)?;
                let outputs = self.lease.run(&[Guarded::Store(set)], self.deadline())$($await)*?;
                match guarded::stored(&self.accepted(outputs)?) {
                    Stored::As(version) => {
                        self.known = Known::Version(version).living(exptime);
                        return Ok(());
                    }
                    // This fails if the lock is not held any more.
                    Stored::Refused => self.look()$($await)*.map(drop)?,
                    Stored::Changed => {}
                }
                Err(guarded::conflict(&self.lease.server_name()))
            }

            /// Starts the key's life anew, and returns whether it was there.
            ///
            /// # Errors
            /// [`Error::LockExpired`]; [`Error::LockLost`] once the connection has failed; and the others.
            ///
            #[doc = example!($subject, $wait, "let is_there = lock.touch(Ttl::from_secs(1800))", ";")]
            pub $($async)? fn touch(&mut self, ttl: impl Into<Ttl>) -> Result<bool, Error> {
                let exptime = exptime(ttl);
                let touch = Guarded::Touch(Touch { key: &self.key, exptime });
                let outputs = self.lease.run(&[touch], self.deadline())$($await)*?;
                let was_there = guarded::was(&self.accepted(outputs)?, &self.lease.server_name())?;
                self.known = self.known.living(exptime);
                Ok(was_there)
            }

            /// Deletes the key, and returns whether it was there.
            ///
            /// # Errors
            /// [`Error::LockExpired`]; [`Error::LockLost`] once the connection has failed; and the others.
            ///
            #[doc = example!($subject, $wait, "let was_there = lock.delete()", ";")]
            pub $($async)? fn delete(&mut self) -> Result<bool, Error> {
                let delete = Guarded::Delete(Delete { key: &self.key });
                let outputs = self.lease.run(&[delete], self.deadline())$($await)*?;
                let was_there = guarded::was(&self.accepted(outputs)?, &self.lease.server_name())?;
                self.known = Known::Absent;
                Ok(was_there)
            }

            /// Gives the lock back, and returns whether it was held until now: whether its TTL was long enough.
            ///
            /// # Errors
            /// See [`Error`]. The lock is given back all the same: the connection is closed.
            ///
            #[doc = example!($subject, $wait, "let was_held = lock.release()", ";")]
            pub $($async)? fn release(mut self) -> Result<bool, Error> {
                let unlock = Guarded::Unlock { key: &self.key };
                let outputs = self.lease.run(&[unlock], self.deadline())$($await)*?;
                self.accepted(outputs).map(|outputs| guarded::was_held(&outputs))
            }

            /// Stores `value` under the key and then gives the lock back, in one round trip.
            ///
            /// # Errors
            /// As [`set`](Lock::set). The lock is given back all the same.
            ///
            #[doc = example!($subject, $wait, "lock.set_and_release(\"user=ada\", Ttl::from_secs(1800))", ";")]
            pub $($async)? fn set_and_release(
                mut self,
                value: impl AsRef<[u8]>,
                ttl: impl Into<Ttl>,
            ) -> Result<(), Error> {
                let max_request_len = self.options.max_request_len;
                let set = guarded_store(self.known.mode(), &self.key, value.as_ref(), exptime(ttl), max_request_len)?;
                let commands = [Guarded::Store(set), Guarded::Unlock { key: &self.key }];
                let outputs = self.lease.run(&commands, self.deadline())$($await)*?;
                let outputs = self.accepted(outputs)?;
                let server = self.lease.server_name();
                match guarded::stored(&outputs) {
                    Stored::As(_) => Ok(()),
                    Stored::Refused if !guarded::was_held(&outputs) => Err(guarded::expired(&server)),
                    Stored::Refused | Stored::Changed => Err(guarded::conflict(&server)),
                }
            }

            fn deadline(&self) -> Deadline {
                Deadline::after(self.options.operation_timeout)
            }

            fn accepted(
                &self,
                outputs: Vec<Result<GuardedOutput, Rejection>>,
            ) -> Result<Vec<GuardedOutput>, Error> {
                guarded::accepted(outputs, &self.lease.server_name())
            }
        }

        impl fmt::Debug for Lock {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("Lock")
                    .field("server", &self.lease.server_name())
                    .field("key_len", &self.key.len())
                    .finish()
            }
        }
    };
}

pub(crate) use guarded;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_and_no_time_is_too_long_for_a_server() {
        let shown = |wait, ttl| match acquire(b"k", wait, ttl, false)[..] {
            [Guarded::Lock { wait_ms, ttl_secs, .. }] => (wait_ms, ttl_secs),
            _ => panic!("another command"),
        };
        assert_eq!(shown(Duration::ZERO, Duration::ZERO), (0, 1));
        assert_eq!(shown(Duration::from_micros(1), Duration::from_millis(1001)), (1, 2));
        assert_eq!(shown(Duration::MAX, Duration::MAX), (86_400_000, u64::from(u32::MAX)));
    }

    #[test]
    fn a_value_that_was_read_without_the_lock_is_not_shown() {
        let value = || Ok(GuardedOutput::Value(Some((b"v".to_vec(), Version(3)))));
        for second in [Ok(GuardedOutput::Refused), value()] {
            assert_eq!(acquired(vec![Ok(GuardedOutput::Held(false)), second], "s").unwrap(), None);
        }
        let found = Found { value: Some(b"v".to_vec()), known: Known::Version(Version(3)) };
        assert_eq!(acquired(vec![Ok(GuardedOutput::Held(true)), value()], "s").unwrap(), Some(found));
        let absent = Found { value: None, known: Known::Absent };
        let none = vec![Ok(GuardedOutput::Held(true)), Ok(GuardedOutput::Value(None))];
        assert_eq!(acquired(none, "s").unwrap(), Some(absent));
        let unread = Found { value: None, known: Known::Nothing };
        assert_eq!(acquired(vec![Ok(GuardedOutput::Held(true))], "s").unwrap(), Some(unread));
        // It had ended before the value was read.
        let late = acquired(vec![Ok(GuardedOutput::Held(true)), Ok(GuardedOutput::Refused)], "s");
        assert!(matches!(late, Err(Error::LockExpired { .. })));
    }
}
