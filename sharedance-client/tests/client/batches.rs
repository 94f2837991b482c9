//! Calls for many keys at once.

use crate::backends::{ample, each};
use crate::memcached::Memcached;
use sharedance_client::{Error, Rejection, Ttl};

const HOUR: Ttl = Ttl::from_secs(3600);

#[test]
fn answers_are_in_the_order_of_the_keys() {
    each(|client| {
        client.set_many(&[("a", "1"), ("b", "2"), ("c", ""), ("a", "3")], HOUR).unwrap();
        let values = client.get_many(&["c", "nobody", "a", "b", "a"]).unwrap();
        let expected = [Some(&b""[..]), None, Some(b"3"), Some(b"2"), Some(b"3")];
        assert_eq!(values.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
        assert_eq!(client.delete_many(&["a", "nobody", "b", "a"]).unwrap(), [true, false, true, false]);
    });
}

#[test]
fn no_keys_are_no_work() {
    each(|client| {
        assert!(client.get_many::<&str>(&[]).unwrap().is_empty());
        client.set_many::<&str, &str>(&[], HOUR).unwrap();
        assert!(client.delete_many::<&str>(&[]).unwrap().is_empty());
    });
}

#[test]
fn neither_end_waits_for_the_other_however_much_there_is() {
    // More than the buffers of both sockets hold, in either direction.
    each(|client| {
        let keys: Vec<String> = (0..1000).map(|number| format!("{number:0200}")).collect();
        let value = vec![b'v'; 20_000];
        let pairs: Vec<_> = keys.iter().map(|key| (key, &value)).collect();
        client.set_many(&pairs, HOUR).unwrap();
        let values = client.get_many(&keys).unwrap();
        assert!(values.len() == 1000 && values.iter().all(|found| found.as_deref() == Some(&value[..])));
        assert_eq!(client.delete_many(&keys).unwrap(), vec![true; 1000]);
    });
}

#[test]
fn one_refused_pair_of_many_does_not_keep_the_others_from_being_stored() {
    let memcached = Memcached::start(&["-I", "1m"]);
    let client = ample(memcached.address()).build().unwrap();
    let large = vec![b'v'; 2_000_000];
    let error = client.set_many(&[("a", &b"1"[..]), ("large", &large), ("b", b"2")], HOUR).unwrap_err();
    assert!(matches!(error, Error::Rejected { rejection: Rejection::ValueTooLarge, .. }), "{error}");
    let values = client.get_many(&["a", "large", "b"]).unwrap();
    assert_eq!(values, [Some(b"1".to_vec()), None, Some(b"2".to_vec())]);
}
