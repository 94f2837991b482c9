//! Measures the server's CPU time per classic request, beside a null server that only accepts, receives, sends and
//! closes.
//!
//! `cargo bench -p sharedance-server --bench classic [-- DIRECTORY…]` prints the server's CPU time per request (2 KiB
//! stored, 2 KiB fetched), and its ratio to the null server's. Both are processes of their own with one worker. They
//! are measured alternately, so that a disturbance of the machine affects both. Without directories it measures one on
//! disk (`TMPDIR`) and one in `/dev/shm`.
//!
//! The null server handles sockets as the real one does (level mode, accept in batches, receive at once). It decodes no
//! protocol and stores nothing.

mod support;

use std::collections::HashMap;
use std::env;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use polling::{Event, PollMode};
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use socket2::{Domain, SockAddr, Socket, Type};
use support::{Outcome, Process, Spread, sharedanced};

const VALUE_LEN: usize = 2048;
const ROUNDS: usize = 15;
const REQUESTS_PER_ROUND: usize = 2000;

/// A step that visits all keys in an irregular order: one key for each request of a round.
const KEY_STEP: usize = 1663;

/// Connections that are open at the same time: a server under load finds several of them waiting.
const WAVE: usize = 16;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    if arguments.first().is_some_and(|word| word == "null-server") {
        return null_server();
    }
    let temporary = tempfile::tempdir()?;
    let shared_memory = tempfile::tempdir_in("/dev/shm").ok();
    let directories: Vec<PathBuf> = if arguments.is_empty() {
        let shared_memory = shared_memory.as_ref().map(|directory| directory.path());
        [Some(temporary.path()), shared_memory].into_iter().flatten().map(Path::to_owned).collect()
    } else {
        arguments.iter().map(PathBuf::from).collect()
    };

    let mut servers = vec![Server::start("null server", &mut null_command()?)?];
    for directory in &directories {
        servers.push(Server::start(&directory.display().to_string(), &mut sharedanced(directory))?);
    }
    let mut load = Load::new();
    for round in 0..=ROUNDS {
        for server in &mut servers {
            let stored = server.cpu_of(|address| load.store(address))?;
            let fetched = server.cpu_of(|address| load.fetch(address))?;
            // The first round is a warm-up.
            if round > 0 {
                server.stored.push(stored);
                server.fetched.push(fetched);
            }
        }
    }
    report(&mut servers)
}

fn report(servers: &mut [Server]) -> Outcome<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "CPU µs of the server a request, median of {ROUNDS} rounds (min–max); {VALUE_LEN} B values")?;
    writeln!(out, "{:<24} {:>22} {:>6}   {:>22} {:>6}", "", "store", "ratio", "fetch", "ratio")?;
    let (null_stored, null_fetched) = (servers[0].stored.clone(), servers[0].fetched.clone());
    for server in servers {
        let ratios = [(&server.stored, &null_stored), (&server.fetched, &null_fetched)].map(|(own, null)| {
            // A ratio per round: a disturbance of the machine affected both.
            Spread::of(own.iter().zip(null).map(|(own, null)| own / null)).median
        });
        let stored = Spread::of(server.stored.iter().copied());
        let fetched = Spread::of(server.fetched.iter().copied());
        writeln!(out, "{:<24} {stored} {:>6.2}   {fetched} {:>6.2}", server.name, ratios[0], ratios[1])?;
    }
    Ok(())
}

/// A server and its measurements.
struct Server {
    name: String,
    process: Process,
    stored: Vec<f64>,
    fetched: Vec<f64>,
}

impl Server {
    fn start(name: &str, command: &mut Command) -> Outcome<Server> {
        let process = Process::start(command)?;
        Ok(Server { name: name.to_owned(), process, stored: Vec::new(), fetched: Vec::new() })
    }

    /// Returns CPU microseconds per request of `load`.
    fn cpu_of(&mut self, load: impl FnOnce(SocketAddr) -> io::Result<()>) -> io::Result<f64> {
        Ok(self.process.cpu_of(load)? / REQUESTS_PER_ROUND as f64)
    }
}

fn null_command() -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("null-server");
    Ok(command)
}

/// The requests. One thread sends them, for a wave of connections at a time.
struct Load {
    value: Vec<u8>,
    request: Vec<u8>,
    response: Vec<u8>,
    count: usize,
}

impl Load {
    fn new() -> Load {
        Load {
            value: (0..VALUE_LEN).map(|n| (n * 31) as u8).collect(),
            request: Vec::new(),
            response: Vec::new(),
            count: 0,
        }
    }

    fn store(&mut self, server: SocketAddr) -> io::Result<()> {
        self.run(server, true)
    }

    fn fetch(&mut self, server: SocketAddr) -> io::Result<()> {
        self.run(server, false)
    }

    fn run(&mut self, server: SocketAddr, is_store: bool) -> io::Result<()> {
        for _ in 0..REQUESTS_PER_ROUND / WAVE {
            let mut wave = Vec::with_capacity(WAVE);
            for _ in 0..WAVE {
                self.next_request(is_store);
                let mut stream = connect(server)?;
                stream.write_all(&self.request)?;
                wave.push(stream);
            }
            for mut stream in wave {
                self.response.clear();
                stream.read_to_end(&mut self.response)?;
                let expected = if is_store { 3 } else { VALUE_LEN };
                if self.response.len() != expected {
                    return Err(io::Error::other(format!("a response of {} bytes", self.response.len())));
                }
            }
        }
        Ok(())
    }

    fn next_request(&mut self, is_store: bool) {
        self.count += 1;
        let key = format!("sess-{:032}", self.count * KEY_STEP % REQUESTS_PER_ROUND);
        self.request.clear();
        self.request.push(if is_store { b'S' } else { b'F' });
        self.request.extend((key.len() as u32).to_be_bytes());
        if is_store {
            self.request.extend((VALUE_LEN as u32).to_be_bytes());
        }
        self.request.extend(key.as_bytes());
        if is_store {
            // Always a new value: setting the current one is cheaper.
            self.value[..4].copy_from_slice(&(self.count as u32).to_be_bytes());
            self.request.extend(&self.value);
        }
    }
}

/// Opens a connection that does not enter TIME_WAIT: tens of thousands would use up the ports.
fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.connect(&SockAddr::from(server))?;
    Ok(socket.into())
}

/// Accepts, receives, sends a fixed response and closes, until it is killed.
#[allow(unsafe_code)]
fn null_server() -> Outcome<()> {
    let (listener, poller) = support::listen()?;
    let (mut waiting, mut next_key) = (HashMap::new(), 1);
    let (mut keys, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        support::wait(&poller, &mut keys)?;
        for key in &keys {
            if let Some(socket) = waiting.remove(key) {
                poller.delete(&socket)?;
                serve(&socket, &mut buffer)?;
            }
        }
        while let Ok(socket) = accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            if serve(&socket, &mut buffer).is_err() {
                // SAFETY: the poller deletes the socket above, before it is closed.
                unsafe { poller.add_with_mode(socket.as_raw_fd(), Event::readable(next_key), PollMode::Level)? };
                waiting.insert(next_key, socket);
                next_key += 1;
            }
        }
    }
}

fn serve(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<()> {
    recv(socket, &mut *buffer, RecvFlags::empty())?;
    let response: &[u8] = if buffer[0] == b'S' { b"OK\n" } else { &[b'x'; VALUE_LEN] };
    send(socket, response, SendFlags::NOSIGNAL)?;
    Ok(())
}
