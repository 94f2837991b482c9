//! Calls for many keys at once.

use std::io::{Read, Write};

use crate::backends::{ample, each};
use crate::memcached::Memcached;
use crate::peer::listen;
use sharedance_client::{Delivery, Error, Rejection, Ttl};

const HOUR: Ttl = Ttl::from_secs(3600);

#[test]
fn results_are_in_the_order_of_the_keys() {
    each(|client| {
        client.set_many(&[("a", "1"), ("b", "2"), ("c", ""), ("a", "3")], HOUR).all().unwrap();
        let values = client.get_many(&["c", "nobody", "a", "b", "a"]).all().unwrap();
        let expected = [Some(&b""[..]), None, Some(b"3"), Some(b"2"), Some(b"3")];
        assert_eq!(values.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
        assert_eq!(client.delete_many(&["a", "nobody", "b", "a"]).all().unwrap(), [true, false, true, false]);
    });
}

#[test]
fn a_batch_without_keys_does_nothing() {
    each(|client| {
        assert!(client.get_many::<&str>(&[]).all().unwrap().is_empty());
        client.set_many::<&str, &str>(&[], HOUR).all().unwrap();
        assert!(client.delete_many::<&str>(&[]).all().unwrap().is_empty());
    });
}

#[test]
fn client_and_server_do_not_deadlock_with_a_large_batch() {
    // More than the buffers of both sockets can hold, in either direction.
    each(|client| {
        let keys: Vec<String> = (0..1000).map(|number| format!("{number:0200}")).collect();
        let value = vec![b'v'; 20_000];
        let pairs: Vec<_> = keys.iter().map(|key| (key, &value)).collect();
        client.set_many(&pairs, HOUR).all().unwrap();
        let values = client.get_many(&keys).all().unwrap();
        assert!(values.len() == 1000 && values.iter().all(|found| found.as_deref() == Some(&value[..])));
        assert_eq!(client.delete_many(&keys).all().unwrap(), vec![true; 1000]);
    });
}

#[test]
fn one_refused_pair_of_many_does_not_keep_the_others_from_being_stored() {
    let memcached = Memcached::start(&["-I", "1m"]);
    let client = ample(memcached.address()).build().unwrap();
    let large = vec![b'v'; 2_000_000];
    let stored = client.set_many(&[("a", &b"1"[..]), ("large", &large), ("b", b"2")], HOUR);
    let failures: Vec<(usize, &Error)> = stored.failures().collect();
    assert!(matches!(failures[..], [(1, Error::Rejected { rejection: Rejection::ValueTooLarge, .. })]), "{failures:?}");
    let values = client.get_many(&["a", "large", "b"]).all().unwrap();
    assert_eq!(values, [Some(b"1".to_vec()), None, Some(b"2".to_vec())]);
}

#[test]
fn a_key_that_no_server_would_take_fails_alone() {
    each(|client| {
        let stored = client.set_many(&[("a", "1"), ("not a key", "2"), ("b", "3")], HOUR);
        assert!(matches!(stored.failures().collect::<Vec<_>>()[..], [(1, Error::Key(_))]), "{stored:?}");
        let values: Vec<_> = client.get_many(&["a", "", "b"]).into_iter().map(Result::ok).collect();
        assert_eq!(values, [Some(Some(b"1".to_vec())), None, Some(Some(b"3".to_vec()))]);
    });
}

#[test]
fn commands_after_a_rejection_that_ends_the_connection_may_have_been_executed() {
    let address = listen(|mut stream| {
        let mut received = Vec::new();
        while received.iter().filter(|&&byte| byte == b'\n').count() < 3 {
            let mut piece = [0; 256];
            let len = stream.read(&mut piece)?;
            received.extend_from_slice(&piece[..len]);
        }
        stream.write_all(b"EN O0\r\nSERVER_ERROR the store failed\r\nEN O2\r\n")
    });
    let values = ample(&address).build().unwrap().get_many(&["a", "b", "c"]);
    let classes: Vec<_> = values.iter().map(|value| value.as_ref().map_err(Error::delivery)).collect();
    assert_eq!(classes, [Ok(&None), Err(Delivery::Refused), Err(Delivery::Unknown)]);
}

#[test]
fn results_show_no_value() {
    each(|client| {
        client.set("key", "secret", HOUR).unwrap();
        let shown = format!("{:?}", client.get_many(&["key", "no key"]));
        assert_eq!(shown, "BatchResults { len: 2, failures: 1 }");
    });
}
