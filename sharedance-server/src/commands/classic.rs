//! What a request means to the store, and what the store's result means to the peer.
//!
//! The only file that knows both the protocol's words and the store's.

use sharedance_core::protocol::{Request, Response};
use sharedance_core::store::{Store, StoreError, Value};

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

/// Carries out `request`.
///
/// # Errors
/// The store could not do it. The peer is to be told [`Response::Failed`], and no more.
pub(crate) fn execute(request: Request<'_>, store: &Store) -> Result<Response<Body>, StoreError> {
    Ok(match request {
        Request::Store { key, value } => {
            store.set(key, value)?;
            Response::Stored
        }
        Request::Fetch { key } => match store.get(key) {
            Some(value) => Response::Value(Body::Mapped(value)),
            None => Response::NotFound,
        },
        Request::Delete { key } => match store.delete(key)? {
            true => Response::Deleted,
            false => Response::NotFound,
        },
        // A request of a dialect that this server does not speak.
        _ => Response::Failed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(store: &Store, request: Request<'_>) -> Response<Vec<u8>> {
        match execute(request, store).unwrap() {
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
        let key = b"a key".as_slice();
        let fetch = Request::Fetch { key };
        let delete = Request::Delete { key };

        assert!(answer(&store, fetch) == Response::NotFound);
        assert!(answer(&store, delete) == Response::NotFound);
        for value in [b"one".as_slice(), b"another", b""] {
            assert!(answer(&store, Request::Store { key, value }) == Response::Stored);
            assert!(answer(&store, fetch) == Response::Value(value.to_vec()));
        }
        assert!(answer(&store, delete) == Response::Deleted);
        assert!(answer(&store, fetch) == Response::NotFound);
    }
}
