//! Who comes in: accepting, serving at once, and refusing where there are too many.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use log::Level;
use polling::{Event, PollMode};
use rustix::io::Errno;

use super::Reactor;
use crate::connection::Connection;
use crate::listen::{Accepted, break_off};
use crate::locks::ConnectionId;
use crate::process::logging::Kind;

/// Connections accepted from each listener in one turn: all that a backlog of the usual length holds, and so few that
/// those already connected wait for some milliseconds at most.
pub(super) const ACCEPTS_PER_TURN: usize = 128;

/// Connections accepted in one turn although all that may wait do wait: those whose request is there are served still.
const ARRIVALS_WHEN_FULL: usize = 8;

/// What the workers need to know of each other once descriptors have run out.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    /// Set for good the first time. From then on workers accept one at a time, or one would get the descriptor that
    /// another has given up for refusing, and then has no more.
    has_come: AtomicBool,
    door: Mutex<()>,
}

impl Reactor {
    /// Takes those who wait at a listener. They are served once those connected before have had their turn.
    pub(super) fn accept(&mut self, index: usize) -> io::Result<()> {
        let mut exhausted = None;
        for _ in 0..ACCEPTS_PER_TURN {
            if self.arrivals.len() >= ARRIVALS_WHEN_FULL && self.open() >= self.desk.shared.max_waiting {
                break;
            }
            let shortage = &self.desk.shared.shortage;
            let door = shortage.has_come.load(Ordering::Relaxed).then(|| shortage.door.lock());
            match self.listeners[index].accept() {
                Accepted::Connection(socket) => self.arrivals.push(socket),
                Accepted::Gone => {}
                Accepted::NoneWaiting => break,
                // Once more, alone.
                Accepted::Exhausted(_) if door.is_none() => shortage.has_come.store(true, Ordering::Relaxed),
                Accepted::Exhausted(reason) => {
                    self.spare.refuse(&self.listeners[index], ACCEPTS_PER_TURN);
                    exhausted = Some(reason);
                    break;
                }
            }
        }
        match exhausted {
            Some(reason) => {
                self.report_shortage(reason);
                self.rest_from_accepting()
            }
            None => Ok(()),
        }
    }

    pub(super) fn serve_arrivals(&mut self) -> io::Result<()> {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        for socket in arrivals.drain(..) {
            self.serve(socket)?;
        }
        self.arrivals = arrivals;
        Ok(())
    }

    /// Serves a connection that was accepted just now, and enters it into the table only if it has to wait.
    fn serve(&mut self, socket: OwnedFd) -> io::Result<()> {
        self.next_serial = self.next_serial.wrapping_add(1);
        let token = self.connections.next_token() as u32;
        let id = ConnectionId { worker: self.desk.number, token, serial: self.next_serial };
        let mut connection = Connection::new(socket, id, self.desk.now);
        self.desk.counters.connections_opened.add(1);
        let is_full = self.open() >= self.desk.shared.max_waiting;
        let mut turn = self.desk.turn(id);
        turn.is_full = is_full;
        let result = connection.advance(&mut turn);
        if let Some(remark) = turn.remark {
            self.desk.report(&remark);
        }
        if let Err(end) = result {
            self.end(connection, &end);
            return Ok(());
        }
        if is_full {
            return self.refuse(connection, Errno::MFILE);
        }
        let registered = match self.connections.register(&connection) {
            Ok(registered) => registered,
            // The kernel watches no more descriptors: this peer is refused, the others are served on.
            Err(error) if is_shortage(&error) => return self.refuse(connection, Errno::NOMEM),
            Err(error) => return Err(error),
        };
        self.desk.shared.waiting.fetch_add(1, Ordering::Relaxed);
        self.connections.insert(connection, registered, self.desk.now)
    }

    /// Refuses a connection that would have to wait, where too many do already.
    fn refuse(&mut self, connection: Connection, reason: Errno) -> io::Result<()> {
        self.desk.counters.connections_rejected.add(1);
        let socket = self.part_with(connection);
        break_off(socket);
        self.report_shortage(reason);
        if self.admission.refused(self.desk.now) { self.rest_from_accepting() } else { Ok(()) }
    }

    /// Connections that are open, of all workers, as far as this one knows.
    fn open(&self) -> usize {
        self.desk.shared.waiting.load(Ordering::Relaxed) + self.arrivals.len()
    }

    /// Serves those who have connected already, and what is there of everybody's requests, and closes the door.
    pub(super) fn stop_accepting(&mut self) -> io::Result<()> {
        (0..self.listeners.len()).try_for_each(|index| self.accept(index))?;
        self.serve_arrivals()?;
        for listener in self.listeners.drain(..) {
            self.poller.delete(&listener)?;
        }
        self.connections.tokens(|_| true).into_iter().try_for_each(|token| self.advance(token))
    }

    fn rest_from_accepting(&mut self) -> io::Result<()> {
        if !self.admission.rest(self.desk.now) {
            return Ok(());
        }
        self.desk.counters.accepting_pauses.add(1);
        self.listen_for(Event::none)
    }

    pub(super) fn resume_accepting(&mut self) -> io::Result<()> {
        let Some(rested) = self.admission.resume(self.desk.now) else {
            return Ok(());
        };
        self.desk.counters.accepting_resumes.add(1);
        self.desk.counters.accepting_paused_us.add(rested.as_micros() as u64);
        self.listen_for(Event::readable)
    }

    fn listen_for(&self, interest: fn(usize) -> Event) -> io::Result<()> {
        let mut listeners = self.listeners.iter().enumerate();
        listeners.try_for_each(|(key, listener)| self.poller.modify_with_mode(listener, interest(key), PollMode::Level))
    }

    fn report_shortage(&self, reason: Errno) {
        let shared = &self.desk.shared;
        let waiting = shared.waiting.load(Ordering::Relaxed);
        let line = format_args!("refusing connections, with {waiting} open: {reason}; raise the limit on open files");
        shared.service.log.log(Kind::Shortage, Level::Warn, self.desk.now, line);
    }
}

fn is_shortage(error: &io::Error) -> bool {
    [Errno::NOMEM, Errno::NOSPC].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
