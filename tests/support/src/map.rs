//! Executes classic requests on pairs in a map, for servers of tests.

use std::collections::HashMap;

use sharedance_core::protocol::{Request, Response};

pub type Map = HashMap<Vec<u8>, Vec<u8>>;

pub fn execute(request: &Request<'_>, pairs: &mut Map) -> Response<Vec<u8>> {
    match *request {
        Request::Store { key, value } => {
            pairs.insert(key.to_vec(), value.to_vec());
            Response::Stored
        }
        Request::Fetch { key } => match pairs.get(key) {
            Some(value) => Response::Value(value.clone()),
            None => Response::NotFound,
        },
        Request::Delete { key } => match pairs.remove(key) {
            Some(_) => Response::Deleted,
            None => Response::NotFound,
        },
        _ => panic!("not a request of the classic dialect"),
    }
}
