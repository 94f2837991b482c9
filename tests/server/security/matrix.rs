//! Every combination of listener, dialect, credentials, key and operation.

use super::operations::{Dialect, Operation, operations, response};
use super::rights::{ADMIN, Class, PREFIX, USERS, User};
use super::site::{LISTENERS, Peer, Site, credentials};

const DENIED: &[u8] = b"CLIENT_ERROR access denied\r\n";
const UNAUTHENTICATED: &[u8] = b"CLIENT_ERROR unauthenticated\r\n";

/// Connections that are open at a time while their refusal is delayed.
const BATCH: usize = 32;

/// Who uses a listener that requires no credentials.
const WITHOUT_CREDENTIALS: User = User { name: "", prefix: None, is_read_only: false, is_admin: false };

/// A server with credentials, and one without for comparison. Both get the same pairs.
struct Fixture {
    site: Site,
    reference: Site,
    /// Connections that see and change everything.
    overseer: Peer,
    reference_overseer: Peer,
    /// Keys that were used.
    keys: usize,
}

impl Fixture {
    fn new() -> Fixture {
        let (site, reference) = (Site::with_credentials(), Site::start(None));
        let overseer = site.log_in(0, Dialect::Text, ADMIN.name);
        let reference_overseer = reference.connect(0);
        Fixture { site, reference, overseer, reference_overseer, keys: 0 }
    }

    /// A new key, with a pair of the same value and version on both servers.
    fn pair(&mut self, prefix: &str) -> String {
        self.keys += 1;
        let key = format!("{prefix}{}", self.keys);
        for overseer in [&mut self.overseer, &mut self.reference_overseer] {
            assert_eq!(overseer.ask(format!("ms {key} 2 F7 E100\r\n10\r\n").as_bytes()), b"HD\r\n");
        }
        key
    }

    /// What there is of a pair, with its version.
    fn state(&mut self, key: &str) -> Vec<u8> {
        self.overseer.ask(format!("mg {key} u v t f c\r\n").as_bytes())
    }

    /// Whether the pair is the same on both servers, apart from its version and a second or two of its life.
    fn is_same(&mut self, key: &str) -> bool {
        let request = format!("mg {key} u v t f\r\n");
        let ours = self.overseer.ask(request.as_bytes());
        let theirs = self.reference_overseer.ask(request.as_bytes());
        without_times(&ours) == without_times(&theirs)
    }
}

/// Replaces remaining lives, times since the last access, and versions.
fn without_times(response: &[u8]) -> String {
    let text = response.escape_ascii().to_string();
    let words = text.split(' ').map(|word| match word.split_at_checked(1) {
        Some(("t", secs)) if secs.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) => "t+",
        _ if word.starts_with("la=") => "la",
        _ if word.starts_with("cas=") => "cas",
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Removes the versions from the frames of a response.
fn without_versions(dialect: Dialect, mut response: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while dialect == Dialect::Binary && response.len() >= at + 24 {
        response[at + 16..at + 24].fill(0);
        at += 24 + u32::from_be_bytes(response[at + 8..at + 12].try_into().unwrap()) as usize;
    }
    response
}

fn denied(dialect: Dialect, operation: &Operation) -> Vec<u8> {
    match dialect {
        Dialect::Binary => response(operation.opcode, 0x24, "Access denied"),
        _ if operation.is_silent => Vec::new(),
        _ => DENIED.to_vec(),
    }
}

/// Checks the operations of one connection.
fn check_cells(fixture: &mut Fixture, listener: usize, dialect: Dialect, user: &User, prefix: &str) -> usize {
    let kind = LISTENERS[listener];
    let connect = |site: &Site| match user.name {
        "" => site.connect(listener),
        name => site.log_in(listener, dialect, name),
    };
    let (mut peer, mut reference) = (connect(&fixture.site), fixture.reference.connect(0));
    let operations = operations(dialect);
    for operation in &operations {
        let key = fixture.pair(prefix);
        let place = format!("{kind:?}, {user:?}, {key}, {}", operation.name);
        let before = fixture.state(&key);
        let request = (operation.request)(&key);
        let response = without_versions(dialect, peer.ask_in(dialect, &request));
        let is_allowed = user.may(operation.class, &key, kind.admin);
        match operation.class {
            Class::Statistics => {
                let has = |name: &str| response.windows(name.len()).any(|window| window == name.as_bytes());
                assert!(has("uptime") && has("curr_items") == is_allowed, "{place}");
            }
            Class::Settings if is_allowed => assert_ne!(response, denied(dialect, operation), "{place}"),
            _ if is_allowed => {
                let expected = without_versions(dialect, reference.ask_in(dialect, &request));
                assert_eq!(without_times(&response), without_times(&expected), "{place}");
                assert!(fixture.is_same(&key), "{place}");
            }
            _ => {
                let expected = denied(dialect, operation);
                assert_eq!(response.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{place}");
                assert_eq!(fixture.state(&key), before, "{place}");
            }
        }
        if operation.is_last {
            (peer, reference) = (connect(&fixture.site), fixture.reference.connect(0));
        }
    }
    operations.len()
}

#[test]
fn each_user_can_do_what_it_may_and_nothing_else() {
    let mut fixture = Fixture::new();
    let mut cells = 0;
    for (listener, kind) in LISTENERS.iter().enumerate() {
        for dialect in [Dialect::Text, Dialect::Binary] {
            for user in &USERS {
                // The text dialect of such a listener takes credentials for a pair, like a server without any.
                if !kind.auth && dialect == Dialect::Text {
                    continue;
                }
                let others: &[&str] = if user.prefix.is_some() { &["app1", "other-"] } else { &[] };
                for prefix in others.iter().copied().chain([PREFIX]) {
                    cells += check_cells(&mut fixture, listener, dialect, user, prefix);
                }
            }
        }
    }
    eprintln!("{cells} cells");
}

#[test]
fn a_listener_without_credentials_allows_all_but_administration() {
    let mut fixture = Fixture::new();
    let mut cells = 0;
    for listener in (0..LISTENERS.len()).filter(|&listener| !LISTENERS[listener].auth) {
        for dialect in [Dialect::Text, Dialect::Binary] {
            cells += check_cells(&mut fixture, listener, dialect, &WITHOUT_CREDENTIALS, "key-");
        }
    }
    eprintln!("{cells} cells");
}

#[test]
fn without_credentials_nothing_is_served() {
    let mut fixture = Fixture::new();
    let mut cells = 0;
    for listener in (0..LISTENERS.len()).filter(|&listener| LISTENERS[listener].auth) {
        for dialect in [Dialect::Classic, Dialect::Text, Dialect::Binary] {
            let operations = operations(dialect);
            for operations in operations.chunks(BATCH) {
                let open = |operation| {
                    let key = fixture.pair(PREFIX);
                    let (before, mut peer) = (fixture.state(&key), fixture.site.connect(listener));
                    let request: &Operation = operation;
                    peer.send(&(request.request)(&key));
                    (request, key, before, peer)
                };
                for (operation, key, before, peer) in operations.iter().map(open).collect::<Vec<_>>() {
                    let place = format!("{listener}, {dialect:?}, {key}, {}", operation.name);
                    match (dialect, peer.rest()) {
                        // An orderly end would mean that there is no such pair.
                        (Dialect::Classic, received) => assert!(received.is_err(), "{place}: {received:?}"),
                        (Dialect::Text, received) => assert_unauthenticated(operation, &received.unwrap(), &place),
                        (Dialect::Binary, received) => {
                            let received = received.unwrap();
                            let expected = match operation.opcode {
                                0x0b => response(0x0b, 0, "1.6.45"),
                                opcode => response(opcode, 0x20, "Auth failure."),
                            };
                            assert_eq!(received, expected, "{place}");
                        }
                    }
                    assert_eq!(fixture.state(&key), before, "{place}");
                    cells += 1;
                }
            }
        }
    }
    eprintln!("{cells} cells");
}

fn assert_unauthenticated(operation: &Operation, received: &[u8], place: &str) {
    let expected = match () {
        _ if operation.is_too_large_set => &b"CLIENT_ERROR auth token too long\r\n"[..],
        _ if operation.is_plain_set => b"CLIENT_ERROR bad authentication token format\r\n",
        _ if operation.is_last || operation.is_silent => b"",
        _ => UNAUTHENTICATED,
    };
    assert_eq!(received.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{place}");
}

#[test]
fn after_wrong_credentials_nothing_is_served() {
    let mut fixture = Fixture::new();
    let mut cells = 0;
    for listener in (0..LISTENERS.len()).filter(|&listener| LISTENERS[listener].auth) {
        for dialect in [Dialect::Text, Dialect::Binary] {
            let failed = match dialect {
                Dialect::Text => b"CLIENT_ERROR authentication failure\r\n".to_vec(),
                _ => response(0x21, 0x20, "Auth failure."),
            };
            let operations = operations(dialect);
            for operations in operations.chunks(BATCH) {
                let open = |operation| {
                    let key = fixture.pair(PREFIX);
                    let (before, mut peer) = (fixture.state(&key), fixture.site.connect(listener));
                    let request: &Operation = operation;
                    // In one piece, and a right password after the wrong one.
                    let wrong = credentials(dialect, ADMIN.name, "wrong");
                    let right = credentials(dialect, ADMIN.name, super::rights::PASSWORD);
                    peer.send(&[&wrong[..], &right, &(request.request)(&key)].concat());
                    (request, key, before, peer)
                };
                for (operation, key, before, peer) in operations.iter().map(open).collect::<Vec<_>>() {
                    let place = format!("{listener}, {dialect:?}, {key}, {}", operation.name);
                    assert_eq!(peer.rest().unwrap(), failed, "{place}");
                    assert_eq!(fixture.state(&key), before, "{place}");
                    cells += 1;
                }
            }
        }
    }
    eprintln!("{cells} cells");
}

#[test]
fn the_classic_dialect_is_served_by_a_listener_without_credentials() {
    let mut fixture = Fixture::new();
    for listener in (0..LISTENERS.len()).filter(|&listener| !LISTENERS[listener].auth) {
        for operation in operations(Dialect::Classic) {
            let key = fixture.pair(PREFIX);
            let request = (operation.request)(&key);
            let [ours, theirs] = [&fixture.site, &fixture.reference].map(|site| {
                let mut peer = site.connect(listener);
                peer.send(&request);
                peer.until_end().unwrap()
            });
            assert_eq!(ours, theirs, "{}", operation.name);
            // Both have the default expiration time now.
            assert!(fixture.is_same(&key), "{}", operation.name);
        }
    }
}
