//! What a request means to the store, and what the store's result means to the peer.
//!
//! The only file that knows both the protocol's words and the store's.

use sharedance_core::protocol::{Request, Response};
use sharedance_core::store::{Store, StoreError, Value};

use crate::observe::Counters;

/// The bytes of an answer's value, wherever they are held.
pub(crate) enum Body {
    /// In the store's mapping, pinned.
    Mapped(Value),
    /// In memory of the connection's own.
    Copied(Vec<u8>),
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        match self {
            Body::Mapped(value) => value,
            Body::Copied(bytes) => bytes,
        }
    }
}

/// Carries out `request`, and counts it.
///
/// # Errors
/// The store could not do it. The peer is to be told [`Response::Failed`], and no more.
pub(crate) fn execute(request: Request<'_>, store: &Store, counters: &Counters) -> Result<Response<Body>, StoreError> {
    let (response, counter) = match request {
        Request::Store { key, value } => {
            counters.sets.add(1);
            store.set(key, value)?;
            (Response::Stored, &counters.stored)
        }
        Request::Fetch { key } => match store.get(key) {
            Some(value) => (Response::Value(Body::Mapped(value)), &counters.get_hits),
            None => (Response::NotFound, &counters.get_misses),
        },
        Request::Delete { key } => match store.delete(key)? {
            true => (Response::Deleted, &counters.delete_hits),
            false => (Response::NotFound, &counters.delete_misses),
        },
        // A request of a dialect that this server does not speak.
        _ => return Ok(Response::Failed),
    };
    counter.add(1);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(store: &Store, counters: &Counters, request: Request<'_>) -> Response<Vec<u8>> {
        match execute(request, store, counters).unwrap() {
            Response::Value(body) => Response::Value(body.as_ref().to_vec()),
            Response::Stored => Response::Stored,
            Response::Deleted => Response::Deleted,
            Response::NotFound => Response::NotFound,
            _ => Response::Failed,
        }
    }

    #[test]
    fn each_request_has_its_effect_and_its_answer() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let counters = Counters::default();
        let key = b"a key".as_slice();
        let fetch = Request::Fetch { key };
        let delete = Request::Delete { key };

        assert!(answer(&store, &counters, fetch) == Response::NotFound);
        assert!(answer(&store, &counters, delete) == Response::NotFound);
        for value in [b"one".as_slice(), b"another", b""] {
            assert!(answer(&store, &counters, Request::Store { key, value }) == Response::Stored);
            assert!(answer(&store, &counters, fetch) == Response::Value(value.to_vec()));
        }
        assert!(answer(&store, &counters, delete) == Response::Deleted);
        assert!(answer(&store, &counters, fetch) == Response::NotFound);
        let counts = [&counters.sets, &counters.stored, &counters.get_hits, &counters.get_misses];
        assert_eq!(counts.map(|counter| counter.count()), [3, 3, 3, 2]);
        assert_eq!((counters.delete_hits.count(), counters.delete_misses.count()), (1, 1));
    }
}
