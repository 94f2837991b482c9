//! Shared parts of the benchmarks: servers in processes of their own, their CPU time, and medians.

// Each benchmark uses a part of this module.
#![allow(dead_code)]

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use polling::{Event, PollMode, Poller};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;

const EVENTS_PER_TURN: usize = 256;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Starts a server of the benchmarks: binds a free port, reports it on standard error, and registers the listener with
/// a poller under the key 0. The caller keeps both until the process is killed.
#[allow(unsafe_code)]
pub(crate) fn listen() -> Outcome<(TcpListener, Poller)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    writeln!(io::stderr(), "listening on {}", listener.local_addr()?)?;
    let poller = Poller::new()?;
    // SAFETY: the listener lives as long as the poller, until the process is killed.
    unsafe { poller.add_with_mode(&listener, Event::readable(0), PollMode::Level)? };
    Ok((listener, poller))
}

/// Waits for readiness with a single system call, as the real server does. Returns the keys that are ready.
pub(crate) fn wait(poller: &Poller, keys: &mut Vec<usize>) -> io::Result<()> {
    let mut events = Vec::<epoll::Event>::with_capacity(EVENTS_PER_TURN);
    epoll::wait(poller, spare_capacity(&mut events), None)?;
    keys.clear();
    keys.extend(events.iter().map(|event| event.data.u64() as usize));
    Ok(())
}

/// A server in a process of its own. Dropping it ends the process.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts a server that reports its port at the end of a line on standard error.
    pub(crate) fn start(command: &mut Command) -> Outcome<Process> {
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no standard error")?).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.contains("listening on").then(|| line.rsplit(':').next()?.parse().ok())?)
            .ok_or("the server did not start")?;
        thread::spawn(move || lines.for_each(drop));
        Ok(Process { child, address: (Ipv4Addr::LOCALHOST, port).into() })
    }

    /// Starts a server that takes its port from `with_port`, and waits until it listens. Returns `None` if the program
    /// is not installed.
    pub(crate) fn start_elsewhere(with_port: impl FnOnce(u16) -> Command) -> Outcome<Option<Process>> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = with_port(port);
        let child = match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            child => child?,
        };
        let process = Process { child, address: (Ipv4Addr::LOCALHOST, port).into() };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(process.address).is_err() {
            if Instant::now() > deadline {
                return Err(format!("{command:?} does not listen").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(process))
    }

    /// Returns the server's CPU microseconds during `load`.
    pub(crate) fn cpu_of(&mut self, load: impl FnOnce(SocketAddr) -> io::Result<()>) -> io::Result<f64> {
        let before = self.cpu_nanos()?;
        load(self.address)?;
        // Includes work that the server does after its last response.
        thread::sleep(Duration::from_millis(5));
        Ok((self.cpu_nanos()? - before) as f64 / 1000.0)
    }

    /// Returns the CPU time of all threads. The first field of schedstat is in nanoseconds; stat has hundredths of a
    /// second.
    pub(crate) fn cpu_nanos(&self) -> io::Result<u64> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
            let nanos = schedstat.split(' ').next().and_then(|field| field.parse::<u64>().ok());
            sum += nanos.ok_or_else(|| io::Error::other("no schedstat"))?;
        }
        Ok(sum)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command of the measured server, with one worker.
pub(crate) fn sharedanced(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sharedanced"));
    command.args(["--debug", "--ip=127.0.0.1", "--port=0", "--threads=1"]);
    command.arg("--directory").arg(directory);
    command
}

pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(samples: impl Iterator<Item = f64>) -> Spread {
        let mut samples: Vec<f64> = samples.collect();
        samples.sort_by(f64::total_cmp);
        Spread { min: samples[0], median: samples[samples.len() / 2], max: samples[samples.len() - 1] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let range = format!("({:.2}–{:.2})", self.min, self.max);
        write!(f, "{:>7.2} {range:>14}", self.median)
    }
}
