//! A server that runs out of descriptors.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
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

/// What the log has to say, once for all peers that are refused.
const COMPLAINT: &str = "warning: refusing connections";

/// How many try to be let in where there is no room: enough to pile up at each of the listening sockets.
const CROWD: usize = 60;

/// A limit from the start, which the server reckons with: it keeps some descriptors for its store.
pub(crate) fn limited_from_the_start(report: &mut Report) {
    const LIMIT: usize = 256;
    let directory = tempfile::tempdir().unwrap();
    let arguments: Vec<_> =
        server::command(directory.path()).arg(LARGE_BACKLOG).get_args().map(ToOwned::to_owned).collect();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -n {LIMIT}; exec \"$0\" \"$@\"")).arg(server::PROGRAM).args(arguments);
    let server = Server::spawn(&mut command).unwrap();
    let subject = Subject { server, directory };

    let mut served = fill(&subject, LIMIT);
    assert!(served.len() >= LIMIT / 2, "only {} of {LIMIT} descriptors are used for connections", served.len());
    // The store still opens the file that this needs.
    ask_on(served.remove(0), &server::store(b"own file", &vec![7; 3_000_000]), b"OK\n");
    check(report, "out of descriptors", subject, served);
}

/// A limit that comes later and leaves nothing: each `accept` fails.
pub(crate) fn taken_away(report: &mut Report) {
    let subject = Subject::start(&[LARGE_BACKLOG]);
    let descriptors = subject.server.descriptors();
    let limit = descriptors + 40;
    let pid = Pid::from_raw(subject.server.pid() as i32);
    let lower = Rlimit { current: Some(limit as u64), maximum: getrlimit(Resource::Nofile).maximum };
    if let Err(error) = prlimit(pid, Resource::Nofile, lower) {
        return report.skip("descriptors taken away", &error.to_string());
    }
    let served = fill(&subject, limit);
    check(report, "descriptors taken away", subject, served);
}

/// Connects until no more are let in; answers those that are.
fn fill(subject: &Subject, limit: usize) -> Vec<TcpStream> {
    let address = subject.address();
    peer::store(address, b"wanted", b"a value");
    let connected: Vec<TcpStream> = (0..limit + CROWD).map(|_| peer::connect(address)).collect();
    wait_until("the server says that it refuses", || complaints(subject) > 0);
    let is_served = |stream: &TcpStream| !peer::is_closed(stream);
    let settled = || connected.iter().filter(|stream| is_served(stream)).count() < limit;
    wait_until("those who cannot be let in are refused", settled);
    subject.process().wait_until_quiet();
    connected.into_iter().filter(is_served).collect()
}

/// While all descriptors are used by `served`: little is spent on those who want to be let in, those who are in are
/// served, and once there is room everybody is.
fn check(report: &mut Report, what: &str, subject: Subject, mut served: Vec<TcpStream>) {
    let (address, process) = (subject.address(), subject.process());
    let crowd: Vec<TcpStream> = (0..CROWD).map(|_| peer::connect(address)).collect();
    let share = process.cpu_share(Duration::from_secs(1));
    let percent = format!("{:.2} % of a core", share * 100.0);
    report.note(&format!("{what}: CPU while some want to be let in"), percent, "≤ 1 %", share <= 0.01);
    assert!(share <= 0.1, "{what}: refusing costs {share} of a core");
    // A few may get what was freed meanwhile, by one who left or by the store.
    wait_until("the crowd is refused", || crowd.iter().filter(|stream| !peer::is_closed(stream)).count() <= 4);
    drop(crowd);

    ask_on(served.remove(0), &server::fetch(b"wanted"), b"a value");
    let before = Instant::now();
    served.truncate(served.len() / 2);
    // One that comes before the server has noticed may still be refused.
    wait_until("somebody is let in again", || {
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

fn ask_on(mut stream: TcpStream, request: &[u8], expected: &[u8]) {
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer == expected, "{} bytes instead of {}", answer.len(), expected.len());
}
