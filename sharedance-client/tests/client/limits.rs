//! Values around the limit on requests, which counts the same bytes in the client and in the server.

use crate::backends::ample;
use crate::sharedanced::Sharedanced;
use sharedance_client::{Client, Delivery, Error, Rejection, Ttl, Version, WriteResult, classic};
use sharedance_server::ServerOptions;

const HOUR: Ttl = Ttl::from_secs(3600);
const LIMIT: usize = 100_000;

/// A write of a value, and whether it replaces an existing value without a condition.
type Write = fn(&Client, Version, Vec<u8>) -> Result<bool, Error>;

const CONDITIONAL: [(&str, Write); 5] = [
    ("add", |client, _, value| client.add("k", value, HOUR).map(WriteResult::is_stored)),
    ("replace", |client, _, value| client.replace("k", value, HOUR).map(WriteResult::is_stored)),
    ("append", |client, _, value| client.append("k", value).map(WriteResult::is_stored)),
    ("prepend", |client, _, value| client.prepend("k", value).map(WriteResult::is_stored)),
    ("compare_and_set", |client, version, value| {
        client.compare_and_set("k", value, HOUR, version).map(WriteResult::is_stored)
    }),
];

fn server() -> Sharedanced {
    Sharedanced::start_with(ServerOptions { maxreadsize: LIMIT, ..ServerOptions::default() })
}

/// The version of the value that must stay.
fn store_old(client: &Client) -> Version {
    client.set("k", "old", HOUR).unwrap();
    client.get_entry("k").unwrap().unwrap().version
}

fn assert_old(client: &Client, what: &str) {
    assert_eq!(client.get("k").unwrap().as_deref(), Some(&b"old"[..]), "{what} has lost the old value");
}

#[test]
fn a_conditional_write_that_the_server_finds_too_large_keeps_the_old_value() {
    let server = server();
    let client = ample(server.address()).build().unwrap();
    for (what, write) in CONDITIONAL {
        let version = store_old(&client);
        let error = write(&client, version, vec![b'v'; LIMIT]).unwrap_err();
        assert!(matches!(error, Error::Rejected { rejection: Rejection::ValueTooLarge, .. }), "{what}: {error}");
        assert_old(&client, what);
    }
    store_old(&client);
    client.set("k", vec![b'v'; LIMIT], HOUR).unwrap_err();
    assert_eq!(client.get("k").unwrap(), None, "an old value must not be taken for the new one");
}

#[test]
fn a_write_above_the_limit_is_refused_by_the_client_before_the_server_would() {
    let server = server();
    let client = ample(server.address()).max_request_len(LIMIT).build().unwrap();
    let set: [(&str, Write); 1] = [("set", |client, _, value| client.set("k", value, HOUR).map(|()| true))];
    for (what, write) in CONDITIONAL.into_iter().chain(set) {
        let version = store_old(&client);
        // The same number of digits as the length of the longest value.
        const VALUE_LEN: usize = LIMIT - 1;
        let Err(Error::TooLarge { len, max: LIMIT }) = write(&client, version, vec![b'v'; VALUE_LEN]) else {
            panic!("{what}: a value as long as the limit leaves no room for its command");
        };
        let most = LIMIT - (len as usize - VALUE_LEN);
        let error = write(&client, version, vec![b'v'; most + 1]).unwrap_err();
        assert!(matches!(error, Error::TooLarge { len, max: LIMIT } if len == LIMIT as u64 + 1), "{what}: {error}");
        assert!(error.delivery() == Delivery::NotSent && !error.is_retryable());
        assert_old(&client, what);
        for len in [most - 1, most] {
            let version = store_old(&client);
            let is_stored = write(&client, version, vec![b'v'; len]).unwrap();
            assert_eq!(is_stored, what != "add", "{what}");
        }
    }
}

#[test]
fn a_value_of_32_mib_is_too_large_by_default_and_keeps_the_old_one() {
    const LEN: usize = 32 * 1024 * 1024;
    let server = Sharedanced::start();
    let client = ample(server.address()).build().unwrap();
    store_old(&client);
    let error = client.set("k", vec![b'v'; LEN], HOUR).unwrap_err();
    assert!(matches!(error, Error::TooLarge { max: LEN, .. }), "{error}");
    assert_old(&client, "set");
    let classic = classic::Client::builder(server.address()).build().unwrap();
    let error = classic.store(b"k", &vec![b'v'; LEN]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { max: LEN, .. }), "{error}");
    assert_old(&client, "store");
    client.set("k", vec![b'v'; LEN - 100], HOUR).unwrap();
    assert_eq!(client.get("k").unwrap().map(|value| value.len()), Some(LEN - 100));
}
