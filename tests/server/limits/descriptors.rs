//! A server that runs out of descriptors.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::Subject;
use crate::connections::LARGE_BACKLOG;
use crate::peer;
use crate::process::wait_until;
use crate::report::Report;
use crate::server::{self, Server};

/// The expected log line, which appears once for all refused peers.
const COMPLAINT: &str = "warning: refusing connections";

/// Number of peers that try to connect when no descriptor is left: enough to fill each listening socket.
const CROWD: usize = 60;

/// A limit that is set before the start. The server takes it into account and reserves descriptors for its store.
pub(crate) fn limited_from_the_start(report: &mut Report) {
    const LIMIT: usize = 256;
    let directory = tempfile::tempdir().unwrap();
    let arguments: Vec<_> =
        server::command(directory.path()).arg(LARGE_BACKLOG).get_args().map(ToOwned::to_owned).collect();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -n {LIMIT}; exec \"$0\" \"$@\"")).arg(server::program()).args(arguments);
    let server = Server::spawn(&mut command).unwrap();
    let subject = Subject { server, directory };

    let mut clients = Clients::fill(&subject, LIMIT);
    let served = clients.connected.len();
    assert!(served >= LIMIT / 2, "only {served} of {LIMIT} descriptors are used for connections");
    // The store still opens the file that this value needs.
    clients.ask(&server::store(b"own file", &vec![7; 3_000_000]), b"OK\n");
    check(report, "out of descriptors", subject, clients);
}

/// A limit that is lowered later and leaves no descriptor: each `accept` fails.
pub(crate) fn taken_away(report: &mut Report) {
    let subject = Subject::start(&[LARGE_BACKLOG]);
    let descriptors = subject.server.descriptors();
    let limit = descriptors + 40;
    let pid = Pid::from_raw(subject.server.pid() as i32);
    let lower = Rlimit { current: Some(limit as u64), maximum: getrlimit(Resource::Nofile).maximum };
    if let Err(error) = prlimit(pid, Resource::Nofile, lower) {
        return report.skip("descriptors taken away", &error.to_string());
    }
    let clients = Clients::fill(&subject, limit);
    check(report, "descriptors taken away", subject, clients);
}

/// Clients of a server without free descriptors.
struct Clients {
    /// Descriptors of the server that are not connections.
    own: usize,
    connected: Vec<TcpStream>,
}

impl Clients {
    /// Connects until the server refuses connections.
    fn fill(subject: &Subject, limit: usize) -> Clients {
        peer::store(subject.address(), b"wanted", b"a value");
        subject.process().wait_until_quiet();
        let mut clients = Clients { own: subject.server.descriptors(), connected: Vec::new() };
        clients.connect(limit + CROWD, subject);
        wait_until("the server logs that it refuses", || complaints(subject) > 0);
        clients.settle(subject);
        clients
    }

    fn connect(&mut self, count: usize, subject: &Subject) {
        self.connected.extend((0..count).map(|_| peer::connect(subject.address())));
    }

    /// Waits until each peer is either served or refused. A peer that is neither is still waiting to be accepted.
    fn settle(&mut self, subject: &Subject) {
        let open = || self.connected.iter().filter(|stream| !peer::is_closed(stream)).count();
        wait_until("all are served or refused", || self.own + open() == subject.server.descriptors());
        self.connected.retain(|stream| !peer::is_closed(stream));
    }

    /// Sends a request on the oldest connection.
    fn ask(&mut self, request: &[u8], expected: &[u8]) {
        let mut stream = self.connected.remove(0);
        stream.write_all(request).unwrap();
        let answer = server::answer(&mut stream).unwrap();
        assert!(answer == expected, "{} bytes instead of {}", answer.len(), expected.len());
    }
}

/// While all descriptors are used, refusing costs little and open connections are served. Once descriptors are free,
/// new connections are served.
fn check(report: &mut Report, what: &str, subject: Subject, mut clients: Clients) {
    let (address, process) = (subject.address(), subject.process());
    clients.connect(CROWD, &subject);
    let share = process.cpu_share(Duration::from_secs(1));
    let percent = format!("{:.2} % of a core", share * 100.0);
    report.note(&format!("{what}: CPU while peers are refused"), percent, "≤ 1 %", share <= 0.01);
    assert!(share <= 0.1, "{what}: refusing costs {share} of a core");
    clients.settle(&subject);

    clients.ask(&server::fetch(b"wanted"), b"a value");
    let before = Instant::now();
    clients.connected.truncate(clients.connected.len() / 2);
    // A connection that arrives before the server has noticed may still be refused.
    wait_until("a connection is accepted again", || {
        peer::ask(address, &server::fetch(b"wanted")).is_ok_and(|answer| answer == b"a value")
    });
    let recovered = before.elapsed();
    let millis = format!("{:.1} ms", recovered.as_secs_f64() * 1000.0);
    report.note("    until it serves again", millis, "at once", recovered <= Duration::from_millis(50));
    assert_eq!(complaints(&subject), 1, "{:#?}", subject.server.log());
    subject.end();
}

fn complaints(subject: &Subject) -> usize {
    subject.server.log().iter().filter(|line| line.contains(COMPLAINT)).count()
}
