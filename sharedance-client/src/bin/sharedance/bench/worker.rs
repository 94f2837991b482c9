//! One thread of load: a turn waits for its connections, takes what has arrived, and sends what is due.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::fs::Timespec;
use rustix::io::Errno;

use crate::options::Bench;

use super::Failure;
use super::clock::Clock;
use super::connection::{Connection, Next};
use super::pacing::Pacing;
use super::tally::Tally;
use super::target::Target;
use super::workload::Workload;

/// The buffer size for a read. A larger buffer would not fit into the CPU cache.
const ROOM_LEN: usize = 64 * 1024;

/// The maximum number of readiness events for each wait.
const EVENTS_MAX: usize = 256;

/// The maximum number of handshakes at a time while the connections are opened.
const HANDSHAKES_MAX: usize = 64;

const HANDSHAKE_TIMEOUT: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// The maximum duration of a turn, after which the thread checks whether the phase of the run has changed.
const TURN_NS: u64 = 20_000_000;

/// No thread reads before every key is stored.
pub(super) const FILLING: u8 = 0;
pub(super) const WARMING_UP: u8 = 1;
pub(super) const MEASURING: u8 = 2;
/// The load continues, so that no thread ends before the CPU times are read.
pub(super) const MEASURED: u8 = 3;
pub(super) const STOPPING: u8 = 4;

/// The shared state of the threads of a run.
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) target: Target,
    /// The server's process, if it is on this machine, and its resident memory before the connections were opened.
    pub(super) pid: Option<u32>,
    pub(super) rss_before: Option<u64>,
    pub(super) phase: AtomicU8,
    /// The number of responses during the measurement.
    pub(super) answered: AtomicU64,
}

pub(super) struct Worker<'s> {
    shared: &'s Shared,
    options: &'s Bench,
    poller: OwnedFd,
    connections: Vec<Connection>,
    workload: Workload,
    tally: Tally,
    room: Vec<u8>,
    /// Whether the keys are stored, and requests follow each other.
    is_loading: bool,
}

impl<'s> Worker<'s> {
    /// Opens the connections of the thread of this number.
    pub(super) fn open(shared: &'s Shared, options: &'s Bench, thread: u32) -> Result<Worker<'s>, Failure> {
        let poller = epoll::create(CreateFlags::CLOEXEC)?;
        let count = (thread..options.connections).step_by(options.threads as usize).len();
        let mut connections = Vec::with_capacity(count);
        let mut room = vec![0; ROOM_LEN];
        while connections.len() < count {
            let first = connections.len();
            for number in first..count.min(first + HANDSHAKES_MAX) {
                connections.push(Connection::open(
                    &shared.target,
                    number * options.threads as usize + thread as usize,
                    options,
                )?);
            }
            shake_hands(&mut connections[first..], &mut room)?;
        }
        let workload = Workload::new(options, u64::from(thread));
        let tally = Tally::new()?;
        let worker = Worker { shared, options, poller, connections, workload, tally, room, is_loading: false };
        for index in 0..worker.connections.len() {
            worker.watch(index)?;
        }
        Ok(worker)
    }

    /// Stores the keys of this thread's share, each once.
    pub(super) fn fill(&mut self, thread: u32) -> Result<(), Failure> {
        let mut keys = (u64::from(thread)..self.options.keys).step_by(self.options.threads as usize);
        let mut is_over = false;
        while !is_over || self.connections.iter().any(|connection| !connection.is_idle()) {
            let now_ns = self.shared.clock.now_ns();
            for connection in &mut self.connections {
                if connection.is_idle() {
                    connection.begin_sets(&mut self.workload, keys.by_ref(), now_ns);
                    is_over = connection.is_idle();
                }
                connection.send()?;
            }
            self.receive(false)?;
        }
        Ok(())
    }

    /// Generates load until the run is over, and returns the measurements.
    pub(super) fn run(mut self) -> Result<Tally, Failure> {
        let now_ns = self.shared.clock.now_ns();
        let rate = self.options.rate.map(|rate| rate / f64::from(self.options.threads));
        let count = self.connections.len() as u32;
        for (number, connection) in (0..).zip(&mut self.connections) {
            connection.pacing = Pacing::new(rate, number, count, now_ns);
            connection.is_single_use = self.options.new_connections;
        }
        self.is_loading = true;
        self.begin_due()?;
        loop {
            let phase = self.shared.phase.load(Ordering::Relaxed);
            if phase == STOPPING {
                return Ok(self.tally);
            }
            self.receive(phase == MEASURING)?;
            if self.options.rate.is_some() {
                self.begin_due()?;
            }
        }
    }

    fn begin_due(&mut self) -> Result<(), Failure> {
        let now_ns = self.shared.clock.now_ns();
        for connection in &mut self.connections {
            connection.begin_due(&mut self.workload, now_ns);
            connection.send()?;
        }
        Ok(())
    }

    /// Waits until bytes arrive or a request is due, and handles them.
    fn receive(&mut self, is_measured: bool) -> Result<(), Failure> {
        for index in 0..self.connections.len() {
            if self.connections[index].has_unsent() {
                self.watch_changed(index)?;
            }
        }
        let mut events = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; EVENTS_MAX];
        let timeout = Timespec { tv_sec: 0, tv_nsec: self.wait_ns() as _ };
        let count = match epoll::wait(&self.poller, &mut events[..], Some(&timeout)) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for event in &events[..count] {
            self.receive_on(event.data.u64() as usize, is_measured)?;
        }
        Ok(())
    }

    fn receive_on(&mut self, index: usize, is_measured: bool) -> Result<(), Failure> {
        let connection = &mut self.connections[index];
        let was_unsent = connection.has_unsent();
        connection.send()?;
        let is_sent = was_unsent && !connection.has_unsent();
        let (clock, tally, mut count) = (self.shared.clock, &mut self.tally, 0);
        let mut now_ns = None;
        let next = connection.receive(&mut self.room, |answer, from_ns| {
            // All responses of one read have the same arrival time.
            let now_ns = *now_ns.get_or_insert_with(|| clock.now_ns());
            if is_measured {
                tally.count(answer, now_ns.saturating_sub(from_ns));
                count += 1;
            }
        })?;
        if count > 0 {
            self.shared.answered.fetch_add(count, Ordering::Relaxed);
        }
        if next == Next::Reconnect {
            if is_measured {
                tally.count_handshake(connection.stream.is_resumed());
            }
            connection.reconnect(&self.shared.target)?;
        }
        if self.is_loading && connection.is_idle() {
            connection.begin_due(&mut self.workload, self.shared.clock.now_ns());
            connection.send()?;
        }
        match next {
            Next::Reconnect => self.watch(index),
            Next::Same if is_sent => self.watch_changed(index),
            Next::Same => Ok(()),
        }
    }

    /// The maximum time to wait.
    fn wait_ns(&self) -> u64 {
        if self.options.rate.is_none() {
            return TURN_NS;
        }
        let now_ns = self.shared.clock.now_ns();
        let due_ns = self.connections.iter().filter_map(Connection::next_due_ns).min();
        due_ns.map_or(TURN_NS, |due_ns| due_ns.saturating_sub(now_ns).min(TURN_NS))
    }

    fn watch(&self, index: usize) -> Result<(), Failure> {
        let connection = &self.connections[index];
        Ok(epoll::add(&self.poller, &connection.stream, EventData::new_u64(index as u64), interest(connection))?)
    }

    fn watch_changed(&self, index: usize) -> Result<(), Failure> {
        let connection = &self.connections[index];
        Ok(epoll::modify(&self.poller, &connection.stream, EventData::new_u64(index as u64), interest(connection))?)
    }
}

/// Completes the TLS handshakes of new connections.
fn shake_hands(connections: &mut [Connection], room: &mut [u8]) -> Result<(), Failure> {
    let mut pending: Vec<_> = connections.iter_mut().filter(|connection| connection.stream.is_handshaking()).collect();
    while !pending.is_empty() {
        let mut is_waiting = Vec::new();
        for connection in pending {
            if !connection.shake_hands(room)? {
                is_waiting.push(connection);
            }
        }
        pending = is_waiting;
        if let Some(connection) = pending.first() {
            let mut polled = [PollFd::new(&connection.stream, PollFlags::IN)];
            match poll(&mut polled, Some(&HANDSHAKE_TIMEOUT)) {
                Ok(0) => return Err("a TLS handshake takes longer than ten seconds".into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

fn interest(connection: &Connection) -> EventFlags {
    match connection.has_unsent() {
        true => EventFlags::IN | EventFlags::OUT,
        false => EventFlags::IN,
    }
}
