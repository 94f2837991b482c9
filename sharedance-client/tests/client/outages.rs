//! Servers that are down, and start again.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::backends::ample;
use crate::memcached::{Memcached, eventually};
use crate::peer::{AMPLE, SHORT, hold, listen, serve};
use crate::sharedanced::Sharedanced;
use sharedance_client::{Client, Delivery, Error, Rejection, Ttl, WhenDown};
use sharedance_server::ServerOptions;
use socket2::{Domain, Socket, Type};

/// A port that is bound to a socket that does not listen yet.
fn absent() -> (Socket, String) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap().to_string();
    (socket, address)
}

#[test]
fn an_unreachable_server_is_not_tried_again_for_a_while() {
    let (_socket, address) = absent();
    let client = ample(&address).backoff(AMPLE, AMPLE).build().unwrap();
    let error = client.get("key").unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(error.is_retryable() && error.delivery() == Delivery::NotSent);
    for _ in 0..3 {
        let error = client.set("key", "value", Ttl::Never).unwrap_err();
        let Error::Down { retry_in, .. } = error else {
            panic!("{error}");
        };
        assert!(retry_in <= AMPLE, "{retry_in:?}");
        assert!(error.is_retryable() && error.delivery() == Delivery::NotSent);
    }
}

#[test]
fn a_server_that_starts_again_is_used_again() {
    let (socket, address) = absent();
    let client = ample(&address).backoff(Duration::from_millis(1), Duration::from_millis(20)).build().unwrap();
    for _ in 0..5 {
        assert_eq!(client.get("key").unwrap_err().delivery(), Delivery::NotSent);
    }
    socket.listen(8).unwrap();
    let back = Memcached::start(&[]);
    let upstream = back.address().to_owned();
    serve(socket.into(), move |stream| forward(stream, &upstream));
    eventually("the server is used again", || client.set("key", "value", Ttl::Never).ok());
    for _ in 0..5 {
        assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"value"[..]));
    }
}

/// Forwards all bytes in both directions.
fn forward(mut stream: std::net::TcpStream, upstream: &str) -> std::io::Result<()> {
    let mut server = std::net::TcpStream::connect(upstream)?;
    let (mut answers, mut client) = (server.try_clone()?, stream.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut answers, &mut client));
    std::io::copy(&mut stream, &mut server).map(drop)
}

#[test]
fn consecutive_timeouts_mark_a_server_as_down() {
    let client = ample(&listen(hold)).operation_timeout(SHORT / 10).backoff(AMPLE, AMPLE).build().unwrap();
    assert!(client.get("key").unwrap_err().is_timeout());
    eventually("the server is marked as down", || match client.get("key").unwrap_err() {
        Error::Down { .. } => Some(()),
        error => {
            assert!(error.is_timeout(), "{error}");
            None
        }
    });
}

#[test]
fn a_server_with_too_many_connections_is_tried_again_later() {
    let options = ServerOptions { max_connections: Some(NonZeroUsize::MIN), ..ServerOptions::default() };
    let server = Sharedanced::start_with(options);
    let (first, second) = (ample(server.address()).build().unwrap(), ample(server.address()).build().unwrap());
    assert_eq!(first.get("key").unwrap(), None);
    let error = second.get("key").unwrap_err();
    // The client receives this rejection, unless it first detects that the connection is closed.
    let is_rejected = matches!(error, Error::Rejected { rejection: Rejection::TooManyConnections, .. });
    assert!(is_rejected || matches!(error, Error::ConnectionLost { .. } | Error::Unreachable { .. }), "{error}");
    assert!(error.is_retryable());
    drop(first);
    eventually("the other client can connect", || second.set("key", "value", Ttl::Never).ok());
}

/// Enough keys to reach each of two or three servers.
fn keys() -> Vec<String> {
    (0..100).map(|number| format!("key-{number}")).collect()
}

#[test]
fn keys_are_spread_over_several_servers_and_found_there() {
    let servers = [Memcached::start(&[]), Memcached::start(&[]), Memcached::start(&[])];
    let all = servers[1..].iter().fold(ample(servers[0].address()), |all, server| all.server(server.address()));
    let all = all.build().unwrap();
    let keys = keys();
    let pairs: Vec<_> = keys.iter().map(|key| (key, key)).collect();
    all.set_many(&pairs, Ttl::Never).all().unwrap();

    let values = all.get_many(&keys).all().unwrap();
    assert!(values.iter().zip(&keys).all(|(value, key)| value.as_deref() == Some(key.as_bytes())));
    assert_eq!(all.get(&keys[7]).unwrap().as_deref(), Some(keys[7].as_bytes()));
    let counts: Vec<usize> = servers
        .iter()
        .map(|server| ample(server.address()).build().unwrap().get_many(&keys).iter().flatten().flatten().count())
        .collect();
    assert_eq!(counts.iter().sum::<usize>(), keys.len());
    assert!(counts.iter().all(|&count| count > 5), "{counts:?}");
    assert_eq!(all.delete_many(&keys).all().unwrap(), vec![true; keys.len()]);
}

fn with_one_absent(when_down: WhenDown) -> (Socket, Memcached, Client) {
    let ((socket, absent), memcached) = (absent(), Memcached::start(&[]));
    let client = ample(memcached.address()).server(absent).when_down(when_down).backoff(AMPLE, AMPLE).build().unwrap();
    (socket, memcached, client)
}

#[test]
fn a_batch_returns_the_values_of_live_servers_and_reports_each_key_of_one_that_is_down() {
    let (_socket, _memcached, client) = with_one_absent(WhenDown::Fail);
    let keys = keys();
    let live: Vec<bool> = keys.iter().map(|key| client.set(key, key, Ttl::Never).is_ok()).collect();
    let count = live.iter().filter(|&&is_live| is_live).count();
    assert!((10..90).contains(&count), "{count}");

    let values = client.get_many(&keys);
    for ((key, value), &is_live) in keys.iter().zip(&values).zip(&live) {
        match value {
            Ok(value) => assert!(is_live && value.as_deref() == Some(key.as_bytes())),
            Err(error) => assert!(!is_live && matches!(error, Error::Down { .. }), "{error}"),
        }
    }
    let error = values.all().unwrap_err();
    assert!(matches!(error, Error::Down { .. }), "{error}");

    // The same for writes: only those to the live server are executed.
    let is_done = |results: Vec<bool>| assert_eq!(results, live);
    let pairs: Vec<_> = keys.iter().map(|key| (key, "w")).collect();
    is_done(client.set_many(&pairs, Ttl::Never).iter().map(Result::is_ok).collect());
    is_done(keys.iter().map(|key| client.get(key).is_ok_and(|value| value.as_deref() == Some(b"w"))).collect());
    is_done(client.delete_many(&keys).into_iter().map(|was_there| was_there.is_ok_and(|it| it)).collect());
}

#[test]
fn a_server_that_hangs_leaves_a_batch_time_for_the_others() {
    let memcached = Memcached::start(&[]);
    let direct = ample(memcached.address()).build().unwrap();
    let hanging = listen(hold);
    // In either order of the servers.
    for servers in [[memcached.address(), &hanging], [&hanging, memcached.address()]] {
        let client = Client::builder(servers[0]).server(servers[1]).operation_timeout(20 * SHORT).build().unwrap();
        let keys = keys();
        for key in &keys {
            direct.set(key, key, Ttl::Never).unwrap();
        }
        let values = client.get_many(&keys);
        let timed_out = values.failures().filter(|(_, error)| error.is_timeout()).count();
        let found = values.iter().flatten().flatten().count();
        assert!((10..90).contains(&found) && found + timed_out == keys.len(), "{found} found, {timed_out} timed out");
    }
}

#[test]
fn the_keys_of_a_server_that_is_down_move_to_the_next() {
    let (_socket, _memcached, client) = with_one_absent(WhenDown::NextServer);
    for key in keys() {
        client.set(&key, &key, Ttl::Never).unwrap();
    }
    let values = client.get_many(&keys()).all().unwrap();
    assert!(values.iter().zip(keys()).all(|(value, key)| value.as_deref() == Some(key.as_bytes())));

    let ((_a, first), (_b, second)) = (absent(), absent());
    let unreachable = ample(&first).server(second).when_down(WhenDown::NextServer).build().unwrap();
    assert_eq!(unreachable.get("key").unwrap_err().delivery(), Delivery::NotSent);
    assert_eq!(unreachable.get_many(&keys()).all().unwrap_err().delivery(), Delivery::NotSent);
}

#[test]
fn a_call_for_each_server_never_moves_to_another_one() {
    for when_down in [WhenDown::Fail, WhenDown::NextServer] {
        let (_socket, _memcached, client) = with_one_absent(when_down);
        let pings: Vec<bool> = client.ping().iter().map(Result::is_ok).collect();
        assert_eq!(pings, [true, false]);
        assert_eq!(client.flush().failures().map(|(index, _)| index).collect::<Vec<_>>(), [1]);
    }
}
