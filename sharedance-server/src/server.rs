//! The server as a whole: sockets bound, then workers and maintenance run until they are told to stop.
//!
//! It can be started inside of a test or of another program. What belongs to a process (ids, signals, the terminal) is
//! not its business.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use log::{debug, error};
use polling::Poller;
use rustix::process::{Resource, getrlimit};
use sharedance_core::protocol::{DEFAULT_MAX_REQUEST_LEN, Limits};
use sharedance_core::store::Store;
use thiserror::Error;

use crate::buffers::Budget;
use crate::commands::{Service, Settings};
use crate::connection::ConnectionOptions;
use crate::listen::{self, BindError, ConnectionLimit, Listener};
use crate::locks::Locks;
use crate::maintenance::Maintenance;
use crate::observe::AllCounters;
use crate::process::logging::{Chain, LogLimits};
use crate::reactor::{Reactor, Shared};

/// Of the descriptors that the process may have, one part in this many is left to the store and to the rest of the
/// program, besides what the workers themselves need: connections must not keep the store from opening a file.
const RESERVED_DESCRIPTORS_SHARE: usize = 8;
const MIN_RESERVED_DESCRIPTORS: usize = 24;
const MAX_RESERVED_DESCRIPTORS: usize = 1024;

/// A poller has three, and there is a spare one.
const DESCRIPTORS_PER_WORKER: usize = 4;

/// How to serve.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The name or address to listen on; any address, of IPv4 and IPv6, without one.
    pub host: Option<String>,
    /// The port; 0 lets the kernel choose.
    pub port: u16,
    /// Connections that may wait to be accepted, at each of the sockets that listen; a worker has four for an address.
    pub backlog: i32,
    /// How much is read at first from a connection, in bytes; at the least 1.
    pub read_len: usize,
    /// The longest request, in bytes.
    pub max_request_len: usize,
    /// What requests that are not whole yet, and answers that are not sent yet, may take in all, in bytes.
    pub max_in_flight_len: usize,
    /// What the requests and answers of one connection may take of that, in bytes.
    pub max_connection_len: usize,
    /// How many connections may be open; as many as there are descriptors for, without a number.
    pub max_connections: Option<NonZeroUsize>,
    /// A peer that sends, or takes, nothing for so long is disconnected, if a request or an answer is under way.
    pub idle_timeout: Duration,
    /// How long a connection that may carry several requests may rest between them; for ever, without a limit.
    pub rest_timeout: Option<Duration>,
    /// How many workers serve.
    pub threads: NonZeroUsize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            host: None,
            port: 1042,
            backlog: 100,
            read_len: 4096,
            max_request_len: DEFAULT_MAX_REQUEST_LEN,
            max_in_flight_len: 256 * 1024 * 1024,
            max_connection_len: DEFAULT_MAX_REQUEST_LEN + 4 * 1024 * 1024,
            max_connections: None,
            idle_timeout: Duration::from_secs(60),
            rest_timeout: None,
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// Why the server did not serve, or no longer does.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// It cannot listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system refused it something else that it cannot do without.
    #[error("{what}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// Why it cannot be.
        source: io::Error,
    },
}

fn system(what: &'static str) -> impl Fn(io::Error) -> ServerError {
    move |source| ServerError::System { what, source }
}

/// Ends a running server, from any thread.
#[derive(Debug, Clone)]
pub struct Shutdown {
    shared: Arc<Shared>,
    /// Set once the server runs. Not before: a poller must not be shared with a process that forked off.
    pollers: Arc<OnceLock<Vec<Arc<Poller>>>>,
}

impl Shutdown {
    /// Lets the server stop: it accepts no more, sends what it is sending, within some seconds, and then
    /// [`Server::run`] returns. To say so again changes nothing.
    pub fn begin(&self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        for poller in self.pollers.get().into_iter().flatten() {
            // It fails only where the poller is beyond use, and its worker has ended then.
            let _ = poller.notify();
        }
    }
}

/// A server whose sockets are bound.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Vec<Listener>>,
    local_addr: SocketAddr,
    shutdown: Shutdown,
}

impl Server {
    /// Binds the sockets. Peers can connect from now on, and are served once it [runs](Server::run).
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn bind(options: &ServerOptions) -> Result<Server, ServerError> {
        let listeners = listen::listen(options.host.as_deref(), options.port, options.backlog, options.threads.get())?;
        let local_addr = listen::local_addr(&listeners)
            .ok_or_else(|| io::Error::other("no socket"))
            .map_err(system("cannot tell the address that was bound"))?;
        let max_connections =
            options.max_connections.map_or(usize::MAX, NonZeroUsize::get).min(available_connections(&listeners));
        let shared = Shared {
            connection_options: ConnectionOptions {
                limits: Limits { max_request_len: options.max_request_len.min(options.max_connection_len) },
                readsize: options.read_len.max(1),
                timeout: options.idle_timeout,
                max_connection_memory: options.max_connection_len,
                budget: Budget::new(options.max_in_flight_len),
            },
            service: service(options, local_addr, max_connections),
            idle_timeout: options.rest_timeout,
            connection_limit: ConnectionLimit::new(max_connections),
            is_stopping: AtomicBool::new(false),
        };
        Ok(Server { listeners, local_addr, shutdown: Shutdown { shared: Arc::new(shared), pollers: Arc::default() } })
    }

    /// The address it listens on; the first, where a name stands for several.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// All the addresses it listens on.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        listen::local_addrs(&self.listeners)
    }

    /// How many connections may be open: what was asked for, and what there are descriptors for.
    pub fn max_connections(&self) -> usize {
        self.shutdown.shared.connection_limit.max_connections()
    }

    /// The handle that ends it.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Serves `store` until [`Shutdown::begin`], and sees to the store's upkeep meanwhile. When it returns, the store
    /// has been synced.
    ///
    /// # Errors
    /// A worker could not be started, or its poller failed, or the final sync did.
    pub fn run(self, store: &Store) -> Result<(), ServerError> {
        let maintenance = Maintenance::start(store, &self.shutdown.shared.service.log)
            .map_err(system("cannot start the maintenance"))?;
        let served = self.run_workers(store);
        maintenance.stop();
        // Also where a worker failed: what was acknowledged is not lost by that.
        let synced = store.sync().map_err(|error| system("cannot sync the store")(io::Error::other(error)));
        served.and(synced)
    }

    fn run_workers(self, store: &Store) -> Result<(), ServerError> {
        let shutdown = self.shutdown;
        let pollers: io::Result<Vec<_>> = self.listeners.iter().map(|_| Poller::new().map(Arc::new)).collect();
        let pollers = pollers.map_err(system("cannot wait for readiness"))?;
        let pollers = shutdown.pollers.get_or_init(|| pollers);

        let locks = Arc::new(Locks::new(pollers, Instant::now()));
        let mut workers = Vec::new();
        let mut served = Ok(());
        for (number, (listeners, poller)) in (0..).zip(self.listeners.into_iter().zip(pollers)) {
            let (shared, locks) = (Arc::clone(&shutdown.shared), Arc::clone(&locks));
            let worker = Reactor::new(Arc::clone(poller), listeners, number, shared, locks, store.clone());
            match worker.and_then(|worker| spawn(number, worker, shutdown.clone())) {
                Ok(worker) => workers.push(worker),
                Err(error) => {
                    served = Err(system("cannot start a worker")(error));
                    shutdown.begin();
                    break;
                }
            }
        }
        if shutdown.shared.is_stopping.load(Ordering::SeqCst) {
            // Whoever said so before the pollers were there has not woken them.
            shutdown.begin();
        }
        debug!("{} workers serve {}", workers.len(), self.local_addr);
        for worker in workers {
            let result = worker.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
            if let Err(source) = result {
                error!("a worker ended: {}", Chain(&source));
                served = served.and(Err(system("a worker failed")(source)));
            }
        }
        served
    }
}

fn spawn(number: u32, worker: Reactor, shutdown: Shutdown) -> io::Result<JoinHandle<io::Result<()>>> {
    thread::Builder::new().name(format!("worker {number}")).spawn(move || {
        // Also when it fails, or panics: a server that has lost a worker must not go on half alive.
        let _stop_all = StopOnDrop(shutdown);
        worker.run()
    })
}

struct StopOnDrop(Shutdown);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.begin();
    }
}

fn service(options: &ServerOptions, local_addr: SocketAddr, max_connections: usize) -> Service {
    Service {
        counters: AllCounters::new(options.threads.get()),
        settings: Settings {
            address: options.host.clone().unwrap_or_default(),
            port: local_addr.port(),
            backlog: options.backlog,
            threads: options.threads.get(),
            max_connections,
            max_request_len: options.max_request_len.min(options.max_connection_len),
            idle_timeout: options.rest_timeout.unwrap_or_default(),
        },
        started: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
        log: Arc::new(LogLimits::new(Instant::now())),
    }
}

fn available_connections(listeners: &[Vec<Listener>]) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let reserved = (limit / RESERVED_DESCRIPTORS_SHARE).clamp(MIN_RESERVED_DESCRIPTORS, MAX_RESERVED_DESCRIPTORS);
    let own: usize = listeners.iter().map(|sockets| sockets.len() + DESCRIPTORS_PER_WORKER).sum();
    limit.saturating_sub(reserved + own).max(1)
}
