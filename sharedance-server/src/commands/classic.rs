//! Executes the requests of the classic dialect.

use sharedance_core::protocol::{Request, Response};
use sharedance_core::store::{Store, StoreError, Value};

use crate::observe::{CommandKind, Counters, LatencyRecorder};

/// The value of a response.
pub(crate) enum Body {
    /// In the store's mapping, which it pins.
    Mapped(Value),
    /// In the connection's own memory.
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

/// Executes `request`, and counts it.
///
/// # Errors
/// The store failed. The caller sends no details to the client.
pub(crate) fn execute(
    request: Request<'_>,
    store: &Store,
    counters: &Counters,
    latency: &LatencyRecorder,
) -> Result<Response<Body>, StoreError> {
    let (response, counter) = match request {
        Request::Store { key, value } => {
            counters.sets.add(1);
            latency.note(CommandKind::Set, key.len(), value.len());
            store.set(key, value)?;
            (Response::Stored, &counters.stored)
        }
        Request::Fetch { key } => {
            let value = store.get(key);
            latency.note(CommandKind::Get, key.len(), value.as_ref().map_or(0, |value| value.len()));
            match value {
                Some(value) => (Response::Value(Body::Mapped(value)), &counters.get_hits),
                None => (Response::NotFound, &counters.get_misses),
            }
        }
        Request::Delete { key } => {
            latency.note(CommandKind::Delete, key.len(), 0);
            match store.delete(key)? {
                true => (Response::Deleted, &counters.delete_hits),
                false => (Response::NotFound, &counters.delete_misses),
            }
        }
        // A request that this version does not know.
        _ => return Ok(Response::Failed),
    };
    counter.add(1);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use sharedance_core::store::{Background, Options};

    use super::*;
    use crate::observe::Latencies;

    fn response(store: &Store, counters: &Counters, request: Request<'_>) -> Response<Vec<u8>> {
        let latency = Latencies::new(1, None).recorder(0, Instant::now());
        match execute(request, store, counters, &latency).unwrap() {
            Response::Value(body) => Response::Value(body.as_ref().to_vec()),
            Response::Stored => Response::Stored,
            Response::Deleted => Response::Deleted,
            Response::NotFound => Response::NotFound,
            _ => Response::Failed,
        }
    }

    #[test]
    fn each_request_has_its_effect_and_its_response() {
        let directory = tempfile::tempdir().unwrap();
        let store = Options::new().background(Background::Manual).open(directory.path()).unwrap();
        let counters = Counters::default();
        let key = b"a key".as_slice();
        let fetch = Request::Fetch { key };
        let delete = Request::Delete { key };

        assert!(response(&store, &counters, fetch) == Response::NotFound);
        assert!(response(&store, &counters, delete) == Response::NotFound);
        for value in [b"one".as_slice(), b"another", b""] {
            assert!(response(&store, &counters, Request::Store { key, value }) == Response::Stored);
            assert!(response(&store, &counters, fetch) == Response::Value(value.to_vec()));
        }
        assert!(response(&store, &counters, delete) == Response::Deleted);
        assert!(response(&store, &counters, fetch) == Response::NotFound);
        let counts = [&counters.sets, &counters.stored, &counters.get_hits, &counters.get_misses];
        assert_eq!(counts.map(|counter| counter.count()), [3, 3, 3, 2]);
        assert_eq!((counters.delete_hits.count(), counters.delete_misses.count()), (1, 1));
    }
}
