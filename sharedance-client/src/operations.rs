//! The calls that the blocking client and the one for tokio have in common, written once: what they mean, and which
//! commands they are. The clients differ in how they wait.

use crate::command::{Mode, STORE_FLAGS, Store};
use crate::entry::Swap;
use crate::error::Error;
use crate::key;
use crate::time::unix_secs;
use crate::ttl::Ttl;

/// An example: what stands before it, then pieces that are waited for one after the other.
macro_rules! example {
    ($subject:literal, $wait:literal, $call:literal $(, $rest:literal)*) => {
        concat!(
            "```no_run\n# use sharedance_client::{Error, Ttl};\n# ", $subject, " -> Result<(), Error> {\n",
            $call, $($wait, $rest,)* "\n# Ok(())\n# }\n```"
        )
    };
}

/// Gives a client all of the calls: the head of the examples' function, how an example waits for a result and for those
/// of a batch, and what makes a function asynchronous and waits in it. `Client`, `Lock` and `Lease` are the client's own.
macro_rules! operations {
    ($subject:literal, $wait:literal, $wait_all:literal, { $($async:ident)? }, { $($await:tt)* }) => {
        impl Client {
            /// The value of `key`.
            ///
            /// # Errors
            /// See [`Error`].
            ///
            #[doc = example!($subject, $wait, "let page: Option<Vec<u8>> = client.get(\"page-42\")", ";")]
            pub $($async)? fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Error> {
                let key = checked(key.as_ref())?;
                self.run(Get { key, exptime: None })$($await)*
            }

            /// The value of `key`, its version, and what else is known of it.
            ///
            /// # Errors
            /// See [`Error`].
            ///
            #[doc = example!($subject, $wait, "if let Some(entry) = client.get_entry(\"page-42\")",
                " {\n    println!(\"{} bytes\", entry.value.len());\n}")]
            pub $($async)? fn get_entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>, Error> {
                let key = checked(key.as_ref())?;
                self.run(GetEntry { key })$($await)*
            }

            /// The value of `key`, whose life starts anew.
            ///
            /// # Errors
            /// See [`Error`].
            ///
            #[doc = example!($subject, $wait, "let session = client.get_and_touch(\"session-17\", Ttl::from_secs(1800))", ";")]
            pub $($async)? fn get_and_touch(
                &self,
                key: impl AsRef<[u8]>,
                ttl: impl Into<Ttl>,
            ) -> Result<Option<Vec<u8>>, Error> {
                let (key, exptime) = (checked(key.as_ref())?, exptime(ttl));
                self.run(Get { key, exptime: Some(exptime) })$($await)*
            }

            /// Starts the life of `key` anew, and says whether it was there.
            ///
            /// # Errors
            /// See [`Error`].
            ///
            #[doc = example!($subject, $wait, "let is_there = client.touch(\"session-17\", Ttl::from_secs(1800))", ";")]
            pub $($async)? fn touch(&self, key: impl AsRef<[u8]>, ttl: impl Into<Ttl>) -> Result<bool, Error> {
                let (key, exptime) = (checked(key.as_ref())?, exptime(ttl));
                self.run(Touch { key, exptime })$($await)*
            }

            /// Stores `value` under `key`, and replaces what is there. When this returns, the server has acknowledged it.
            ///
            /// # Errors
            /// See [`Error`]. Where the value is too large for the server ([`Rejection::ValueTooLarge`]), the old one is
            /// gone too; where this client refuses it ([`Error::TooLarge`]), the old one stays.
            ///
            /// [`Rejection::ValueTooLarge`]: crate::Rejection::ValueTooLarge
            ///
            #[doc = example!($subject, $wait, "client.set(\"page-42\", \"<p>Hello\", Ttl::from_secs(60))", ";")]
            pub $($async)? fn set(
                &self,
                key: impl AsRef<[u8]>,
                value: impl AsRef<[u8]>,
                ttl: impl Into<Ttl>,
            ) -> Result<(), Error> {
                self.store(Mode::Set, key.as_ref(), value.as_ref(), exptime(ttl))$($await)*.map(drop)
            }

            /// Stores `value` under `key` if nothing is there, and says whether it did.
            ///
            /// # Errors
            /// See [`Error`].
            ///
            #[doc = example!($subject, $wait, "let is_ours = client.add(\"job-9\", \"taken\", Ttl::from_secs(60))", ";")]
            pub $($async)? fn add(
                &self,
                key: impl AsRef<[u8]>,
                value: impl AsRef<[u8]>,
                ttl: impl Into<Ttl>,
            ) -> Result<bool, Error> {
                self.store(Mode::Add, key.as_ref(), value.as_ref(), exptime(ttl))$($await)*.map(is_stored)
            }

            /// Stores `value` under `key` if something is there, and says whether it did.
            ///
            /// # Errors
            /// See [`Error`].
            ///
            #[doc = example!($subject, $wait,
                "let was_there = client.replace(\"session-17\", \"user=ada\", Ttl::from_secs(1800))", ";")]
            pub $($async)? fn replace(
                &self,
                key: impl AsRef<[u8]>,
                value: impl AsRef<[u8]>,
                ttl: impl Into<Ttl>,
            ) -> Result<bool, Error> {
                self.store(Mode::Replace, key.as_ref(), value.as_ref(), exptime(ttl))$($await)*.map(is_stored)
            }

            /// Puts `suffix` behind the value of `key`, which lives on as long as it would have, and says whether there
            /// was one.
            ///
            /// # Errors
            /// See [`Error`].
            ///
            #[doc = example!($subject, $wait, "let was_there = client.append(\"visitors\", \",ada\")", ";")]
            pub $($async)? fn append(
                &self,
                key: impl AsRef<[u8]>,
                suffix: impl AsRef<[u8]>,
            ) -> Result<bool, Error> {
                self.store(Mode::Append, key.as_ref(), suffix.as_ref(), 0)$($await)*.map(is_stored)
            }

            /// Puts `prefix` before the value of `key`, which lives on as long as it would have, and says whether there
            /// was one.
            ///
            /// # Errors
            /// See [`Error`].
            ///
            #[doc = example!($subject, $wait, "let was_there = client.prepend(\"visitors\", \"ada,\")", ";")]
            pub $($async)? fn prepend(
                &self,
                key: impl AsRef<[u8]>,
                prefix: impl AsRef<[u8]>,
            ) -> Result<bool, Error> {
                self.store(Mode::Prepend, key.as_ref(), prefix.as_ref(), 0)$($await)*.map(is_stored)
            }

            /// Stores `value` under `key` if the value there has still this version, which
            /// [`get_entry`](Client::get_entry)
            /// has told.
            ///
            /// # Errors
            /// See [`Error`].
            ///
            #[doc = example!($subject, $wait, "if let Some(entry) = client.get_entry(\"cart-3\")",
                " {\n    let more = [&entry.value[..], b\",apples\"].concat();\n    let swap = client.compare_and_set(\"cart-3\", more, Ttl::Never, entry.version)",
                ";\n}")]
            pub $($async)? fn compare_and_set(
                &self,
                key: impl AsRef<[u8]>,
                value: impl AsRef<[u8]>,
                ttl: impl Into<Ttl>,
                version: Version,
            ) -> Result<Swap, Error> {
                self.store(Mode::IfVersion(version), key.as_ref(), value.as_ref(), exptime(ttl))$($await)*
            }

            /// Adds `by` to the decimal number under `key`, and answers the sum, or `None` if nothing is there. It wraps
            /// around at 2⁶⁴.
            ///
            /// # Errors
            /// See [`Error`]; [`Rejection::NotANumber`](crate::Rejection::NotANumber) where another kind of value is there.
            ///
            #[doc = example!($subject, $wait, "let visits: Option<u64> = client.incr(\"visits\", 1)", ";")]
            pub $($async)? fn incr(&self, key: impl AsRef<[u8]>, by: u64) -> Result<Option<u64>, Error> {
                let key = checked(key.as_ref())?;
                self.run(Count { key, direction: Direction::Up, by })$($await)*
            }

            /// Subtracts `by` from the decimal number under `key`, but not below zero, and answers the difference, or
            /// `None` if nothing is there.
            ///
            /// # Errors
            /// See [`Error`]; [`Rejection::NotANumber`](crate::Rejection::NotANumber) where another kind of value is there.
            ///
            #[doc = example!($subject, $wait, "let left: Option<u64> = client.decr(\"tickets\", 2)", ";")]
            pub $($async)? fn decr(&self, key: impl AsRef<[u8]>, by: u64) -> Result<Option<u64>, Error> {
                let key = checked(key.as_ref())?;
                self.run(Count { key, direction: Direction::Down, by })$($await)*
            }

            /// Deletes `key`, and says whether it was there.
            ///
            /// # Errors
            /// See [`Error`].
            ///
            #[doc = example!($subject, $wait, "let was_there = client.delete(\"session-17\")", ";")]
            pub $($async)? fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
                let key = checked(key.as_ref())?;
                self.run(Delete { key })$($await)*
            }

            /// The values of all `keys`, in a round trip for each server. A server that is down costs its own keys only.
            ///
            #[doc = example!($subject, $wait_all, "for value in client.get_many(&[\"page-1\", \"page-2\"])",
                ".all()? {\n    println!(\"{} bytes\", value.map_or(0, |value| value.len()));\n}")]
            pub $($async)? fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> BatchResults<Option<Vec<u8>>> {
                self.run_all(keys.iter().map(|key| Ok(Get { key: checked(key.as_ref())?, exptime: None })))$($await)*
            }

            /// Stores all `pairs` of a key and a value, as
            /// [`set`](Client::set)
            /// does, in few round trips to each server. Of the same key twice the last stays. A server that is down, or a
            /// value that is refused, costs its own keys only.
            ///
            #[doc = example!($subject, $wait_all, "client.set_many(&[(\"page-1\", \"one\"), (\"page-2\", \"two\")], Ttl::from_secs(60))", ".all()?;")]
            pub $($async)? fn set_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(
                &self,
                pairs: &[(K, V)],
                ttl: impl Into<Ttl>,
            ) -> BatchResults<()> {
                let (exptime, max_request_len) = (exptime(ttl), self.servers.options.max_request_len);
                let sets = pairs
                    .iter()
                    .map(|(key, value)| store(Mode::Set, key.as_ref(), value.as_ref(), exptime, max_request_len));
                self.run_all(sets)$($await)*.map(drop)
            }

            /// Deletes all `keys`, in few round trips to each server, and returns of each whether it was there. A server
            /// that is down costs its own keys only.
            ///
            #[doc = example!($subject, $wait_all, "let were_there: Vec<bool> = client.delete_many(&[\"page-1\", \"page-2\"])", ".all()?;")]
            pub $($async)? fn delete_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> BatchResults<bool> {
                self.run_all(keys.iter().map(|key| Ok(Delete { key: checked(key.as_ref())? })))$($await)*
            }

            /// Waits up to `wait` for the lock of `key`, a day at most; returns `None` if others held it all that time.
            /// Callers that wait are served in the order of arrival. The lock ends with the [`Lock`], and after `ttl` at
            /// the latest (whole seconds, rounded up), so that a client that hangs does not block the others for ever.
            ///
            /// Locks are advisory: they keep no client from reading or writing without one.
            ///
            /// # Errors
            /// See [`Error`]; [`Rejection::Unsupported`](crate::Rejection::Unsupported) where the server has no locks.
            ///
            #[doc = example!($subject, $wait,
                "use std::time::Duration;\n\n\
                match client.lock(\"cart-3\", Duration::from_secs(5), Duration::from_secs(30))",
                " {\n    Some(lock) => println!(\"ours until it is dropped\"),\n    \
                None => println!(\"somebody is busy with it\"),\n}")]
            pub $($async)? fn lock(
                &self,
                key: impl AsRef<[u8]>,
                wait: Duration,
                ttl: Duration,
            ) -> Result<Option<Lock>, Error> {
                let held = Lock::acquire(&self.servers, checked(key.as_ref())?, wait, ttl, false)$($await)*?;
                Ok(held.map(|(lock, _)| lock))
            }

            /// The same as [`lock`](Client::lock) and then [`Lock::get`], in one round trip.
            ///
            /// # Errors
            /// See [`Error`].
            ///
            #[doc = example!($subject, $wait,
                "use std::time::Duration;\n\n\
                let (wait, ttl) = (Duration::from_secs(5), Duration::from_secs(30));\n\
                if let Some((lock, session)) = client.lock_and_get(\"session-17\", wait, ttl)",
                " {\n    let session = [&session.unwrap_or_default()[..], b\";seen\"].concat();\n    \
                lock.set_and_release(session, Ttl::from_secs(1800))", ";\n}")]
            pub $($async)? fn lock_and_get(
                &self,
                key: impl AsRef<[u8]>,
                wait: Duration,
                ttl: Duration,
            ) -> Result<Option<(Lock, Option<Vec<u8>>)>, Error> {
                Lock::acquire(&self.servers, checked(key.as_ref())?, wait, ttl, true)$($await)*
            }

            $($async)? fn store(&self, mode: Mode, key: &[u8], value: &[u8], exptime: i64) -> Result<Swap, Error> {
                let command = store(mode, key, value, exptime, self.servers.options.max_request_len)?;
                self.run(command)$($await)*
            }

            $($async)? fn run<C: Command>(&self, command: C) -> Result<C::Output, Error> {
                let mut results = self.run_all([Ok(command)])$($await)*.into_iter();
                results.next().expect("one command has one result")
            }

            $($async)? fn run_all<C: Command>(
                &self,
                commands: impl IntoIterator<Item = Result<C, Error>>,
            ) -> BatchResults<C::Output> {
                let deadline = Deadline::after(self.servers.options.operation_timeout);
                let mut batch = Batch::new(&self.servers, commands);
                while let Some((group, deadline)) = batch.next(deadline) {
                    let outcome = match Lease::take(&group.server, deadline)$($await)* {
                        Ok(mut lease) => lease.run(&group.commands, deadline)$($await)*,
                        Err(error) => Err(error),
                    };
                    batch.answered(group, outcome);
                }
                batch.finish()
            }
        }
    };
}

pub(crate) use {example, operations};

pub(crate) fn checked(key: &[u8]) -> Result<&[u8], Error> {
    key::check(key)?;
    Ok(key)
}

pub(crate) fn exptime(ttl: impl Into<Ttl>) -> i64 {
    ttl.into().exptime(unix_secs)
}

pub(crate) fn is_stored(swap: Swap) -> bool {
    swap == Swap::Stored
}

pub(crate) fn store<'a>(
    mode: Mode,
    key: &'a [u8],
    value: &'a [u8],
    exptime: i64,
    max_request_len: usize,
) -> Result<Store<'a>, Error> {
    within_limit(Store { mode, key: checked(key)?, value, exptime }, "", max_request_len)
}

/// For a connection that holds the lock of the key.
pub(crate) fn guarded_store<'a>(
    mode: Mode,
    key: &'a [u8],
    value: &'a [u8],
    exptime: i64,
    max_request_len: usize,
) -> Result<Store<'a>, Error> {
    within_limit(Store { mode, key: checked(key)?, value, exptime }, STORE_FLAGS, max_request_len)
}

fn within_limit<'a>(store: Store<'a>, flags: &str, max: usize) -> Result<Store<'a>, Error> {
    match store.exceeds(flags, max) {
        None => Ok(store),
        Some(len) => Err(Error::TooLarge { len, max }),
    }
}
