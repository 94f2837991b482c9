//! Builds the commands of a client's calls from their arguments.

use std::time::Duration;

use sharedance_core::Version;

use crate::attributes::Attributes;
use crate::command::{
    Count, Delete, Direction, GUARDED_STORE_FLAGS, Get, GetEntry, Invalidate, Look, Mode, SET_FLAGS, STORE_FLAGS, Set,
    Store, Touch,
};
use crate::error::Error;
use crate::key;
use crate::time::unix_secs;
use crate::ttl::Ttl;

pub(crate) fn checked(key: &[u8]) -> Result<&[u8], Error> {
    key::check(key)?;
    Ok(key)
}

pub(crate) fn exptime(ttl: impl Into<Ttl>) -> i64 {
    ttl.into().exptime(unix_secs)
}

pub(crate) fn get(key: &[u8], exptime: Option<i64>) -> Result<Get<'_>, Error> {
    Ok(Get { key: checked(key)?, exptime })
}

pub(crate) fn get_entry(key: &[u8]) -> Result<GetEntry<'_>, Error> {
    Ok(GetEntry { key: checked(key)? })
}

pub(crate) fn touch(key: &[u8], exptime: i64) -> Result<Touch<'_>, Error> {
    Ok(Touch { key: checked(key)?, exptime })
}

pub(crate) fn delete(key: &[u8]) -> Result<Delete<'_>, Error> {
    Ok(Delete { key: checked(key)? })
}

pub(crate) fn look(key: &[u8], below: Duration) -> Result<Look<'_>, Error> {
    Ok(Look { key: checked(key)?, below_secs: below.as_secs() })
}

pub(crate) fn invalidate(key: &[u8], version: Option<Version>) -> Result<Invalidate<'_>, Error> {
    Ok(Invalidate { key: checked(key)?, version })
}

pub(crate) fn count(key: &[u8], direction: Direction, by: u64) -> Result<Count<'_>, Error> {
    Ok(Count { key: checked(key)?, direction, by })
}

pub(crate) fn set<'a>(
    key: &'a [u8],
    value: &'a [u8],
    attributes: Attributes,
    max_request_len: usize,
) -> Result<Set<'a>, Error> {
    within_limit(Mode::Set, key, value, attributes, SET_FLAGS, max_request_len).map(Set)
}

pub(crate) fn store<'a>(
    mode: Mode,
    key: &'a [u8],
    value: &'a [u8],
    attributes: Attributes,
    max_request_len: usize,
) -> Result<Store<'a>, Error> {
    within_limit(mode, key, value, attributes, STORE_FLAGS, max_request_len)
}

/// The command for a connection that holds the lock of the key.
pub(crate) fn guarded_store<'a>(
    mode: Mode,
    key: &'a [u8],
    value: &'a [u8],
    attributes: Attributes,
    max_request_len: usize,
) -> Result<Store<'a>, Error> {
    within_limit(mode, key, value, attributes, GUARDED_STORE_FLAGS, max_request_len)
}

/// `flags` are the flags that the command sends with the store.
fn within_limit<'a>(
    mode: Mode,
    key: &'a [u8],
    value: &'a [u8],
    attributes: Attributes,
    flags: &str,
    max: usize,
) -> Result<Store<'a>, Error> {
    let (key, exptime) = (checked(key)?, attributes.exptime());
    let store = Store { mode, key, value, exptime, client_flags: attributes.client_flags };
    match store.exceeds(flags, max) {
        None => Ok(store),
        Some(len) => Err(Error::TooLarge { len, max }),
    }
}
