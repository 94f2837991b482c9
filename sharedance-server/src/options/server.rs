//! The options of a [`Server`](crate::Server). Each field has the name of its option.

use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use clap::{Args, value_parser};
use sharedance_core::protocol::DEFAULT_MAX_REQUEST_LEN;
use sharedance_core::store::Durability;

use super::access::AccessOptions;
use super::observe::ObserveOptions;
use super::tls::TlsOptions;
use super::units::{Plain, Size, size, time};
use crate::buffers::Budget;
use crate::listen::{ListenAddress, ListenSpec, Network, parse_port};

const MAX_THREADS: u64 = 1024;

/// The default number of threads with `--durability=always`, where each store waits for the disk: the stores of all threads
/// share a sync.
const SYNCING_THREADS: NonZeroUsize = NonZeroUsize::new(32).unwrap();
const MAX_READSIZE: u64 = 64 * 1024 * 1024;

/// The length of the longest value that the store can have.
const MAX_MAXREADSIZE: u64 = 2 * 1024 * 1024 * 1024;

const MIN_TIME: Duration = Duration::from_millis(1);
/// Times have 31 bits of seconds: 68 years.
const MAX_TIME: Duration = Duration::from_secs(i32::MAX as u64);

const DEFAULT_INFLIGHT: usize = 256 * 1024 * 1024;

const MAX_CONNECTIONS: u64 = u32::MAX as u64;

/// Enough for what is sent at once, and for responses that are left over.
const MIN_CONNECTION_MEMORY: u64 = 512 * 1024;
/// The default memory of a connection besides its largest request.
const DEFAULT_RESPONSES_LEN: usize = 4 * 1024 * 1024;

/// Without `--inflight`, this many of the largest requests may arrive at a time.
const LARGEST_REQUESTS_IN_FLIGHT: usize = 4;

/// How to serve.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// What to listen on. If this is empty, the server listens on `ip` and `port`, which it ignores otherwise.
    pub listen: Vec<ListenSpec>,
    /// The networks whose hosts may connect by TCP; if there are none, every host may.
    pub allow: Vec<Network>,
    /// The certificate and the key of the listeners that use TLS.
    pub tls: Option<TlsOptions>,
    /// The address or name to listen on; `None` is any address, IPv4 and IPv6.
    pub ip: Option<String>,
    /// The port; 0 lets the kernel choose.
    pub port: u16,
    /// How many connections may wait to be accepted at each listening socket. Each worker has four sockets for an address.
    pub backlog: i32,
    /// How many bytes are read at first from a connection; at least 1.
    pub readsize: usize,
    /// The longest request, in bytes.
    pub maxreadsize: usize,
    /// The most memory that incomplete requests and unsent responses of all connections may use, in bytes.
    pub inflight: usize,
    /// The most of that memory that one connection may use, in bytes.
    pub max_connection_memory: usize,
    /// How many connections may be open; `None` is as many as there are descriptors for.
    pub max_connections: Option<NonZeroUsize>,
    /// How long a peer may send or receive nothing within a request or a response, before it is
    /// disconnected.
    pub timeout: Duration,
    /// How long a connection of a dialect with several requests may stay between two of them; `None` is without a limit.
    pub idle_timeout: Option<Duration>,
    /// The number of workers.
    pub threads: NonZeroUsize,
    /// Who may use the server.
    pub access: AccessOptions,
    /// What to record and to show.
    pub observe: ObserveOptions,
}

impl ServerOptions {
    /// Everything to listen on.
    pub(crate) fn listeners(&self) -> Vec<ListenSpec> {
        if !self.listen.is_empty() {
            return self.listen.clone();
        }
        vec![ListenSpec::new(ListenAddress::Tcp { host: self.ip.clone(), port: self.port, tls: false })]
    }

    /// The values whose defaults follow from other options or from the machine, by the names of their options.
    pub(super) fn derived(&self) -> [(&'static str, String); 3] {
        [
            ("threads", self.threads.to_string()),
            ("inflight", Size(self.inflight as u64).to_string()),
            ("max-connection-memory", Size(self.max_connection_memory as u64).to_string()),
        ]
    }
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            listen: Vec::new(),
            allow: Vec::new(),
            tls: None,
            ip: None,
            port: 1042,
            backlog: 100,
            readsize: 4096,
            maxreadsize: DEFAULT_MAX_REQUEST_LEN,
            inflight: 256 * 1024 * 1024,
            max_connection_memory: DEFAULT_MAX_REQUEST_LEN + 4 * 1024 * 1024,
            max_connections: None,
            timeout: Duration::from_secs(60),
            idle_timeout: None,
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            access: AccessOptions::default(),
            observe: ObserveOptions::default(),
        }
    }
}

/// The same options, as they are given.
#[derive(Debug, Args)]
pub(super) struct ServerArguments {
    /// Listen on this address or name [default: any address, IPv4 and IPv6]
    #[arg(short, long, value_name = "ADDRESS")]
    ip: Option<String>,

    /// Listen on this port, a number or the name of a service; 0 takes any free one
    #[arg(short, long, default_value = "1042", value_parser = parse_port)]
    port: u16,

    /// How many connections may wait to be accepted, at each listening socket; each thread has four
    #[arg(short, long, value_name = "N", default_value = "100", allow_negative_numbers = true,
          value_parser = value_parser!(i32).range(1..))]
    backlog: i32,

    /// Size of the read buffer
    #[arg(short, long, value_name = "SIZE", default_value = "4KiB", allow_negative_numbers = true,
          value_parser = size(1..=MAX_READSIZE))]
    readsize: u64,

    /// The largest request, with its header and its key
    #[arg(short = 'R', long, value_name = "SIZE", default_value = "32MiB", allow_negative_numbers = true,
          value_parser = size(10..=MAX_MAXREADSIZE))]
    maxreadsize: u64,

    /// Disconnect a client that sends or receives nothing for this long within a request or a response; each may take
    /// three times as long in all, and a second more for every 16 KiB
    #[arg(short, long, value_name = "TIME", default_value = "1m", allow_negative_numbers = true,
          value_parser = time(Plain::Seconds, MIN_TIME..=MAX_TIME))]
    timeout: Duration,

    /// How many threads serve [default: one for each core; with --durability=always 32, which share syncs]
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = value_parser!(u64).range(1..=MAX_THREADS))]
    threads: Option<u64>,

    /// The most memory that incomplete requests and unsent responses of all connections may use; beyond it, large
    /// requests are refused [default: 256 MiB, or four of the largest requests]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = size(1..=u64::MAX))]
    inflight: Option<u64>,

    /// How many connections may be open at once [default: as many as there are descriptors for]
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = value_parser!(u64).range(1..=MAX_CONNECTIONS))]
    max_connections: Option<u64>,

    /// The most of the memory that --inflight limits that one connection may use; larger requests are refused [default:
    /// 4 MiB more than --maxreadsize]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true,
          value_parser = size(MIN_CONNECTION_MEMORY..=u64::MAX))]
    max_connection_memory: Option<u64>,

    /// Disconnect a client that sends no request for this long, in the dialects with many requests on a connection; 0 is
    /// never
    #[arg(long, value_name = "TIME", default_value = "0", allow_negative_numbers = true,
          value_parser = time(Plain::Seconds, Duration::ZERO..=MAX_TIME))]
    idle_timeout: Duration,
}

impl ServerArguments {
    /// The options of a server whose store has this `durability`. Those of the other groups have their defaults.
    ///
    /// # Errors
    /// Two options contradict each other.
    pub(super) fn into_options(self, durability: Durability) -> Result<ServerOptions, String> {
        let defaults = ServerOptions::default();
        // The ranges above fit a usize, also one of 32 bits.
        let maxreadsize = self.maxreadsize as usize;
        let threads = self.threads.and_then(|n| NonZeroUsize::new(n as usize));
        let default_threads = match durability {
            Durability::Always => SYNCING_THREADS,
            _ => defaults.threads,
        };
        let max_connection_memory = match self.max_connection_memory {
            Some(len) => usize::try_from(len).unwrap_or(usize::MAX),
            None => maxreadsize.saturating_add(DEFAULT_RESPONSES_LEN),
        };
        Ok(ServerOptions {
            ip: self.ip,
            port: self.port,
            backlog: self.backlog,
            readsize: self.readsize as usize,
            maxreadsize,
            inflight: inflight(self.inflight, maxreadsize)?,
            max_connection_memory,
            max_connections: self.max_connections.and_then(|n| NonZeroUsize::new(n as usize)),
            timeout: self.timeout,
            idle_timeout: Some(self.idle_timeout).filter(|timeout| !timeout.is_zero()),
            threads: threads.unwrap_or(default_threads),
            ..defaults
        })
    }
}

fn inflight(given: Option<u64>, maxreadsize: usize) -> Result<usize, String> {
    let Some(given) = given else {
        let largest = maxreadsize.saturating_mul(LARGEST_REQUESTS_IN_FLIGHT);
        return Ok(largest.max(DEFAULT_INFLIGHT));
    };
    let inflight = usize::try_from(given).unwrap_or(usize::MAX);
    let largest = Budget::largest_lease(inflight);
    if largest <= maxreadsize {
        return Err(format!(
            "--inflight={} has room for requests of less than {}, but --maxreadsize allows {}: raise --inflight, or \
             lower --maxreadsize",
            Size(given),
            Size(largest as u64),
            Size(maxreadsize as u64)
        ));
    }
    Ok(inflight)
}
