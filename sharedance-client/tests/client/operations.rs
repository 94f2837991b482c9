//! The effect of each call, on real servers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::backends::{ample, each};
use crate::memcached::{Memcached, eventually};
use crate::peer::AMPLE;
use crate::sharedanced::Sharedanced;
use sharedance_client::{Attributes, Client, Delivery, Error, KeyError, LockOptions, Rejection, Ttl, WriteResult};

const HOUR: Ttl = Ttl::from_secs(3600);

#[test]
fn set_get_delete() {
    each(|client| {
        assert_eq!(client.get("key").unwrap(), None);
        client.set("key", "first", HOUR).unwrap();
        client.set("key", b"second\r\n\0", HOUR).unwrap();
        assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"second\r\n\0"[..]));
        assert!(client.delete("key").unwrap());
        assert!(!client.delete("key").unwrap());
        assert_eq!(client.get("key").unwrap(), None);
    });
}

#[test]
fn an_empty_value_is_a_value() {
    each(|client| {
        client.set("empty", "", HOUR).unwrap();
        assert_eq!(client.get("empty").unwrap(), Some(Vec::new()));
        assert_eq!(client.get_entry("empty").unwrap().unwrap().value, b"");
    });
}

#[test]
fn values_of_every_size_are_returned_whole() {
    each(|client| {
        for len in [1, 16_383, 16_384, 16_385, 65_536, 1_000_000] {
            let value: Vec<u8> = (0..len).map(|i: u32| (i % 251) as u8).collect();
            client.set("size", &value, HOUR).unwrap();
            assert!(client.get("size").unwrap() == Some(value), "{len} bytes");
        }
    });
}

#[test]
fn a_large_value_is_returned_whole() {
    let server = Sharedanced::start();
    let client = ample(server.address()).build().unwrap();
    let value: Vec<u8> = (0..20_000_000).map(|i: u32| (i % 251) as u8).collect();
    client.set("large", &value, HOUR).unwrap();
    for _ in 0..2 {
        assert!(client.get("large").unwrap().as_deref() == Some(&value[..]));
    }
}

#[test]
fn keys_of_every_kind() {
    each(|client| {
        let longest = [b'k'; 250];
        for key in [&b"k"[..], &longest, b"page/1.html", "schl\u{fc}ssel".as_bytes(), b"\xff\x80", b"mg", b"O1"] {
            client.set(key, key, HOUR).unwrap();
            assert_eq!(client.get(key).unwrap().as_deref(), Some(key));
        }
    });
}

#[test]
fn conditional_writes() {
    each(|client| {
        assert!(!client.replace("key", "1", HOUR).unwrap().is_stored());
        assert!(!client.append("key", "1").unwrap().is_stored());
        assert!(!client.prepend("key", "1").unwrap().is_stored());
        assert!(client.add("key", "1", HOUR).unwrap().is_stored());
        assert!(!client.add("key", "2", HOUR).unwrap().is_stored());
        assert!(client.append("key", "behind").unwrap().is_stored());
        assert!(client.prepend("key", "before").unwrap().is_stored());
        assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"before1behind"[..]));
        assert!(client.replace("key", "3", HOUR).unwrap().is_stored());
        assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"3"[..]));
    });
}

#[test]
fn an_append_does_not_change_the_deadline() {
    each(|client| {
        client.set("key", "1", Ttl::from_secs(1000)).unwrap();
        assert!(client.append("key", "2").unwrap().is_stored());
        let expires_in = client.get_entry("key").unwrap().unwrap().expires_in.unwrap();
        assert!(expires_in.abs_diff(Duration::from_secs(1000)) < Duration::from_secs(300), "{expires_in:?}");
    });
}

#[test]
fn a_version_is_valid_until_the_next_write() {
    each(|client| {
        client.set("key", "1", HOUR).unwrap();
        let version = client.get_entry("key").unwrap().unwrap().version;
        assert!(client.compare_and_set("key", "2", HOUR, version).unwrap().is_stored());
        assert_eq!(client.compare_and_set("key", "3", HOUR, version).unwrap(), WriteResult::Conflict);
        assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"2"[..]));
        client.delete("key").unwrap();
        assert_eq!(client.compare_and_set("key", "4", HOUR, version).unwrap(), WriteResult::NotFound);
        assert_eq!(client.get("key").unwrap(), None);
    });
}

#[test]
fn numbers_go_up_and_down() {
    each(|client| {
        assert_eq!(client.incr("number", 1).unwrap(), None);
        client.set("number", "99", HOUR).unwrap();
        assert_eq!(client.incr("number", 2).unwrap(), Some(101));
        assert_eq!(client.decr("number", 92).unwrap(), Some(9));
        assert_eq!(client.decr("number", 10).unwrap(), Some(0));
        client.set("number", u64::MAX.to_string(), HOUR).unwrap();
        assert_eq!(client.incr("number", 3).unwrap(), Some(2));

        client.set("text", "ninety-nine", HOUR).unwrap();
        let error = client.incr("text", 1).unwrap_err();
        assert!(matches!(error, Error::Rejected { rejection: Rejection::NotANumber, .. }), "{error}");
        assert!(error.delivery() == Delivery::Refused && !error.is_retryable());
        assert_eq!(client.get("text").unwrap().as_deref(), Some(&b"ninety-nine"[..]));
    });
}

#[test]
fn ttls_of_every_length() {
    each(|client| {
        let expires_in = |key: &str| client.get_entry(key).unwrap().map(|entry| entry.expires_in);
        client.set("ever", "1", Ttl::Never).unwrap();
        assert_eq!(expires_in("ever"), Some(None));
        client.set("zero", "1", Duration::ZERO).unwrap();
        assert_eq!(expires_in("zero"), None);

        // Above 30 days the dialect encodes it as a Unix time.
        for days in [30, 31, 365] {
            let ttl = Duration::from_secs(days * 86_400);
            client.set("long", "1", ttl).unwrap();
            let left = expires_in("long").unwrap().unwrap();
            assert!(left.abs_diff(ttl) < Duration::from_secs(300), "{left:?} of {ttl:?}");
        }

        client.set("short", "1", Duration::from_millis(1)).unwrap();
        eventually("a pair expires", || client.get("short").unwrap().is_none().then_some(()));
    });
}

#[test]
fn touching_sets_the_ttl_again() {
    each(|client| {
        assert!(!client.touch("key", HOUR).unwrap());
        assert_eq!(client.get_and_touch("key", HOUR).unwrap(), None);
        client.set("key", "1", Ttl::Never).unwrap();
        assert!(client.touch("key", HOUR).unwrap());
        let expires_in = client.get_entry("key").unwrap().unwrap().expires_in.unwrap();
        assert!(expires_in.abs_diff(Duration::from_secs(3600)) < Duration::from_secs(300), "{expires_in:?}");
        assert_eq!(client.get_and_touch("key", Ttl::Never).unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(client.get_entry("key").unwrap().unwrap().expires_in, None);
        assert!(client.touch("key", Duration::ZERO).unwrap());
        assert_eq!(client.get("key").unwrap(), None);
    });
}

#[test]
fn keys_that_would_be_commands_are_refused_before_anything_is_sent() {
    each(|client| {
        for (key, expected) in [
            (&b""[..], KeyError::Empty),
            (&[b'k'; 251], KeyError::TooLong { len: 251 }),
            (b"a v\r\nflush_all\r\n", KeyError::ForbiddenByte { byte: b' ', offset: 1 }),
            (b"a\r\nflush_all\r\n", KeyError::ForbiddenByte { byte: b'\r', offset: 1 }),
        ] {
            for result in [
                client.get(key).map(drop),
                client.get_entry(key).map(drop),
                client.get_and_touch(key, HOUR).map(drop),
                client.touch(key, HOUR).map(drop),
                client.set(key, "v", HOUR),
                client.add(key, "v", HOUR).map(drop),
                client.incr(key, 1).map(drop),
                client.decr(key, 1).map(drop),
                client.delete(key).map(drop),
                client.get_many(&[key]).all().map(drop),
                client.set_many(&[(key, "v")], HOUR).all().map(drop),
                client.delete_many(&[key]).all().map(drop),
                client.lock(key, LockOptions::new().wait(Duration::ZERO).ttl(Duration::from_secs(1))).map(drop),
            ] {
                let error = result.unwrap_err();
                assert!(matches!(error, Error::Key(found) if found == expected), "{error}");
                assert!(error.delivery() == Delivery::NotSent && !error.is_retryable());
            }
        }
    });
}

#[test]
fn a_value_that_the_server_refuses_as_too_large_fails_the_call_but_keeps_the_connection() {
    let memcached = Memcached::start(&["-I", "1m"]);
    let client = ample(memcached.address()).build().unwrap();
    client.set("key", "small", HOUR).unwrap();
    let error = client.set("other", vec![b'v'; 2_000_000], HOUR).unwrap_err();
    assert!(matches!(error, Error::Rejected { rejection: Rejection::ValueTooLarge, .. }), "{error}");
    assert!(error.delivery() == Delivery::Refused && !error.is_retryable());
    assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"small"[..]));
}

#[test]
fn a_request_above_the_limit_of_the_client_is_refused_before_it_is_sent() {
    let memcached = Memcached::start(&[]);
    let narrow = ample(memcached.address()).max_request_len(41).build().unwrap();
    for result in
        [narrow.set("key", "eleven long", HOUR), narrow.set_many(&[("key", "eleven long")], HOUR).all().map(drop)]
    {
        let error = result.unwrap_err();
        // "ms key 11 O4294967295 T3600\r\neleven long\r\n": with the longest possible tag.
        assert!(matches!(error, Error::TooLarge { len: 42, max: 41 }), "{error}");
        assert!(error.delivery() == Delivery::NotSent && !error.is_retryable());
    }
    narrow.set("key", "ten  bytes", HOUR).unwrap();
    assert_eq!(narrow.get("key").unwrap().as_deref(), Some(&b"ten  bytes"[..]));
}

#[test]
fn one_client_in_many_threads() {
    each(|client| {
        client.set("all", "0", HOUR).unwrap();
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let client = client.clone();
                thread::spawn(move || {
                    let key = format!("thread-{number}");
                    for round in 0..100_u32 {
                        let value = format!("{number} {round}").into_bytes();
                        client.set(&key, &value, HOUR).unwrap();
                        assert_eq!(client.get(&key).unwrap(), Some(value));
                        client.incr("all", 1).unwrap();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(client.get("all").unwrap().as_deref(), Some(&b"800"[..]));
    });
}

#[test]
fn a_server_accepts_an_expiry_after_january_2038() {
    let server = Sharedanced::start();
    let client = ample(server.address()).build().unwrap();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for end in [2_147_483_647, 2_147_483_648, 2_500_000_000] {
        write!(stream, "ms key 1 T{end}\r\nv\r\n").unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HD\r\n");
        let expires_in = client.get_entry("key").unwrap().unwrap().expires_in.unwrap();
        assert!(expires_in.abs_diff(Duration::from_secs(end - now)) < AMPLE, "{end}: {expires_in:?}");
    }
}

#[test]
fn a_write_returns_the_version_for_the_next_compare_and_set() {
    each(|client| {
        let mut version = client.add("key", "1", HOUR).unwrap().version().unwrap();
        assert_eq!(client.get_entry("key").unwrap().unwrap().version, version);
        for value in ["2", "3"] {
            let next = client.compare_and_set("key", value, HOUR, version).unwrap().version().unwrap();
            assert!(next > version);
            version = next;
        }
        let appended = client.append("key", "4").unwrap().version().unwrap();
        assert_eq!(client.compare_and_set("key", "5", HOUR, version).unwrap(), WriteResult::Conflict);
        assert!(client.compare_and_set("key", "5", HOUR, appended).unwrap().is_stored());
    });
}

#[test]
fn client_flags_stay_with_the_value() {
    each(|client| {
        let flags = || client.get_entry("key").unwrap().unwrap().client_flags;
        client.set("key", "1", Attributes::new(HOUR).client_flags(u32::MAX)).unwrap();
        assert_eq!(flags(), u32::MAX);
        assert!(client.append("key", "2").unwrap().is_stored());
        assert_eq!(flags(), u32::MAX);
        client.set_many(&[("key", "3")], Attributes::new(HOUR).client_flags(7)).all().unwrap();
        assert_eq!(flags(), 7);
        client.set("key", "4", HOUR).unwrap();
        assert_eq!(flags(), 0);
    });
}

#[test]
fn ping_version_stats_and_flush_of_each_server() {
    each(|client| {
        assert_eq!(client.servers().len(), 1);
        client.ping().all().unwrap();
        assert!(client.version().all().unwrap()[0].starts_with("1.6."));
        client.set("key", "value", HOUR).unwrap();
        let stats = client.stats().all().unwrap();
        assert_eq!(stats[0].get("curr_items").map(String::as_str), Some("1"));
        client.flush().all().unwrap();
        assert_eq!(client.get("key").unwrap(), None);
    });
}

#[test]
fn a_url_names_servers_and_options() {
    let (first, second) = (Memcached::start(&[]), Memcached::start(&[]));
    let url =
        format!("sharedance://{},{}/?max_request_len=41&operation_timeout=60s", first.address(), second.address());
    let client = Client::builder(url).build().unwrap();
    assert_eq!(client.servers(), [first.address(), second.address()]);
    let error = client.set("key", "eleven long", HOUR).unwrap_err();
    assert!(matches!(error, Error::TooLarge { max: 41, .. }), "{error}");
    let keys: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    client.set_many(&keys.iter().map(|key| (key, key)).collect::<Vec<_>>(), HOUR).all().unwrap();
    let listed = Client::builder(client.servers().join(",")).build().unwrap();
    assert!(listed.get_many(&keys).all().unwrap().iter().all(Option::is_some));
    let error = Client::builder("sharedance://one?colour=red").build().unwrap_err();
    assert!(matches!(error, Error::Address { .. }), "{error}");
}
