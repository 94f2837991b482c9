//! Measures the server's CPU time per request on a kept connection, beside a null server that only receives and sends,
//! and beside memcached and Redis if they are installed.
//!
//! `cargo bench -p sharedance-server --bench keepalive [-- NAME…]` prints the server's CPU time per request (2 KiB, 16
//! connections): get, set, and both alternately; one request at a time, and 16 pipelined. With names it measures only
//! servers whose names contain one of them, and the null server. All are processes of their own with one worker. They
//! are measured alternately, so that a disturbance of the machine affects all.
//!
//! The null server handles sockets as the real one does and finds the end of each request. It stores nothing and sends
//! constant responses.

mod support;

use std::env;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use polling::{Event, PollMode};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use slab::Slab;
use support::{Outcome, Process, Spread, sharedanced};

const VALUE_LEN: usize = 2048;
const KEYS: usize = 20_000;

/// A step that visits all keys in an irregular order.
const KEY_STEP: usize = 7919;
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 11;
const DEPTHS: [usize; 2] = [1, 16];
const OPERATIONS: [Operation; 3] = [Operation::Get, Operation::Set, Operation::Mix];

/// Requests per round, for one operation at one depth.
const REQUESTS: usize = 16 * 1024;
const REQUESTS_ALONE: usize = 4 * 1024;

fn main() -> Outcome<()> {
    let names: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if names.first().is_some_and(|word| word == "null-server") {
        return null_server();
    }
    let directories = [tempfile::tempdir()?, tempfile::tempdir()?];
    let shared_memory = tempfile::tempdir_in("/dev/shm")?;
    let mut servers =
        start_servers(&names, directories.each_ref().map(|directory| directory.path()), shared_memory.path())?;
    for round in 0..=ROUNDS {
        eprint!("\rround {round} of {ROUNDS}");
        for server in &mut servers {
            for (row, (depth, operation)) in rows().enumerate() {
                let cost = server.measure(depth, operation)?;
                // The first round is a warm-up.
                if round > 0 {
                    server.costs[row].push(cost);
                }
            }
        }
    }
    eprintln!();
    report(&servers)
}

fn rows() -> impl Iterator<Item = (usize, Operation)> {
    DEPTHS.into_iter().flat_map(|depth| OPERATIONS.map(|operation| (depth, operation)))
}

fn report(servers: &[Server]) -> Outcome<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "CPU µs of the server a request, median of {ROUNDS} rounds (min–max), and its ratio to the null")?;
    writeln!(out, "server's; {VALUE_LEN} B values, {CONNECTIONS} connections")?;
    for (row, (depth, operation)) in rows().enumerate() {
        writeln!(out, "\n{operation:?}, {depth} pipelined")?;
        for server in servers {
            // A ratio per round: a disturbance of the machine affected both.
            let ratios = server.costs[row].iter().zip(&servers[0].costs[row]).map(|(own, null)| own / null);
            let ratio = Spread::of(ratios).median;
            writeln!(out, "  {:<24} {} {ratio:>6.2}", server.name, Spread::of(server.costs[row].iter().copied()))?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Get,
    Set,
    /// A get, then a set.
    Mix,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Memcached,
    Redis,
}

/// A server, its connections and its measurements.
struct Server {
    name: String,
    process: Process,
    dialect: Dialect,
    streams: Vec<TcpStream>,
    value: Vec<u8>,
    count: usize,
    costs: Vec<Vec<f64>>,
}

fn start_servers(names: &[String], [disk, redis]: [&Path; 2], shared_memory: &Path) -> Outcome<Vec<Server>> {
    let wanted = |name: &str| names.is_empty() || names.iter().any(|part| name.contains(part.as_str()));
    let mut null = Command::new(env::current_exe()?);
    null.arg("null-server");
    let mut servers = vec![Server::new("null server", Process::start(&mut null)?, Dialect::Memcached)?];
    for (name, directory) in [("sharedanced, disk", disk), ("sharedanced, /dev/shm", shared_memory)] {
        if wanted(name) {
            servers.push(Server::new(name, Process::start(&mut sharedanced(directory))?, Dialect::Memcached)?);
        }
    }
    let memcached = |port: u16| {
        let mut command = Command::new("memcached");
        command.args(["-t", "1", "-m", "1024", "-l", "127.0.0.1", "-u", "nobody", "-p"]).arg(port.to_string());
        command
    };
    let redis = |append_only: &'static str| {
        move |port: u16| {
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", append_only, "--dir"]).arg(redis);
            command.arg("--port").arg(port.to_string());
            command
        }
    };
    if wanted("memcached")
        && let Some(process) = Process::start_elsewhere(memcached)?
    {
        servers.push(Server::new("memcached", process, Dialect::Memcached)?);
    }
    for (name, append_only) in [("Redis", "no"), ("Redis, AOF", "yes")] {
        if wanted(name)
            && let Some(process) = Process::start_elsewhere(redis(append_only))?
        {
            servers.push(Server::new(name, process, Dialect::Redis)?);
        }
    }
    Ok(servers)
}

impl Server {
    fn new(name: &str, process: Process, dialect: Dialect) -> Outcome<Server> {
        let streams = (0..CONNECTIONS).map(|_| TcpStream::connect(process.address)).collect::<io::Result<Vec<_>>>()?;
        streams.iter().try_for_each(|stream| stream.set_nodelay(true))?;
        let mut server = Server {
            name: name.to_owned(),
            process,
            dialect,
            streams,
            value: (0..VALUE_LEN).map(|n| (n * 31) as u8).collect(),
            count: 0,
            costs: vec![Vec::new(); DEPTHS.len() * OPERATIONS.len()],
        };
        // Sets each key once, so that every get is a hit.
        server.run(16, Operation::Set, KEYS)?;
        Ok(server)
    }

    /// Returns CPU microseconds per request.
    fn measure(&mut self, depth: usize, operation: Operation) -> io::Result<f64> {
        let requests = if depth == 1 { REQUESTS_ALONE } else { REQUESTS };
        let before = self.process.cpu_nanos()?;
        self.run(depth, operation, requests)?;
        Ok((self.process.cpu_nanos()? - before) as f64 / 1000.0 / requests as f64)
    }

    /// Sends `depth` requests at once on each connection and waits for all responses, repeatedly.
    fn run(&mut self, depth: usize, operation: Operation, requests: usize) -> io::Result<()> {
        let (mut batch, mut responses) = (Vec::new(), vec![0; depth * (VALUE_LEN + 128)]);
        for wave in 0..requests.div_ceil(depth * CONNECTIONS) {
            let mut expected = [0; CONNECTIONS];
            for (connection, expected) in expected.iter_mut().enumerate() {
                batch.clear();
                for n in 0..depth {
                    let is_get = match operation {
                        Operation::Get => true,
                        Operation::Set => false,
                        // Alternates in a pipeline. Without pipelining it alternates between connections, and on each
                        // connection.
                        Operation::Mix => (n + connection + wave) % 2 == 0,
                    };
                    *expected += self.push_request(is_get, &mut batch);
                }
                self.streams[connection].write_all(&batch)?;
            }
            for (stream, expected) in self.streams.iter_mut().zip(expected) {
                stream.read_exact(&mut responses[..expected])?;
                // Each response has a fixed length in either dialect, so a response out of step shows at the end.
                if responses[..expected][expected - 2..] != *b"\r\n" {
                    return Err(io::Error::other(format!("{}: a response out of step", self.name)));
                }
            }
        }
        Ok(())
    }

    /// Appends a request and returns the length of its response.
    fn push_request(&mut self, is_get: bool, batch: &mut Vec<u8>) -> usize {
        self.count += 1;
        let key = format!("sess-{:032}", self.count * KEY_STEP % KEYS);
        // Always a new value: setting the current one is cheaper.
        self.value[..8].copy_from_slice(&(self.count as u64).to_be_bytes());
        match (self.dialect, is_get) {
            (Dialect::Memcached, true) => {
                let _ = write!(batch, "get {key}\r\n");
                format!("VALUE {key} 0 {VALUE_LEN}\r\n\r\nEND\r\n").len() + VALUE_LEN
            }
            (Dialect::Memcached, false) => {
                let _ = write!(batch, "set {key} 0 0 {VALUE_LEN}\r\n");
                batch.extend_from_slice(&self.value);
                batch.extend_from_slice(b"\r\n");
                b"STORED\r\n".len()
            }
            (Dialect::Redis, true) => {
                let _ = write!(batch, "*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
                format!("${VALUE_LEN}\r\n\r\n").len() + VALUE_LEN
            }
            (Dialect::Redis, false) => {
                let _ = write!(batch, "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${VALUE_LEN}\r\n", key.len());
                batch.extend_from_slice(&self.value);
                batch.extend_from_slice(b"\r\n");
                b"+OK\r\n".len()
            }
        }
    }
}

/// One kind of request that the null server can handle: its length, and its response.
struct Kind {
    first_byte: u8,
    request_len: usize,
    response: Vec<u8>,
}

/// Sends the expected number of bytes for the two kinds of requests, until it is killed.
#[allow(unsafe_code)]
fn null_server() -> Outcome<()> {
    let (listener, poller) = support::listen()?;
    let responses = Responses::new();
    let (mut connections, mut keys, mut buffer) = (Slab::new(), Vec::new(), vec![0; 64 * 1024]);
    loop {
        support::wait(&poller, &mut keys)?;
        for &key in &keys {
            if key == 0 {
                while let Ok(socket) = accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                    let entry = connections.vacant_entry();
                    // SAFETY: the poller deletes the socket below, before it is closed.
                    unsafe { poller.add_with_mode(&socket, Event::readable(entry.key() + 1), PollMode::Level)? };
                    entry.insert((socket, Position::default()));
                }
            } else if let Some((socket, position)) = connections.get_mut(key - 1) {
                match recv(&*socket, &mut buffer[..], RecvFlags::empty()) {
                    Ok((0, _)) => {
                        poller.delete(&*socket)?;
                        connections.remove(key - 1);
                    }
                    Ok((len, _)) => {
                        let response = responses.to(position, &buffer[..len]);
                        if send(&*socket, response, SendFlags::NOSIGNAL)? < response.len() {
                            return Err("the socket took only a part of a response".into());
                        }
                    }
                    Err(Errno::AGAIN) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

/// The position of a connection within a request: its kind, and the number of bytes that are missing.
#[derive(Default)]
struct Position {
    kind: usize,
    rest: usize,
}

struct Responses {
    kinds: [Kind; 2],
    /// Many responses of one kind, of the other, and of both alternately.
    of_kind: [Vec<u8>; 2],
    in_turns: Vec<u8>,
}

impl Responses {
    fn new() -> Responses {
        let key_len = format!("sess-{:032}", 0).len();
        let get = Kind {
            first_byte: b'g',
            request_len: b"get \r\n".len() + key_len,
            response: format!("VALUE sess-{:032} 0 {VALUE_LEN}\r\n{}\r\nEND\r\n", 0, "x".repeat(VALUE_LEN)).into(),
        };
        let set_len = format!("set  0 0 {VALUE_LEN}\r\n\r\n").len() + key_len + VALUE_LEN;
        let set = Kind { first_byte: b's', request_len: set_len, response: b"STORED\r\n".into() };
        let most = 64 * 1024 / get.request_len + 2;
        Responses {
            of_kind: [get.response.repeat(most), set.response.repeat(most)],
            in_turns: [&get.response[..], &set.response].concat().repeat(most),
            kinds: [get, set],
        }
    }

    /// Returns the responses to the requests that end in `input`.
    fn to(&self, position: &mut Position, mut input: &[u8]) -> &[u8] {
        let (mut first, mut counts) = (None, [0; 2]);
        while !input.is_empty() {
            if position.rest == 0 {
                position.kind = usize::from(input[0] != self.kinds[0].first_byte);
                position.rest = self.kinds[position.kind].request_len;
            }
            let len = position.rest.min(input.len());
            input = &input[len..];
            position.rest -= len;
            if position.rest == 0 {
                first.get_or_insert(position.kind);
                counts[position.kind] += 1;
            }
        }
        let len = counts[0] * self.kinds[0].response.len() + counts[1] * self.kinds[1].response.len();
        match counts {
            [_, 0] => &self.of_kind[0][..len],
            [0, _] => &self.of_kind[1][..len],
            _ => {
                let from = if first == Some(0) { 0 } else { self.kinds[0].response.len() };
                &self.in_turns[from..from + len]
            }
        }
    }
}
