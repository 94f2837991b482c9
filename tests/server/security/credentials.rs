//! How a connection sends credentials, and what happens when they change.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::operations::{Dialect, frame, response};
use super::rights::{PASSWORD, USERS, User};
use super::site::{Peer, Site, credentials};

const FAILED: &[u8] = b"CLIENT_ERROR authentication failure\r\n";

fn users() -> String {
    USERS.iter().map(User::line).collect()
}

fn stat(peer: &mut Peer, name: &str) -> u64 {
    let stats = String::from_utf8(peer.ask(b"stats\r\n")).unwrap();
    let value = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
    value.unwrap_or_else(|| panic!("no {name} in {stats}")).parse().unwrap()
}

/// A connection that the server has closed, or closes when it gets a request.
fn is_closed(mut peer: Peer) -> bool {
    peer.send(b"mn\r\n");
    match peer.rest() {
        Ok(received) => received.is_empty(),
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn credentials_and_the_requests_after_them_can_be_cut_anywhere() {
    let site = Site::with_credentials();
    let text = [&credentials(Dialect::Text, "plain", PASSWORD)[..], b"set k 0 0 1\r\nv\r\nget k\r\n"].concat();
    let text_responses = b"STORED\r\nSTORED\r\nVALUE k 0 1\r\nv\r\nEND\r\n".to_vec();
    let binary = [credentials(Dialect::Binary, "plain", PASSWORD), frame(0x0a, b"", b"", b"")].concat();
    let binary_responses = [response(0x21, 0, "Authenticated"), response(0x0a, 0, "")].concat();
    for (sent, expected) in [(text, text_responses), (binary, binary_responses)] {
        for cut in 0..=sent.len() {
            let mut peer = site.connect(0);
            peer.send(&sent[..cut]);
            // The server reads the first part before it gets the second one, at least now and then.
            std::thread::yield_now();
            peer.send(&sent[cut..]);
            assert_eq!(peer.rest().unwrap(), expected, "cut at {cut}");
        }
        let mut peer = site.connect(0);
        sent.chunks(1).for_each(|byte| peer.send(byte));
        assert_eq!(peer.rest().unwrap(), expected);
    }
}

#[test]
fn the_key_the_flags_and_the_exptime_are_ignored() {
    let site = Site::with_credentials();
    let value = format!("plain {PASSWORD}");
    let long_key = "k".repeat(250);
    for line in ["set a 0 0", "set plain 7 -1", "set other-key 4294967295 1000", &format!("set {long_key} 0 0")] {
        for noreply in ["", " noreply"] {
            let mut peer = site.connect(0);
            peer.send(format!("{line} {}{noreply}\r\n{value}\r\nget a\r\n", value.len()).as_bytes());
            assert_eq!(peer.rest().unwrap(), b"STORED\r\nEND\r\n", "{line}{noreply}");
        }
    }
}

#[test]
fn malformed_credentials_end_the_connection() {
    let site = Site::with_credentials();
    let set = |value: &str| format!("set a 0 0 {}\r\n{value}\r\nget a\r\n", value.len());
    let format = "CLIENT_ERROR bad authentication token format\r\n";
    let failed = "CLIENT_ERROR authentication failure\r\n";
    let too_long = "CLIENT_ERROR auth token too long\r\n";
    let end = "CLIENT_ERROR bad command line termination\r\n";
    let cases: Vec<(String, &str)> = vec![
        (set(""), format),
        (set("plain"), format),
        (set(" "), failed),
        (set("plain "), failed),
        (set(&format!("plain {PASSWORD} ")), failed),
        (set(&format!(" plain {PASSWORD}")), failed),
        (set(&format!("plain  {PASSWORD}")), failed),
        (set(&format!("plain {PASSWORD}\0")), failed),
        (set(&format!("PLAIN {PASSWORD}")), failed),
        (set(&format!("plain {}", "x".repeat(10_000))), failed),
        (set(&format!("plain {}", "x".repeat(20_000))), too_long),
        ("set a 0 0 2147483645\r\n".into(), too_long),
        ("set a 0 0 100000 noreply\r\n".into(), too_long),
        (format!("set a 0 0 3\r\nplain {PASSWORD}\r\n"), end),
        // The length is not known, so that the rest cannot be read.
        ("set a 0 0 2147483647\r\n".into(), "CLIENT_ERROR unauthenticated\r\n"),
        ("set a 0 0 -1\r\n".into(), "CLIENT_ERROR unauthenticated\r\n"),
        ("set a b 0 0 7\r\n".into(), "CLIENT_ERROR unauthenticated\r\n"),
    ];
    let open = |(sent, expected): &(String, _)| {
        let mut peer = site.connect(0);
        peer.send(sent.as_bytes());
        (peer, sent.clone(), *expected)
    };
    for (mut peer, sent, expected) in cases.iter().map(open).collect::<Vec<_>>() {
        assert_eq!(String::from_utf8(peer.until_end().unwrap()).unwrap(), expected, "{sent:.60}");
    }
}

#[test]
fn sasl_plain_takes_one_request_or_two() {
    let site = Site::with_credentials();
    let authenticated = response(0x21, 0, "Authenticated");
    let list = (frame(0x20, b"", b"", b""), response(0x20, 0, "PLAIN"));
    let plain = |name: &str| format!("\0{name}\0{PASSWORD}");
    let auth = |message: &str| frame(0x21, b"", b"PLAIN", message.as_bytes());
    let step = |message: &str| frame(0x22, b"", b"PLAIN", message.as_bytes());
    let failed = |opcode| response(opcode, 0x20, "Auth failure.");

    let mut peer = site.connect(0);
    peer.send(&list.0);
    peer.expect(&list.1);
    peer.send(&auth(""));
    peer.expect(&response(0x21, 0x21, ""));
    peer.send(&step(&plain("reader")));
    peer.expect(&response(0x22, 0, "Authenticated"));
    // It becomes another user.
    let write = frame(0x11, &[0; 8], b"k", b"v");
    peer.send(&write);
    peer.expect(&response(0x11, 0x24, "Access denied"));
    peer.send(&[&auth(&plain("plain"))[..], &write, &frame(0x0a, b"", b"", b"")].concat());
    peer.expect(&[&authenticated[..], &response(0x0a, 0, "")].concat());
    // Wrong credentials end the connection, although it had right ones before.
    peer.send(&[auth("\0plain\0wrong"), frame(0x0a, b"", b"", b"")].concat());
    assert_eq!(peer.rest().unwrap(), failed(0x21));

    let mut same_identity = site.connect(0);
    same_identity.send(&auth(&format!("plain\0plain\0{PASSWORD}")));
    same_identity.expect(&authenticated);

    let cases = [
        (auth(&format!("admin\0plain\0{PASSWORD}")), failed(0x21)),
        (auth(&format!("plain\0{PASSWORD}")), failed(0x21)),
        (auth(&format!("\0plain\0{PASSWORD}\0")), failed(0x21)),
        (auth("\0\0"), failed(0x21)),
        (auth("plain"), failed(0x21)),
        (step(&plain("plain")), failed(0x22)),
        (frame(0x21, b"", b"CRAM-MD5", b""), failed(0x21)),
        (frame(0x21, b"", b"plain", plain("plain").as_bytes()), failed(0x21)),
        ([auth(""), step("")].concat(), [response(0x21, 0x21, ""), failed(0x22)].concat()),
        // An exchange ends with the request after it.
        (
            [auth(""), auth(""), step("x")].concat(),
            [response(0x21, 0x21, ""), response(0x21, 0x21, ""), failed(0x22)].concat(),
        ),
        (frame(0x21, b"", b"", b"x"), response(0x21, 0x04, "Invalid arguments")),
        (frame(0x20, b"", b"k", b""), response(0x20, 0x04, "Invalid arguments")),
        (auth(&"x".repeat(30_000)), response(0x21, 0x03, "Too large.")),
    ];
    let open = |(sent, expected): &(Vec<u8>, Vec<u8>)| {
        let mut peer = site.connect(0);
        peer.send(sent);
        (peer, expected.clone())
    };
    for (case, (mut peer, expected)) in cases.iter().map(open).collect::<Vec<_>>().into_iter().enumerate() {
        let received = peer.until_end().unwrap();
        assert_eq!(received.escape_ascii().to_string(), expected.escape_ascii().to_string(), "case {case}");
    }
}

#[test]
fn without_a_file_of_credentials_sasl_is_unknown_and_a_set_is_a_set() {
    let site = Site::start(None);
    let mut peer = site.connect(0);
    for opcode in [0x20, 0x21, 0x22] {
        let request = if opcode == 0x20 { frame(0x20, b"", b"", b"") } else { frame(opcode, b"", b"PLAIN", b"\0a\0b") };
        peer.send(&request);
        peer.expect(&response(opcode, 0x81, "Unknown command"));
    }
    let mut peer = site.connect(0);
    assert_eq!(peer.ask(b"set auth 0 0 3\r\na b\r\nget auth\r\n"), b"STORED\r\nVALUE auth 0 3\r\na b\r\nEND\r\n");
}

#[test]
fn in_the_text_dialect_a_second_set_is_a_set() {
    let site = Site::with_credentials();
    let mut peer = site.log_in(0, Dialect::Text, "prefix");
    let again = credentials(Dialect::Text, "admin", PASSWORD);
    assert_eq!(peer.ask(&again), b"CLIENT_ERROR access denied\r\n");
    assert_eq!(peer.ask(b"flush_all\r\n"), b"CLIENT_ERROR access denied\r\n", "it is not another user now");
}

#[test]
fn a_refusal_is_delayed_and_others_are_served_meanwhile() {
    let site = Site::with_credentials();
    let began = Instant::now();
    let mut refused: Vec<_> = (0..20).map(|_| site.connect(0)).collect();
    refused.iter_mut().for_each(|peer| peer.send(&credentials(Dialect::Text, "plain", "wrong")));
    // The server has one worker.
    let mut served = site.log_in(0, Dialect::Text, "plain");
    assert_eq!(served.ask(b"get a\r\n"), b"END\r\n");
    let meanwhile = began.elapsed();
    for peer in &mut refused {
        assert_eq!(peer.until_end().unwrap(), FAILED);
    }
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(meanwhile < began.elapsed());
}

#[test]
fn attempts_are_counted() {
    let site = Site::with_credentials();
    let mut overseer = site.log_in(0, Dialect::Text, "admin");
    assert_eq!((stat(&mut overseer, "auth_cmds"), stat(&mut overseer, "auth_errors")), (1, 0));
    let mut wrong = [Dialect::Text, Dialect::Binary].map(|dialect| {
        let mut peer = site.connect(0);
        peer.send(&credentials(dialect, "plain", "wrong"));
        peer
    });
    wrong.iter_mut().for_each(|peer| assert!(!peer.until_end().unwrap().is_empty()));
    let mut classic = site.connect(0);
    classic.send(&sharedance_test_support::server::fetch(b"k"));
    assert_eq!(classic.until_end().unwrap_err().kind(), ErrorKind::ConnectionReset);
    let _plain = site.log_in(0, Dialect::Binary, "plain");
    let counted = ["auth_cmds", "auth_errors", "auth_classic_refused"].map(|name| stat(&mut overseer, name));
    assert_eq!(counted, [4, 2, 1]);
    let settings = String::from_utf8(overseer.ask(b"stats settings\r\n")).unwrap();
    assert!(settings.contains("auth_enabled_sasl yes") && settings.contains("auth_enabled_ascii yes"), "{settings}");
}

#[test]
fn a_reload_applies_to_open_connections_with_their_next_request() {
    let site = Site::with_credentials();
    let mut kept = site.log_in(0, Dialect::Text, "plain");
    let mut restricted = site.log_in(0, Dialect::Text, "reader-admin");
    let mut removed = site.log_in(0, Dialect::Text, "prefix");
    let changed = site.log_in(0, Dialect::Binary, "admin");
    assert_eq!(removed.ask(b"lock app1-k 0 1000\r\n"), b"LOCKED\r\n");
    assert_eq!(kept.ask(b"set k 0 0 1\r\nv\r\n"), b"STORED\r\n");
    assert_eq!(restricted.ask(b"set k 0 0 1\r\nw\r\n"), b"CLIENT_ERROR access denied\r\n");

    let new = format!("plain:{PASSWORD}\nreader-admin:{PASSWORD}:prefix=k\nadmin:another\nnew:{PASSWORD}\n");
    assert!(site.reload(&new));
    assert_eq!(kept.ask(b"get k\r\n"), b"VALUE k 0 1\r\nv\r\nEND\r\n");
    assert_eq!(restricted.ask(b"set k 0 0 1\r\nw\r\nget other\r\n"), b"STORED\r\nCLIENT_ERROR access denied\r\n");
    assert!(is_closed(removed) && is_closed(changed));
    // The end of the connection has released its lock.
    assert_eq!(kept.ask(b"lock app1-k 60000 1\r\n"), b"LOCKED\r\n");
    let mut added = site.log_in(0, Dialect::Text, "new");
    assert_eq!(added.ask(b"get k\r\n"), b"VALUE k 0 1\r\nw\r\nEND\r\n");
    let mut wrong = site.connect(0);
    wrong.send(&credentials(Dialect::Text, "prefix", PASSWORD));
    assert_eq!(wrong.until_end().unwrap(), FAILED);
}

#[test]
fn a_broken_file_keeps_the_credentials() {
    let site = Site::with_credentials();
    let mut peer = site.log_in(0, Dialect::Text, "plain");
    for broken in ["", "plain\n", "plain:\n", &format!("{}plain:{PASSWORD}:unknown\n", users())] {
        assert!(!site.reload(broken), "{broken:?}");
        assert_eq!(peer.ask(b"get k\r\n"), b"END\r\n");
        site.log_in(0, Dialect::Text, "prefix");
    }
    assert!(site.reload(&users()));
    assert_eq!(peer.ask(b"get k\r\n"), b"END\r\n");
}

#[test]
fn a_name_can_have_two_passwords_while_it_gets_another_one() {
    let site = Site::start(Some("web:old one\nweb:new one:read-only\n"));
    for (password, response) in [("old one", &b"STORED\r\n"[..]), ("new one", b"CLIENT_ERROR access denied\r\n")] {
        let mut peer = site.connect(0);
        peer.send(&credentials(Dialect::Text, "web", password));
        peer.expect(b"STORED\r\n");
        assert_eq!(peer.ask(b"set k 0 0 1\r\nv\r\n"), response);
    }
}
