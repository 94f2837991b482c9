//! The server as a whole: binds its sockets, then runs workers and maintenance until it is stopped.
//!
//! It can be started within a test or another program. What belongs to a process (ids, signals, the terminal) is in
//! [`process`](crate::process).

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime};

use log::{debug, error};
use polling::Poller;
use rustix::process::{Resource, geteuid, getrlimit};
use sharedance_core::protocol::Limits;
use sharedance_core::store::{Durability, Store};
use thiserror::Error;

use crate::access::{AccessControl, Credentials, CredentialsError};
use crate::buffers::Budget;
use crate::commands::{Service, Settings};
use crate::connection::ConnectionOptions;
use crate::listen::{self, BindError, BoundAddress, ConnectionLimit, Listener, Listening, SocketFile};
use crate::locks::Locks;
use crate::maintenance;
use crate::observe::{AllCounters, Latencies};
use crate::options::{AccessOptions, ServerOptions};
use crate::process::logging::{Chain, LogLimits};
use crate::process::reload::{Reloadable, Reloads};
use crate::reactor::{Handover, Reactor, Shared};
#[cfg(feature = "status")]
use crate::status::{Source, StatusListener};
#[cfg(feature = "tls")]
use crate::tls::{TlsConfig, TlsError};

/// One descriptor in this many is reserved for the store and the rest of the program, besides the descriptors of the
/// workers themselves: connections must not keep the store from opening a file.
const RESERVED_DESCRIPTORS_SHARE: usize = 8;
const MIN_RESERVED_DESCRIPTORS: usize = 24;
const MAX_RESERVED_DESCRIPTORS: usize = 1024;

/// A poller has three, and there is a spare one.
const DESCRIPTORS_PER_WORKER: usize = 4;

/// Why the server could not serve, or has stopped serving.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The server cannot listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The credentials cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The server cannot listen where it should show its status.
    #[cfg(feature = "status")]
    #[error("cannot listen on {address} for the status (--status=HOST:PORT)")]
    Status {
        /// The address as given.
        address: String,
        /// Why it failed.
        source: io::Error,
    },
    /// TLS cannot be configured.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A listener uses TLS, and there is no certificate for it.
    #[error("{listener} needs a certificate and its key: give --tls-cert=FILE and --tls-key=FILE")]
    NoCertificate {
        /// The listener.
        listener: String,
    },
    /// The system refused something else that the server needs.
    #[error("{what}")]
    System {
        /// What failed.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

fn system(what: &'static str) -> impl Fn(io::Error) -> ServerError {
    move |source| ServerError::System { what, source }
}

/// Stops a running server, from any thread.
#[derive(Debug, Clone)]
pub struct Shutdown {
    shared: Arc<Shared>,
    /// Set once the server runs, and not before: a poller must not be shared with a forked process.
    pollers: Arc<OnceLock<Vec<Arc<Poller>>>>,
}

impl Shutdown {
    /// Stops the server: it accepts no more connections, sends the responses that have begun, for at most some
    /// seconds, and then [`Server::run`] returns. Further calls have no effect.
    pub fn begin(&self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        for poller in self.pollers.get().into_iter().flatten() {
            // This fails only for a poller that is unusable; its worker has ended then.
            let _ = poller.notify();
        }
    }
}

/// A server whose sockets are bound.
#[derive(Debug)]
pub struct Server {
    listening: Listening,
    shutdown: Shutdown,
    reloads: Reloads,
    #[cfg(feature = "status")]
    status: Option<StatusListener>,
}

impl Server {
    /// Binds the sockets. Peers can connect from now on, and are served once the server [runs](Server::run).
    ///
    /// # Errors
    /// The server cannot listen on the address.
    pub fn bind(options: &ServerOptions) -> Result<Server, ServerError> {
        // Before the sockets are bound: a server that cannot serve must not be connected to.
        #[cfg(feature = "tls")]
        let tls = tls_config(options)?;
        let listening = listen::listen(&options.listeners(), options.backlog, options.threads.get())?;
        let reloads = Reloads::default();
        let credentials = load_credentials(&options.access, &reloads)?;
        #[cfg(feature = "status")]
        let status = options.observe.status.as_deref().map(bind_status).transpose()?;
        let available = available_connections(&listening.per_worker);
        let max_connections = options.max_connections.map_or(usize::MAX, NonZeroUsize::get).min(available);
        let shared = Shared {
            connection_options: ConnectionOptions {
                limits: Limits { max_request_len: max_request_len(options) },
                readsize: options.readsize.max(1),
                timeout: options.timeout,
                max_connection_memory: options.max_connection_memory,
                budget: Budget::new(options.inflight),
            },
            service: service(options, &listening, credentials, max_connections),
            idle_timeout: options.idle_timeout,
            connection_limit: ConnectionLimit::new(max_connections),
            allowed: options.allow.clone(),
            #[cfg(feature = "tls")]
            tls: tls.clone(),
            is_stopping: AtomicBool::new(false),
        };
        let shutdown = Shutdown { shared: Arc::new(shared), pollers: Arc::default() };
        #[cfg(feature = "tls")]
        if let Some(tls) = tls {
            reloads.add(tls);
        }
        Ok(Server {
            listening,
            shutdown,
            reloads,
            #[cfg(feature = "status")]
            status,
        })
    }

    /// The first TCP address that the server listens on, if there is one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.addresses().iter().find_map(BoundAddress::as_socket_addr)
    }

    /// All addresses that the server listens on.
    pub fn addresses(&self) -> &[BoundAddress] {
        &self.listening.addresses
    }

    /// The address of the status page, if there is one.
    #[cfg(feature = "status")]
    pub fn status_addr(&self) -> Option<SocketAddr> {
        self.status.as_ref().map(StatusListener::address)
    }

    /// The addresses that every host which reaches them may use: beyond this host, without credentials, and without a list
    /// of networks.
    pub fn open_addresses(&self) -> Vec<BoundAddress> {
        let shared = &self.shutdown.shared;
        let has_credentials = shared.service.access.has_credentials();
        let listeners = self.listening.per_worker.first().into_iter().flatten();
        let open = listeners.filter(|listener| !(has_credentials && listener.options().auth));
        let mut addresses: Vec<_> = open.filter_map(Listener::address).filter(|address| !address.is_local()).collect();
        addresses.dedup();
        if shared.allowed.is_empty() { addresses } else { Vec::new() }
    }

    /// The directories of the Unix sockets, from which the server removes them at the end.
    pub fn socket_directories(&self) -> Vec<Arc<OwnedFd>> {
        self.listening.socket_files.iter().filter_map(SocketFile::directory).collect()
    }

    /// Makes this user the owner of the Unix sockets, and this group, unless the options name another one.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn give_sockets_to(&self, uid: u32, gid: u32) -> Result<(), ServerError> {
        let mut files = self.listening.socket_files.iter();
        files.try_for_each(|file| file.give_to(uid, gid)).map_err(system("cannot change the owner of a Unix socket"))
    }

    /// Lets the Unix sockets stay when this server ends: another process serves them, or their directories are out of
    /// reach. The next server replaces them.
    pub fn leave_sockets(&self) {
        self.listening.socket_files.iter().for_each(SocketFile::leave);
    }

    /// How many connections may be open: the option, or fewer if there are not enough descriptors.
    pub fn max_connections(&self) -> usize {
        self.shutdown.shared.connection_limit.max_connections()
    }

    /// What can be reloaded while the server runs, with [`Reloads::reload_all`].
    pub fn reloads(&self) -> Reloads {
        self.reloads.clone()
    }

    /// The handle that stops the server.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Serves `store` until [`Shutdown::begin`], and runs the maintenance of the store meanwhile. When it returns, the
    /// store has been synced, unless it promises no more than that pairs survive the process ([`Durability::Os`]): then the
    /// system writes them to the disk, and another process can open the store at once.
    ///
    /// # Errors
    /// A worker could not be started, a poller failed, or the final sync failed.
    pub fn run(self, store: &Store) -> Result<(), ServerError> {
        let maintenance = maintenance::start(store, &self.shutdown.shared.service.log)
            .map_err(system("cannot start the maintenance"))?;
        let served = self.run_workers(store);
        drop(maintenance);
        if store.durability() == Durability::Os {
            return served;
        }
        // Also if a worker has failed: acknowledged pairs must not be lost.
        let synced = store
            .sync()
            .map_err(|error| system("the latest pairs may not survive a power cut")(io::Error::other(error)));
        served.and(synced)
    }

    fn run_workers(self, store: &Store) -> Result<(), ServerError> {
        // The files are removed when the workers have ended.
        let Server {
            listening: Listening { per_worker, addresses, socket_files: _socket_files },
            shutdown,
            #[cfg(feature = "status")]
            status,
            ..
        } = self;
        let pollers: io::Result<Vec<_>> = per_worker.iter().map(|_| Poller::new().map(Arc::new)).collect();
        let pollers = pollers.map_err(system("cannot create a poller"))?;
        let pollers = shutdown.pollers.get_or_init(|| pollers);

        let locks = Arc::new(Locks::new(pollers, Instant::now()));
        let handover = Arc::new(Handover::new(pollers));
        // Ends when the workers have ended.
        #[cfg(feature = "status")]
        let _status = match status {
            Some(status) => {
                let addresses = addresses.iter().map(ToString::to_string).collect();
                let (shared, locks) = (Arc::clone(&shutdown.shared), Arc::clone(&locks));
                let source = Source { shared, store: store.clone(), locks, addresses };
                Some(status.start(source).map_err(system("cannot start the thread of the status page"))?)
            }
            None => None,
        };
        let mut workers = Vec::new();
        let mut served = Ok(());
        for (number, (listeners, poller)) in (0..).zip(per_worker.into_iter().zip(pollers)) {
            let (shared, locks, handover) = (Arc::clone(&shutdown.shared), Arc::clone(&locks), Arc::clone(&handover));
            let worker = Reactor::new(Arc::clone(poller), listeners, number, shared, locks, handover, store.clone());
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
            // A call of `begin` before the pollers were set has not notified them.
            shutdown.begin();
        }
        debug!("{} workers serve {addresses:?}", workers.len());
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

/// Reads the certificate and the key, if there are any. A listener that uses TLS needs them.
#[cfg(feature = "tls")]
fn tls_config(options: &ServerOptions) -> Result<Option<Arc<TlsConfig>>, ServerError> {
    if let Some(tls) = &options.tls {
        return Ok(Some(Arc::new(TlsConfig::open(tls)?)));
    }
    match options.listen.iter().find(|spec| spec.address.is_tls()) {
        Some(spec) => Err(ServerError::NoCertificate { listener: format!("--listen={spec}") }),
        None => Ok(None),
    }
}

fn spawn(number: u32, worker: Reactor, shutdown: Shutdown) -> io::Result<JoinHandle<io::Result<()>>> {
    thread::Builder::new().name(format!("worker {number}")).spawn(move || {
        // Also if the worker fails or panics: its connections would not be served, and nothing would restart the server.
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

/// Reads the credentials, and adds them to what is reloaded.
fn load_credentials(options: &AccessOptions, reloads: &Reloads) -> Result<Option<Arc<Credentials>>, CredentialsError> {
    let Some(path) = &options.auth_file else {
        return Ok(None);
    };
    let uid = options.uid.unwrap_or_else(|| geteuid().as_raw());
    let credentials = Arc::new(Credentials::load(path, uid)?);
    reloads.add(Arc::clone(&credentials) as Arc<dyn Reloadable>);
    Ok(Some(credentials))
}

#[cfg(feature = "status")]
fn bind_status(address: &str) -> Result<StatusListener, ServerError> {
    StatusListener::bind(address).map_err(|source| ServerError::Status { address: address.to_owned(), source })
}

fn service(
    options: &ServerOptions,
    listening: &Listening,
    credentials: Option<Arc<Credentials>>,
    max_connections: usize,
) -> Service {
    Service {
        counters: AllCounters::new(options.threads.get()),
        latencies: Latencies::new(options.threads.get(), options.observe.slow_log_threshold),
        settings: Settings {
            address: options.ip.clone().unwrap_or_default(),
            port: listening.addresses.iter().find_map(BoundAddress::as_socket_addr).map_or(0, |address| address.port()),
            domain_socket: domain_socket(&listening.addresses),
            listeners: listening.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            backlog: options.backlog,
            threads: options.threads.get(),
            max_connections,
            max_request_len: max_request_len(options),
            idle_timeout: options.idle_timeout.unwrap_or_default(),
        },
        started: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
        log: Arc::new(LogLimits::new(Instant::now())),
        access: AccessControl::new(credentials, max_connections),
    }
}

/// The path of the first Unix socket, as memcached reports it.
fn domain_socket(addresses: &[BoundAddress]) -> String {
    let mut paths = addresses.iter().filter_map(|address| match address {
        BoundAddress::Unix(path) => Some(path.display().to_string()),
        _ => None,
    });
    paths.next().unwrap_or_else(|| "NULL".to_owned())
}

fn max_request_len(options: &ServerOptions) -> usize {
    options.maxreadsize.min(options.max_connection_memory)
}

/// How many connections the process has descriptors for.
fn available_connections(listeners: &[Vec<Listener>]) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let reserved = (limit / RESERVED_DESCRIPTORS_SHARE).clamp(MIN_RESERVED_DESCRIPTORS, MAX_RESERVED_DESCRIPTORS);
    let own: usize = listeners.iter().map(|sockets| sockets.len() + DESCRIPTORS_PER_WORKER).sum();
    limit.saturating_sub(reserved + own).max(1)
}
