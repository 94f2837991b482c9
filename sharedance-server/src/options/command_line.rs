//! The command line, checked and turned into [`Options`].
//!
//! Names, short names and defaults are those of the first Sharedance. A value out of range is refused here, with a
//! message, before anything is changed. Values that depend on the system (addresses, user names) are checked where they
//! are used.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, value_parser};
use sharedance_core::store::Durability;

use super::server::ServerOptions;
use super::storage::{StorageArguments, StorageOptions};
use crate::buffers::Budget;

const MAX_THREADS: u64 = 1024;

/// The default number of threads with `--durability=always`, where each store waits for the disk: the stores of all threads
/// share a sync.
const SYNCING_THREADS: NonZeroUsize = NonZeroUsize::new(32).unwrap();
const MAX_READSIZE: u64 = 64 * 1024 * 1024;

/// The length of the longest value that the store can have.
const MAX_MAXREADSIZE: u64 = 2 * 1024 * 1024 * 1024;

/// Times have 31 bits of seconds: 68 years.
const MAX_SECS: u64 = i32::MAX as u64;

const DEFAULT_INFLIGHT: usize = 256 * 1024 * 1024;

const MAX_CONNECTIONS: u64 = u32::MAX as u64;

/// Enough for what is sent at once, and for responses that are left over.
const MIN_CONNECTION_MEMORY: u64 = 512 * 1024;
/// The default memory of a connection besides its largest request.
const DEFAULT_RESPONSES_LEN: usize = 4 * 1024 * 1024;

/// Without `--inflight`, this many of the largest requests may arrive at a time.
const LARGEST_REQUESTS_IN_FLIGHT: usize = 4;

/// All options of the program. Each field has the name of its option on the command line.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// How to serve.
    pub server: ServerOptions,
    /// How to store the pairs.
    pub storage: StorageOptions,
    /// Whether to log details.
    pub debug: bool,
    /// Whether to go into the background.
    pub daemonize: bool,
    /// The user to run as, by name or number.
    pub uid: Option<String>,
    /// The group to run as, by name or number.
    pub gid: Option<String>,
}

/// Shares web sessions and caches between a pool of web servers.
#[derive(Debug, Parser)]
#[command(name = "sharedanced", version)]
struct Arguments {
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

    /// Size of the read buffer, in bytes
    #[arg(short, long, value_name = "BYTES", default_value = "4096", allow_negative_numbers = true,
          value_parser = value_parser!(u64).range(1..=MAX_READSIZE))]
    readsize: u64,

    /// The largest request, in bytes, with its header and its key
    #[arg(short = 'R', long, value_name = "BYTES", default_value = "33554432", allow_negative_numbers = true,
          value_parser = value_parser!(u64).range(10..=MAX_MAXREADSIZE))]
    maxreadsize: u64,

    /// Disconnect a client that sends or receives nothing for this long within a request or a response, in seconds; each
    /// may take three times as long in all, and a second more for every 16 KiB
    #[arg(short, long, value_name = "SECONDS", default_value = "60", allow_negative_numbers = true,
          value_parser = value_parser!(u64).range(1..=MAX_SECS))]
    timeout: u64,

    /// Log details
    #[arg(short = 'D', long)]
    debug: bool,

    /// Run in the background, once started
    #[arg(short = 'B', long)]
    daemonize: bool,

    /// Run as this user, by name or number; only root can
    #[arg(short, long, value_name = "USER")]
    uid: Option<String>,

    /// Run as this group, by name or number [default: the user's]; only root can
    #[arg(short, long, value_name = "GROUP")]
    gid: Option<String>,

    /// How many threads serve [default: one for each core; with --durability=always 32, which share syncs]
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = value_parser!(u64).range(1..=MAX_THREADS))]
    threads: Option<u64>,

    /// The most memory that incomplete requests and unsent responses of all connections may use, in bytes; beyond it,
    /// large requests are refused [default: 256 MiB, or four of the largest requests]
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = value_parser!(u64).range(1..))]
    inflight: Option<u64>,

    /// How many connections may be open at once [default: as many as there are descriptors for]
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = value_parser!(u64).range(1..=MAX_CONNECTIONS))]
    max_connections: Option<u64>,

    /// The most of the memory that --inflight limits that one connection may use, in bytes; larger requests are refused
    /// [default: 4 MiB more than --maxreadsize]
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true,
          value_parser = value_parser!(u64).range(MIN_CONNECTION_MEMORY..))]
    max_connection_memory: Option<u64>,

    /// Disconnect a client that sends no request for this long, in seconds, in the dialects with many requests on a
    /// connection; 0 is never
    #[arg(long, value_name = "SECONDS", default_value = "0", allow_negative_numbers = true,
          value_parser = value_parser!(u64).range(0..=MAX_SECS))]
    idle_timeout: u64,

    #[command(flatten)]
    storage: StorageArguments,
}

impl Options {
    /// Reads the command line of this process. Exits where it asks for help or is refused.
    pub fn parse() -> Options {
        Options::try_parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    fn try_parse_from<T: Into<OsString> + Clone>(
        arguments: impl IntoIterator<Item = T>,
    ) -> Result<Options, clap::Error> {
        let arguments = Arguments::try_parse_from(arguments)?;
        let defaults = ServerOptions::default();
        // The ranges above fit a usize, also one of 32 bits.
        let maxreadsize = arguments.maxreadsize as usize;
        let storage = StorageOptions::from(arguments.storage);
        let threads = arguments.threads.and_then(|n| NonZeroUsize::new(n as usize));
        let default_threads = match storage.durability {
            Durability::Always => SYNCING_THREADS,
            _ => defaults.threads,
        };
        let max_connection_memory = match arguments.max_connection_memory {
            Some(len) => usize::try_from(len).unwrap_or(usize::MAX),
            None => maxreadsize.saturating_add(DEFAULT_RESPONSES_LEN),
        };
        Ok(Options {
            server: ServerOptions {
                ip: arguments.ip,
                port: arguments.port,
                backlog: arguments.backlog,
                readsize: arguments.readsize as usize,
                maxreadsize,
                inflight: inflight(arguments.inflight, maxreadsize)?,
                max_connection_memory,
                max_connections: arguments.max_connections.and_then(|n| NonZeroUsize::new(n as usize)),
                timeout: Duration::from_secs(arguments.timeout),
                idle_timeout: Some(Duration::from_secs(arguments.idle_timeout)).filter(|timeout| !timeout.is_zero()),
                threads: threads.unwrap_or(default_threads),
            },
            storage,
            debug: arguments.debug,
            daemonize: arguments.daemonize,
            uid: arguments.uid,
            gid: arguments.gid,
        })
    }
}

fn inflight(given: Option<u64>, maxreadsize: usize) -> Result<usize, clap::Error> {
    let Some(given) = given else {
        let largest = maxreadsize.saturating_mul(LARGEST_REQUESTS_IN_FLIGHT);
        return Ok(largest.max(DEFAULT_INFLIGHT));
    };
    let inflight = usize::try_from(given).unwrap_or(usize::MAX);
    let largest = Budget::largest_lease(inflight);
    if largest <= maxreadsize {
        let message = format!(
            "--inflight={inflight} has room for requests of less than {largest} bytes, but --maxreadsize allows \
             {maxreadsize}: raise --inflight, or lower --maxreadsize"
        );
        return Err(Arguments::command().error(ErrorKind::ValueValidation, message));
    }
    Ok(inflight)
}

fn parse_port(text: &str) -> Result<u16, String> {
    if let Ok(port) = text.parse() {
        return Ok(port);
    }
    let services = std::fs::read_to_string("/etc/services").unwrap_or_default();
    port_of_service(text, &services)
        .ok_or_else(|| "a port is a number from 0 to 65535, or the name of a service".to_owned())
}

/// The TCP port of `name` in the format of /etc/services: name, port and protocol, aliases, a comment.
fn port_of_service(name: &str, services: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let official = words.next()?;
        let port = words.next()?.strip_suffix("/tcp")?;
        let named = official == name || words.any(|alias| alias == name);
        named.then(|| port.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sharedance_core::store::{UncleanBoot, WhenFull};

    use super::*;

    fn parse(arguments: &str) -> Result<Options, String> {
        Options::try_parse_from(format!("sharedanced {arguments}").split_whitespace())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_first_sharedance() {
        let options = parse("").unwrap();
        let server = &options.server;
        assert_eq!((&server.ip, server.port, server.backlog), (&None, 1042, 100));
        assert_eq!((server.readsize, server.maxreadsize), (4096, 32 * 1024 * 1024));
        assert_eq!(server.timeout, Duration::from_secs(60));
        assert_eq!(server.inflight, 256 * 1024 * 1024);
        assert_eq!(server.max_connection_memory, 36 * 1024 * 1024);
        assert_eq!((server.max_connections, server.idle_timeout), (None, None));
        assert_eq!(options.storage.expiration, Duration::from_secs(1800));
        assert_eq!(options.storage.directory, Path::new("/tmp/sharedance"));
        assert_eq!((options.storage.durability, options.storage.after_crash), (Durability::Os, UncleanBoot::Salvage));
        assert_eq!((options.storage.max_bytes, options.storage.when_full), (None, WhenFull::Refuse));
        assert!(!options.debug && !options.daemonize);
        assert_eq!((options.uid, options.gid), (None, None));
    }

    #[test]
    fn long_and_short_names_mean_the_same() {
        let long = "--ip=localhost --port=7 --backlog=9 --directory=/d --readsize=11 --maxreadsize=12 \
                    --expiration=13 --timeout=14 --debug --daemonize --uid=web --gid=15";
        let short = "-i localhost -p 7 -b 9 -d /d -r 11 -R 12 -e 13 -t 14 -D -B -u web -g 15";
        let (long, short) = (parse(long).unwrap(), parse(short).unwrap());
        assert_eq!(format!("{long:?}"), format!("{short:?}"));
        assert_eq!(long.server.ip.as_deref(), Some("localhost"));
        assert_eq!((long.server.port, long.server.backlog), (7, 9));
        assert_eq!((long.server.readsize, long.server.maxreadsize), (11, 12));
        assert_eq!(long.storage.expiration, Duration::from_secs(13));
        assert_eq!(long.server.timeout, Duration::from_secs(14));
        assert!(long.debug && long.daemonize);
        assert_eq!((long.uid.as_deref(), long.gid.as_deref()), (Some("web"), Some("15")));
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_the_name_of_its_option() {
        let refused = [
            ("--backlog=0", "--backlog"),
            ("-b -5", "--backlog"),
            ("--readsize=0", "--readsize"),
            ("--maxreadsize=9", "--maxreadsize"),
            ("--maxreadsize=2147483649", "--maxreadsize"),
            ("--expiration=0", "--expiration"),
            ("--timeout=0", "--timeout"),
            ("--timeout=x", "--timeout"),
            ("--threads=0", "--threads"),
            ("--port=65536", "--port"),
            ("--port=no-such-service", "--port"),
            ("--inflight=1000 --maxreadsize=1000", "--maxreadsize"),
            ("--max-connections=0", "--max-connections"),
            ("--max-connection-memory=1000", "--max-connection-memory"),
            ("--idle-timeout=-1", "--idle-timeout"),
            ("--max-bytes=1000", "--max-bytes"),
            ("--max-bytes=2097151", "2097152"),
            ("--when-full=maybe", "--when-full"),
            ("--durability=never", "--durability"),
            ("--sync-interval=0", "--sync-interval"),
            ("--after-crash=cry", "--after-crash"),
            ("--unknown", "--unknown"),
            ("stray", "stray"),
        ];
        for (arguments, named) in refused {
            let message = parse(arguments).expect_err(arguments);
            assert!(message.contains(named), "{arguments}: {message}");
        }
        assert!(parse("--maxreadsize=10 --backlog=1 --readsize=1 --timeout=1 --expiration=1").is_ok());
    }

    #[test]
    fn the_default_of_inflight_follows_the_largest_request() {
        let options = parse("--maxreadsize=1000000000").unwrap();
        assert_eq!(options.server.inflight, 4_000_000_000);
        assert_eq!(parse("--inflight=50000000").unwrap().server.inflight, 50_000_000);
    }

    #[test]
    fn durability_and_eviction_can_be_chosen() {
        let storage = |arguments| parse(arguments).unwrap().storage;
        let evicting = storage("--max-bytes=100000000 --when-full=evict");
        assert_eq!((evicting.max_bytes, evicting.when_full), (Some(100_000_000), WhenFull::Evict));
        assert_eq!(storage("--durability=interval").durability, Durability::Interval(Duration::from_secs(1)));
        let often = storage("--durability=interval --sync-interval=200").durability;
        assert_eq!(often, Durability::Interval(Duration::from_millis(200)));
        assert_eq!(storage("--after-crash=discard").after_crash, UncleanBoot::Discard);
        let always = parse("--durability=always").unwrap();
        assert_eq!((always.storage.durability, always.server.threads), (Durability::Always, SYNCING_THREADS));
        assert_eq!(parse("--durability=always --threads=3").unwrap().server.threads.get(), 3);
    }

    #[test]
    fn services_are_found_by_name_and_alias() {
        let services = "# a comment\ndomain 53/udp\nhttp\t80/tcp  www # web\nodd\nafs3 1042/tcp";
        assert_eq!(port_of_service("http", services), Some(80));
        assert_eq!(port_of_service("www", services), Some(80));
        assert_eq!(port_of_service("afs3", services), Some(1042));
        assert_eq!(port_of_service("domain", services), None);
        assert_eq!(port_of_service("web", services), None);
    }
}
