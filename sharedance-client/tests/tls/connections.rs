//! Connections with TLS: resumption, pooling, fragments, and ends at any byte.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};

use rustls::{HandshakeKind, ServerConfig, ServerConnection};
use sharedance_client::{Delivery, Error, TlsProblem};

use crate::certificates::Authority;
use crate::clients::{both, trusting};
use crate::peer::{hold, listen};
use crate::peer_with_tls::{Peer, hit, listen_with_tls};

/// A peer that serves `max` requests on each connection, and the kind of each handshake.
fn recording(config: ServerConfig, max: usize) -> (String, Arc<Mutex<Vec<HandshakeKind>>>) {
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&kinds);
    let address = listen_with_tls(config, move |mut peer| {
        log.lock().unwrap().push(peer.connection.handshake_kind().unwrap());
        peer.serve("value", max)?;
        peer.connection.send_close_notify();
        peer.stream().flush()
    });
    (address, kinds)
}

#[test]
fn later_connections_of_a_pool_continue_the_session() {
    let authority = Authority::new();
    for config in [authority.server(), authority.server_for_tls_12()] {
        let (address, kinds) = recording(config, 1);
        for client in both(&address, &trusting(&authority)) {
            for _ in 0..3 {
                assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"value"[..]));
            }
            let kinds: Vec<_> = kinds.lock().unwrap().drain(..).collect();
            let resumed = [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed];
            assert_eq!(kinds, resumed);
        }
    }
}

#[test]
fn a_ticket_of_one_server_is_not_sent_to_another_on_the_same_host() {
    let authority = Authority::new();
    let ((first, first_kinds), (second, second_kinds)) =
        (recording(authority.server(), 1), recording(authority.server(), 1));
    for client in both(&format!("{first},{second}"), &trusting(&authority)) {
        for number in 0..40 {
            client.get(&format!("key-{number}")).unwrap();
        }
        for kinds in [&first_kinds, &second_kinds] {
            let kinds: Vec<_> = kinds.lock().unwrap().drain(..).collect();
            let full = kinds.iter().filter(|&&kind| kind != HandshakeKind::Resumed).count();
            assert!(kinds.len() > 5 && full == 1, "{kinds:?}");
        }
    }
}

#[test]
fn a_connection_that_the_server_has_ended_is_replaced_before_a_write_is_sent() {
    let authority = Authority::new();
    let (ended, end) = mpsc::channel();
    let address = listen_with_tls(authority.server(), move |mut peer| {
        peer.serve("value", 1)?;
        peer.connection.send_close_notify();
        peer.stream().flush()?;
        let _ = ended.send(());
        // The client closes the connection, too.
        while peer.socket.read(&mut [0; 4096])? > 0 {}
        Ok(())
    });
    for client in both(&address, &trusting(&authority)) {
        for _ in 0..10 {
            // A write is not repeated.
            client.set("key", b"value").unwrap();
            end.recv().unwrap();
        }
    }
}

#[test]
fn messages_of_tls_itself_do_not_end_the_use_of_a_connection() {
    let authority = Authority::new();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let address = listen_with_tls(authority.server(), move |mut peer| {
        counter.fetch_add(1, Ordering::SeqCst);
        loop {
            peer.serve("value", 1)?;
            peer.connection.refresh_traffic_keys().unwrap();
            peer.stream().flush()?;
        }
    });
    for (number, client) in (1..).zip(both(&address, &trusting(&authority))) {
        for _ in 0..5 {
            assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"value"[..]));
        }
        assert_eq!(count.load(Ordering::SeqCst), number);
    }
}

#[test]
fn unrequested_bytes_are_not_returned_as_a_response() {
    let authority = Authority::new();
    let turn = Arc::new(Barrier::new(2));
    let turn_of_peer = Arc::clone(&turn);
    let address = listen_with_tls(authority.server(), move |mut peer| {
        peer.serve("value", 1)?;
        turn_of_peer.wait();
        peer.send(b"VA 6 O1\r\nforged\r\n")?;
        turn_of_peer.wait();
        peer.serve("late", 9)
    });
    for client in both(&address, &trusting(&authority)) {
        for _ in 0..3 {
            assert_eq!(client.get("key").unwrap().as_deref(), Some(&b"value"[..]));
            turn.wait();
            turn.wait();
        }
    }
}

#[test]
fn a_response_in_any_records_is_the_same() {
    let authority = Authority::new();
    let value = "v".repeat(300);
    let sent = value.clone();
    let address = listen_with_tls(authority.server(), move |mut peer| {
        for record_len in 1.. {
            let line = peer.line()?;
            for record in hit(&line, &sent).as_bytes().chunks(record_len) {
                peer.send(record)?;
            }
        }
        Ok(())
    });
    for client in both(&address, &trusting(&authority)) {
        for _ in 1..=330 {
            assert_eq!(client.get("key").unwrap().as_deref(), Some(value.as_bytes()));
        }
    }
}

#[test]
fn long_values_and_batches_arrive_whole() {
    let authority = Authority::new();
    let address = listen_with_tls(authority.server(), |mut peer| {
        loop {
            let line = peer.line()?;
            if line.starts_with("ms") {
                let value = peer.store(&line)?;
                assert!(value.iter().all(|&byte| byte == b'v'));
            } else {
                let len = line.split([' ', '-']).nth(2).unwrap().parse().unwrap();
                peer.send(hit(&line, &"x".repeat(len)).as_bytes())?;
            }
        }
    });
    for client in both(&address, &trusting(&authority)) {
        for len in [0, 1, 16_383, 16_384, 16_385, 100_000, 3_000_000] {
            client.set("key", &vec![b'v'; len]).unwrap();
            assert_eq!(client.get(&format!("key-{len}")).unwrap().unwrap().len(), len);
        }
        let keys: Vec<String> = (0..600).map(|number| format!("key-{}", 100 * (number % 50))).collect();
        for (number, value) in client.get_many(&keys).into_iter().enumerate() {
            assert_eq!(value.unwrap().unwrap().len(), 100 * (number % 50));
        }
    }
}

/// Sends at most `left` bytes, and shuts the connection down after them.
struct Cut<'p> {
    peer: &'p mut Peer,
    left: usize,
}

impl Cut<'_> {
    /// Sends what TLS has to send; `false` at the end.
    fn send(&mut self) -> std::io::Result<bool> {
        let mut bytes = Vec::new();
        while self.peer.connection.wants_write() {
            self.peer.connection.write_tls(&mut bytes)?;
        }
        let len = bytes.len().min(self.left);
        self.peer.socket.write_all(&bytes[..len])?;
        self.left -= len;
        if self.left == 0 {
            self.peer.socket.shutdown(Shutdown::Write)?;
            // Until the client closes: unread bytes would reset the connection.
            while self.peer.socket.read(&mut [0; 4096])? > 0 {}
        }
        Ok(self.left > 0)
    }
}

/// A peer whose connection number N ends after N bytes of the server.
fn cutting(authority: &Authority) -> String {
    let (config, count) = (Arc::new(authority.server()), Arc::new(AtomicUsize::new(1)));
    listen(move |socket| {
        let left = count.fetch_add(1, Ordering::SeqCst);
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut peer = Peer { connection, socket };
        let mut cut = Cut { peer: &mut peer, left };
        let mut request = Vec::new();
        loop {
            let peer = &mut *cut.peer;
            if peer.connection.read_tls(&mut peer.socket)? == 0 {
                return Ok(());
            }
            peer.connection.process_new_packets().unwrap();
            let mut piece = [0; 1000];
            if let Ok(len) = peer.connection.reader().read(&mut piece) {
                request.extend_from_slice(&piece[..len]);
            }
            if request.ends_with(b"\r\n") {
                let line = String::from_utf8(std::mem::take(&mut request)).unwrap();
                peer.connection.writer().write_all(hit(line.trim_end(), "value").as_bytes())?;
            }
            if !cut.send()? {
                return Ok(());
            }
        }
    })
}

#[test]
fn a_connection_that_ends_after_any_byte_never_yields_a_wrong_value() {
    const ATTEMPTS_MAX: usize = 5000;
    let authority = Authority::new();
    for kind in 0..2 {
        let address = cutting(&authority);
        let (mut handshakes, mut responses) = (0, 0);
        let is_served = (0..ATTEMPTS_MAX).any(|_| {
            // Without a ticket and a pause from the attempt before.
            let client = &both(&address, &trusting(&authority))[kind];
            match client.get("key") {
                Ok(value) => {
                    assert_eq!(value.as_deref(), Some(&b"value"[..]));
                    return true;
                }
                Err(error @ Error::Tls { problem: TlsProblem::Closed, .. }) => {
                    assert_eq!(error.delivery(), Delivery::NotSent);
                    handshakes += 1;
                }
                Err(error @ Error::ConnectionLost { .. }) => {
                    assert_eq!(error.delivery(), Delivery::Unknown);
                    responses += 1;
                }
                Err(error) => panic!("{error}"),
            }
            false
        });
        // The certificate alone is longer than 300 bytes, and a record than the response.
        assert!(is_served && handshakes > 300 && responses > 20, "{handshakes} {responses}");
    }
}

#[test]
fn the_server_receives_the_end_of_a_connection() {
    let authority = Authority::new();
    let (ended, end) = mpsc::channel();
    let address = listen_with_tls(authority.server(), move |mut peer| {
        peer.serve("value", 1)?;
        // 0 for an end in TLS; an error if only the connection has ended.
        let _ = ended.send(peer.stream().read(&mut [0]).map_err(|error| error.kind()));
        Ok(())
    });
    for client in both(&address, &trusting(&authority)) {
        client.get("key").unwrap();
        drop(client);
        assert_eq!(end.recv().unwrap(), Ok(0));
    }
}

#[test]
fn a_plain_server_of_the_same_client_gets_no_tls() {
    let plain = listen(|socket| {
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(socket.try_clone()?));
        while let Some(Ok(line)) = lines.next() {
            (&socket).write_all(hit(&line, "plain").as_bytes())?;
        }
        hold(socket)
    });
    let authority = Authority::new();
    let encrypted = listen_with_tls(authority.server(), |mut peer| peer.serve("encrypted", 1000));
    for client in both(&format!("{encrypted},tcp://{plain}"), &trusting(&authority)) {
        let keys: Vec<String> = (0..40).map(|number| format!("key-{number}")).collect();
        let values: Vec<_> = client.get_many(&keys).into_iter().map(|value| value.unwrap().unwrap()).collect();
        let plain = values.iter().filter(|value| value[..] == b"plain"[..]).count();
        assert!((1..40).contains(&plain), "{plain}");
        assert_eq!(values.iter().filter(|value| value[..] == b"encrypted"[..]).count(), 40 - plain);
    }
}
