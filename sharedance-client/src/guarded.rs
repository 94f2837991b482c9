//! What the locks of both clients have in common: the commands that make up a call, what the answers mean, and the
//! calls themselves, written once. The locks differ in how they wait.

use std::time::Duration;

use crate::command::{Get, Guarded, GuardedOutput};
use crate::entry::Swap;
use crate::error::Error;
use crate::reply::Rejection;

/// A value under a lock, or none where the lock was not to be had.
pub(crate) type Acquired = Option<Option<Vec<u8>>>;

type Outputs = Vec<Result<GuardedOutput, Rejection>>;

pub(crate) fn acquire(key: &[u8], wait: Duration, ttl: Duration, with_value: bool) -> Vec<Guarded<'_>> {
    let wait_ms = wait.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(u64::MAX);
    let ttl_secs = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0)).max(1);
    let lock = Guarded::Lock { key, wait_ms, ttl_secs };
    match with_value {
        true => vec![lock, Guarded::Get(Get { key, exptime: None })],
        false => vec![lock],
    }
}

pub(crate) fn acquired(outputs: Outputs, server: &str) -> Result<Acquired, Error> {
    let mut value = None;
    for output in accepted(outputs, server)? {
        match output {
            GuardedOutput::Was(false) => return Ok(None),
            GuardedOutput::Value(found) => value = found,
            GuardedOutput::Was(true) | GuardedOutput::Stored(_) => {}
        }
    }
    Ok(Some(value))
}

pub(crate) fn accepted(outputs: Outputs, server: &str) -> Result<Vec<GuardedOutput>, Error> {
    let rejected = |rejection| Error::Rejected { server: server.to_owned(), rejection };
    outputs.into_iter().collect::<Result<_, _>>().map_err(rejected)
}

/// The value that was read, if there is one.
pub(crate) fn value(outputs: Vec<GuardedOutput>) -> Option<Vec<u8>> {
    outputs.into_iter().find_map(|output| match output {
        GuardedOutput::Value(value) => value,
        _ => None,
    })
}

/// Whether all that was asked for was so.
pub(crate) fn was(outputs: &[GuardedOutput]) -> bool {
    outputs.iter().all(|output| matches!(output, GuardedOutput::Was(true) | GuardedOutput::Stored(Swap::Stored)))
}

/// Gives a client its locks: the head of the examples' functions (they have a `client`, and a `lock`), how an example
/// waits, and what makes a function asynchronous and waits in it. `Lease` and `Pool` are the client's own.
macro_rules! guarded {
    ($client:literal, $subject:literal, $wait:literal, { $($async:ident)? }, { $($await:tt)* }) => {
        /// The lock of one key, held until this is dropped or its TTL is over; see [`Client::lock`](super::Client::lock).
        ///
        /// The key's value is read and written on the connection that holds the lock. Dropping it gives the lock back
        /// without waiting for the server to say so; [`release`](Lock::release) waits, and tells whether it was held to
        /// the end.
        ///
        #[doc = example!($client, $wait,
            "use std::time::Duration;\n\n\
            let (wait, ttl) = (Duration::from_secs(5), Duration::from_secs(30));\n\
            if let Some(mut lock) = client.lock(\"visitors\", wait, ttl)",
            " {\n    let visitors = lock.get()", ".unwrap_or_default();\n    \
            lock.set([&visitors[..], b\",ada\"].concat(), Ttl::Never)", ";\n} // given back here")]
        #[must_use = "a lock that is not kept is given back at once"]
        pub struct Lock {
            lease: Lease,
            key: Vec<u8>,
            options: Options,
            is_held: bool,
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
                    let value = guarded::acquired(outputs, &lease.server_name())?;
                    return Ok(value.map(|value| (Lock { lease, key: key.to_vec(), options, is_held: true }, value)));
                }
                Err(unreached.expect("there is a server for each key"))
            }

            /// The value of the key.
            ///
            /// # Errors
            /// See [`Error`]. Once a connection has failed, the lock is lost, and each further call says so.
            ///
            #[doc = example!($subject, $wait, "let value: Option<Vec<u8>> = lock.get()", ";")]
            pub $($async)? fn get(&mut self) -> Result<Option<Vec<u8>>, Error> {
                let get = Guarded::Get(Get { key: &self.key, exptime: None });
                let outputs = self.lease.run(&[get], self.deadline())$($await)*?;
                Ok(guarded::value(self.accepted(outputs)?))
            }

            /// Stores `value` under the key.
            ///
            /// # Errors
            /// See [`Error`]. Once a connection has failed, the lock is lost, and each further call says so.
            ///
            #[doc = example!($subject, $wait, "lock.set(\"user=ada\", Ttl::from_secs(1800))", ";")]
            pub $($async)? fn set(
                &mut self,
                value: impl AsRef<[u8]>,
                ttl: impl Into<Ttl>,
            ) -> Result<(), Error> {
                let max_value_len = self.options.max_value_len;
                let set = store(Mode::Set, &self.key, value.as_ref(), exptime(ttl), max_value_len)?;
                let outputs = self.lease.run(&[Guarded::Store(set)], self.deadline())$($await)*?;
                self.accepted(outputs).map(drop)
            }

            /// Starts the key's life anew, and says whether it was there.
            ///
            /// # Errors
            /// See [`Error`]. Once a connection has failed, the lock is lost, and each further call says so.
            ///
            #[doc = example!($subject, $wait, "let is_there = lock.touch(Ttl::from_secs(1800))", ";")]
            pub $($async)? fn touch(&mut self, ttl: impl Into<Ttl>) -> Result<bool, Error> {
                let touch = Guarded::Touch(Touch { key: &self.key, exptime: exptime(ttl) });
                let outputs = self.lease.run(&[touch], self.deadline())$($await)*?;
                self.accepted(outputs).map(|outputs| guarded::was(&outputs))
            }

            /// Deletes the key, and says whether it was there.
            ///
            /// # Errors
            /// See [`Error`]. Once a connection has failed, the lock is lost, and each further call says so.
            ///
            #[doc = example!($subject, $wait, "let was_there = lock.delete()", ";")]
            pub $($async)? fn delete(&mut self) -> Result<bool, Error> {
                let delete = Guarded::Delete(Delete { key: &self.key });
                let outputs = self.lease.run(&[delete], self.deadline())$($await)*?;
                self.accepted(outputs).map(|outputs| guarded::was(&outputs))
            }

            /// Gives the lock back, and says whether it was held until now: whether its TTL was long enough.
            ///
            /// # Errors
            /// See [`Error`]. The lock is given back all the same: the connection is closed.
            ///
            #[doc = example!($subject, $wait, "let was_held = lock.release()", ";")]
            pub $($async)? fn release(mut self) -> Result<bool, Error> {
                self.is_held = false;
                let unlock = Guarded::Unlock { key: &self.key };
                let outputs = self.lease.run(&[unlock], self.deadline())$($await)*?;
                self.accepted(outputs).map(|outputs| guarded::was(&outputs))
            }

            /// Stores `value` under the key and then gives the lock back, in one round trip. Says whether it was held
            /// until then: whether its TTL was long enough.
            ///
            /// # Errors
            /// See [`Error`]. The lock is given back all the same.
            ///
            #[doc = example!($subject, $wait, "let was_held = lock.set_and_release(\"user=ada\", Ttl::from_secs(1800))", ";")]
            pub $($async)? fn set_and_release(
                mut self,
                value: impl AsRef<[u8]>,
                ttl: impl Into<Ttl>,
            ) -> Result<bool, Error> {
                let max_value_len = self.options.max_value_len;
                let set = store(Mode::Set, &self.key, value.as_ref(), exptime(ttl), max_value_len)?;
                self.is_held = false;
                let commands = [Guarded::Store(set), Guarded::Unlock { key: &self.key }];
                let outputs = self.lease.run(&commands, self.deadline())$($await)*?;
                self.accepted(outputs).map(|outputs| guarded::was(&outputs))
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

        impl Drop for Lock {
            fn drop(&mut self) {
                if self.is_held {
                    self.lease.unlock_at_once(&self.key);
                }
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
    fn times_are_rounded_up_and_a_ttl_is_never_none() {
        let shown = |wait, ttl| match acquire(b"k", wait, ttl, false)[..] {
            [Guarded::Lock { wait_ms, ttl_secs, .. }] => (wait_ms, ttl_secs),
            _ => panic!("another command"),
        };
        assert_eq!(shown(Duration::ZERO, Duration::ZERO), (0, 1));
        assert_eq!(shown(Duration::from_micros(1), Duration::from_millis(1001)), (1, 2));
        assert_eq!(shown(Duration::MAX, Duration::MAX), (u64::MAX, u64::MAX));
    }

    #[test]
    fn a_value_that_was_read_without_the_lock_is_not_shown() {
        let missed = vec![Ok(GuardedOutput::Was(false)), Ok(GuardedOutput::Value(Some(b"v".to_vec())))];
        assert_eq!(acquired(missed, "s").unwrap(), None);
        let held = vec![Ok(GuardedOutput::Was(true)), Ok(GuardedOutput::Value(Some(b"v".to_vec())))];
        assert_eq!(acquired(held, "s").unwrap(), Some(Some(b"v".to_vec())));
    }
}
