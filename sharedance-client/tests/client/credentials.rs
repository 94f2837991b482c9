//! Servers that require a name and a password.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sharedance_client::{Client, Credentials, Delivery, Error, LockOptions, Rejection, Ttl};
use sharedance_server::ServerOptions;
use tempfile::TempDir;

use crate::auth_file::auth_file;
use crate::backends::ample;
use crate::memcached::Memcached;
use crate::peer::{AMPLE, hold, listen};
use crate::sharedanced::Sharedanced;

/// A `sharedanced` with credentials, on TCP or on a unix socket.
fn sharedanced(lines: &str, is_unix: bool) -> (Sharedanced, TempDir) {
    let (directory, path) = auth_file(lines);
    let mut options = ServerOptions::default();
    options.access.auth_file = Some(path);
    if is_unix {
        options.listen = vec![format!("unix:{}", directory.path().join("s.sock").display()).parse().unwrap()];
    }
    (Sharedanced::start_with(options), directory)
}

/// Runs `test` with the address of each kind of server, with the user `ada` and the password `secret`.
fn each(test: impl Fn(&str)) {
    let (_directory, path) = auth_file("ada:secret\n");
    let memcached = Memcached::start(&["-Y", path.to_str().unwrap()]);
    test(memcached.address());
    for is_unix in [false, true] {
        let (server, _directory) = sharedanced("ada:secret\n", is_unix);
        test(server.address());
    }
}

fn with_password(address: &str, password: &str) -> Client {
    ample(address).credentials(Credentials::new("ada", password)).backoff(AMPLE, AMPLE).build().unwrap()
}

#[test]
fn every_call_works_with_the_right_password() {
    each(|address| {
        let client = with_password(address, "secret");
        client.set("key", "value", Ttl::Never).unwrap();
        assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"value"[..]));
        let keys: Vec<String> = (0..600).map(|number| format!("key-{number}")).collect();
        let pairs: Vec<_> = keys.iter().map(|key| (key, key)).collect();
        client.set_many(&pairs, Ttl::Never).all().unwrap();
        assert_eq!(client.get_many(&keys).all().unwrap()[7].as_deref(), Some(&b"key-7"[..]));
        assert!(client.delete("key").unwrap());
        assert!(client.ping().iter().all(Result::is_ok));
    });
    let (server, _directory) = sharedanced("ada:secret\n", true);
    let client = with_password(server.address(), "secret");
    let (lock, _) = client.lock_and_get("key", LockOptions::new()).unwrap().unwrap();
    lock.set_and_release("value", Ttl::Never).unwrap();
}

#[test]
fn a_wrong_password_is_reported_and_not_tried_again_at_once() {
    each(|address| {
        let client = with_password(address, "secret2");
        for _ in 0..3 {
            let error = client.set("key", "value", Ttl::Never).unwrap_err();
            assert!(matches!(error, Error::AuthenticationFailed { .. }), "{error}");
            assert!(!error.is_retryable() && error.delivery() == Delivery::Refused);
            let text = format!("{error} {error:?} {client:?}");
            assert!(text.contains(address) && !text.contains("secret"), "{text}");
        }
        assert_eq!(with_password(address, "secret").get("key").unwrap(), None);
    });
}

#[test]
fn a_client_without_credentials_is_told_that_the_server_requires_them() {
    each(|address| {
        let error = ample(address).build().unwrap().get("key").unwrap_err();
        let is_required = matches!(error, Error::Rejected { rejection: Rejection::AuthenticationRequired, .. });
        assert!(is_required && !error.is_retryable() && error.delivery() == Delivery::Refused, "{error}");
    });
}

#[test]
fn a_command_that_the_name_does_not_permit_leaves_the_connection_usable() {
    let (server, _directory) = sharedanced("ada:secret:read-only\n", false);
    let client = with_password(server.address(), "secret");
    for _ in 0..3 {
        let error = client.set("key", "value", Ttl::Never).unwrap_err();
        assert!(matches!(error, Error::Rejected { rejection: Rejection::AccessDenied, .. }), "{error}");
        assert!(!error.is_retryable() && error.delivery() == Delivery::Refused);
        assert_eq!(client.get("key").unwrap(), None);
    }
    let results = client.set_many(&[("a", "1"), ("b", "2")], Ttl::Never);
    assert_eq!(results.failures().count(), 2);
}

#[test]
fn credentials_of_a_url_are_sent_to_its_servers_only() {
    let (server, _directory) = sharedanced("a@b:s/c?r#t,%\n", true);
    let path = server.address().strip_prefix("unix:").unwrap();
    let client = ample(&format!("unix://a%40b:s%2Fc%3Fr%23t%2C%25@{path}")).build().unwrap();
    assert_eq!(client.get("key").unwrap(), None);

    // The other server receives no credentials, although it is a server of the same client.
    let other = listen(|mut socket| {
        let mut received = vec![0; 1000];
        let len = socket.read(&mut received)?;
        assert!(received[..len].starts_with(b"mg "));
        for line in String::from_utf8_lossy(&received[..len]).lines() {
            let tag = line.split(' ').find(|token| token.starts_with('O')).unwrap();
            socket.write_all(format!("EN {tag}\r\n").as_bytes())?;
        }
        hold(socket)
    });
    let both = ample(&format!("unix://a%40b:s%2Fc%3Fr%23t%2C%25@{path}")).server(&other).build().unwrap();
    let keys: Vec<String> = (0..20).map(|number| format!("key-{number}")).collect();
    assert_eq!(both.get_many(&keys).all().unwrap(), vec![None; 20]);
}

#[test]
fn credentials_are_sent_once_for_each_connection_and_in_one_write_with_the_first_request() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let address = listen(move |mut socket| {
        let expected = b"set auth 0 -1 10\r\nada secret\r\nmg key v O0\r\n";
        let mut received = vec![0; 1000];
        let len = socket.read(&mut received)?;
        if &received[..len] == expected {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        socket.write_all(b"STORED\r\nEN O0\r\n")?;
        let len = socket.read(&mut received)?;
        assert_eq!(&received[..len], b"mg key v O1\r\n");
        socket.write_all(b"EN O1\r\n")?;
        // A kept connection ends: the read is repeated on a new one, with the credentials.
        let _ = socket.read(&mut received)?;
        Ok(())
    });
    let client = with_password(&address, "secret");
    for _ in 0..6 {
        assert_eq!(client.get("key").unwrap(), None);
    }
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[test]
fn other_responses_to_the_credentials() {
    for (response, is_expected) in [
        (
            "CLIENT_ERROR bad authentication token format\r\n",
            (|error| matches!(error, Error::AuthenticationFailed { .. })) as fn(&Error) -> bool,
        ),
        ("HD O0\r\n", |error| matches!(error, Error::UnexpectedReply { .. })),
        ("HTTP/1.1 400 Bad Request\r\n", |error| matches!(error, Error::UnexpectedReply { .. })),
        ("ERROR Too many open connections\r\n", |error| {
            matches!(error, Error::Rejected { rejection: Rejection::TooManyConnections, .. })
        }),
        ("SERVER_ERROR the disk is on fire\r\n", |error| {
            matches!(error, Error::Rejected { rejection: Rejection::ServerError, .. })
        }),
        ("STOR", |error| matches!(error, Error::ConnectionLost { received_len: 4, .. })),
    ] {
        let address = listen(move |mut socket| {
            let _ = socket.read(&mut [0; 1000])?;
            socket.write_all(response.as_bytes())
        });
        let error = with_password(&address, "secret").set("secret-key", "secret-value", Ttl::Never).unwrap_err();
        assert!(is_expected(&error), "{response}: {error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
    // A server without credentials that has no room left still returns values.
    let address = listen(move |mut socket| {
        let _ = socket.read(&mut [0; 1000])?;
        socket.write_all(b"SERVER_ERROR out of memory storing object\r\nVA 1 O0\r\nx\r\n")?;
        hold(socket)
    });
    assert_eq!(with_password(&address, "secret").get("key").unwrap().as_deref(), Some(&b"x"[..]));
}

#[test]
fn a_server_without_credentials_keeps_no_readable_password() {
    let memcached = Memcached::start(&[]);
    let client = with_password(memcached.address(), "secret");
    client.set("key", "value", Ttl::Never).unwrap();
    assert_eq!(ample(memcached.address()).build().unwrap().get("auth").unwrap(), None);
    let server = Sharedanced::start();
    with_password(server.address(), "secret").set("key", "value", Ttl::Never).unwrap();
    assert_eq!(ample(server.address()).build().unwrap().get("auth").unwrap(), None);
}

#[test]
fn credentials_that_cannot_be_sent_are_refused_when_the_client_is_built() {
    let error = ample("localhost").credentials(Credentials::new("ada", "secret\r\n")).build().unwrap_err();
    assert!(matches!(error, Error::Credentials { .. }), "{error}");
    assert!(!error.is_retryable() && error.delivery() == Delivery::NotSent);
    let builder = ample("sharedance://eve:secret@localhost").credentials(Credentials::new("ada", "secret"));
    assert!(!format!("{builder:?}").contains("secret"));
}
