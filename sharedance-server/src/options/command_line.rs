//! The command line, checked and turned into [`Options`].
//!
//! Names, short names and defaults are those of the first Sharedance. What is out of range is refused here, with a
//! message, before anything is touched; what depends on the system (addresses, names of users) is checked by whoever
//! asks the system.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, value_parser};
use sharedance_core::store::Durability;

use super::storage::{StorageArguments, StorageOptions};
use crate::buffers::Budget;
use crate::server::ServerOptions;

const MAX_THREADS: u64 = 1024;

/// Where each store waits for the disk, so many can do so together.
const WAITING_THREADS: NonZeroUsize = NonZeroUsize::new(32).unwrap();
const MAX_READ_LEN: u64 = 64 * 1024 * 1024;

/// The store holds no longer values.
const MAX_REQUEST_LEN: u64 = 2 * 1024 * 1024 * 1024;

/// Times have 31 bits of seconds: 68 years.
const MAX_SECS: u64 = i32::MAX as u64;

const DEFAULT_IN_FLIGHT_LEN: usize = 256 * 1024 * 1024;

const MAX_CONNECTIONS: u64 = u32::MAX as u64;

/// Enough for what is sent at once, and beside it for answers that are left over.
const MIN_CONNECTION_LEN: u64 = 512 * 1024;
const DEFAULT_ANSWERS_LEN: usize = 4 * 1024 * 1024;

/// Without a budget of the operator's, so many of the largest requests are let in at once.
const LARGEST_REQUESTS_IN_FLIGHT: usize = 4;

/// What the operator wants.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// How to serve.
    pub server: ServerOptions,
    /// How to keep the pairs.
    pub storage: StorageOptions,
    /// Whether to log details.
    pub debug: bool,
    /// Whether to go into the background.
    pub daemonize: bool,
    /// The user to become, by name or number.
    pub user: Option<String>,
    /// The group to become, by name or number.
    pub group: Option<String>,
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
          value_parser = value_parser!(u64).range(1..=MAX_READ_LEN))]
    readsize: u64,

    /// The largest request, in bytes, with its header and its key
    #[arg(short = 'R', long, value_name = "BYTES", default_value = "33554432", allow_negative_numbers = true,
          value_parser = value_parser!(u64).range(10..=MAX_REQUEST_LEN))]
    maxreadsize: u64,

    /// Disconnect after so long without data, in seconds, in the midst of a request or of an answer; each may take three
    /// times as long in all, and a second more for every 16 KiB
    #[arg(short, long, value_name = "SECONDS", default_value = "60", allow_negative_numbers = true,
          value_parser = value_parser!(u64).range(1..=MAX_SECS))]
    timeout: u64,

    /// Log details
    #[arg(short = 'D', long)]
    debug: bool,

    /// Go into the background, once started
    #[arg(short = 'B', long)]
    daemonize: bool,

    /// Become this user, by name or number; only root can
    #[arg(short, long, value_name = "USER")]
    uid: Option<String>,

    /// Become this group, by name or number [default: the user's]; only root can
    #[arg(short, long, value_name = "GROUP")]
    gid: Option<String>,

    /// How many threads serve [default: one for each core; with --durability=always 32, whose stores wait together]
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = value_parser!(u64).range(1..=MAX_THREADS))]
    threads: Option<u64>,

    /// The most that all unfinished requests and unsent answers together may hold in memory, in bytes; beyond it
    /// large requests are refused [default: 256 MiB, or four of the largest requests]
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = value_parser!(u64).range(1..))]
    inflight: Option<u64>,

    /// How many connections may be open at once [default: as many as there are descriptors for]
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = value_parser!(u64).range(1..=MAX_CONNECTIONS))]
    max_connections: Option<u64>,

    /// The most that one connection may hold in memory of that which --inflight limits for all; larger requests are
    /// refused [default: 4 MiB more than --maxreadsize]
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true,
          value_parser = value_parser!(u64).range(MIN_CONNECTION_LEN..))]
    max_connection_memory: Option<u64>,

    /// Disconnect those who ask for nothing for so long, in seconds, in the dialects where a connection has many
    /// requests; 0 never does
    #[arg(long, value_name = "SECONDS", default_value = "0", allow_negative_numbers = true,
          value_parser = value_parser!(u64).range(0..=MAX_SECS))]
    idle_timeout: u64,

    #[command(flatten)]
    storage: StorageArguments,
}

impl Options {
    /// Reads the program's own command line. Ends the program where it asks for help, or is refused.
    pub fn parse() -> Options {
        Options::try_parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    fn try_parse_from<T: Into<OsString> + Clone>(
        arguments: impl IntoIterator<Item = T>,
    ) -> Result<Options, clap::Error> {
        let arguments = Arguments::try_parse_from(arguments)?;
        let defaults = ServerOptions::default();
        // The ranges above fit a usize, also one of 32 bits.
        let max_request_len = arguments.maxreadsize as usize;
        let storage = StorageOptions::from(arguments.storage);
        let threads = arguments.threads.and_then(|n| NonZeroUsize::new(n as usize));
        let default_threads = match storage.durability {
            Durability::Always => WAITING_THREADS,
            _ => defaults.threads,
        };
        let max_connection_len = match arguments.max_connection_memory {
            Some(len) => usize::try_from(len).unwrap_or(usize::MAX),
            None => max_request_len.saturating_add(DEFAULT_ANSWERS_LEN),
        };
        Ok(Options {
            server: ServerOptions {
                host: arguments.ip,
                port: arguments.port,
                backlog: arguments.backlog,
                read_len: arguments.readsize as usize,
                max_request_len,
                max_in_flight_len: in_flight_len(arguments.inflight, max_request_len)?,
                max_connection_len,
                max_connections: arguments.max_connections.and_then(|n| NonZeroUsize::new(n as usize)),
                idle_timeout: Duration::from_secs(arguments.timeout),
                rest_timeout: Some(Duration::from_secs(arguments.idle_timeout)).filter(|timeout| !timeout.is_zero()),
                threads: threads.unwrap_or(default_threads),
            },
            storage,
            debug: arguments.debug,
            daemonize: arguments.daemonize,
            user: arguments.uid,
            group: arguments.gid,
        })
    }
}

fn in_flight_len(asked: Option<u64>, max_request_len: usize) -> Result<usize, clap::Error> {
    let Some(asked) = asked else {
        let largest = max_request_len.saturating_mul(LARGEST_REQUESTS_IN_FLIGHT);
        return Ok(largest.max(DEFAULT_IN_FLIGHT_LEN));
    };
    let asked = usize::try_from(asked).unwrap_or(usize::MAX);
    let largest = Budget::largest_lease(asked);
    if largest <= max_request_len {
        let message = format!(
            "--inflight={asked} lets in requests of less than {largest} bytes, but --maxreadsize allows \
             {max_request_len}: raise the one, or lower the other"
        );
        return Err(Arguments::command().error(ErrorKind::ValueValidation, message));
    }
    Ok(asked)
}

fn parse_port(text: &str) -> Result<u16, String> {
    if let Ok(port) = text.parse() {
        return Ok(port);
    }
    let services = std::fs::read_to_string("/etc/services").unwrap_or_default();
    port_of_service(text, &services)
        .ok_or_else(|| "a port is a number from 0 to 65535, or the name of a service".to_owned())
}

/// The TCP port of `name` in a file like /etc/services: name, port and protocol, other names, a comment.
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
        assert_eq!((&server.host, server.port, server.backlog), (&None, 1042, 100));
        assert_eq!((server.read_len, server.max_request_len), (4096, 32 * 1024 * 1024));
        assert_eq!(server.idle_timeout, Duration::from_secs(60));
        assert_eq!(server.max_in_flight_len, 256 * 1024 * 1024);
        assert_eq!(server.max_connection_len, 36 * 1024 * 1024);
        assert_eq!((server.max_connections, server.rest_timeout), (None, None));
        assert_eq!(options.storage.expiration, Duration::from_secs(1800));
        assert_eq!(options.storage.directory, Path::new("/tmp/sharedance"));
        assert_eq!((options.storage.durability, options.storage.unclean_boot), (Durability::Os, UncleanBoot::Salvage));
        assert_eq!((options.storage.max_bytes, options.storage.when_full), (None, WhenFull::Refuse));
        assert!(!options.debug && !options.daemonize);
        assert_eq!((options.user, options.group), (None, None));
    }

    #[test]
    fn long_and_short_names_mean_the_same() {
        let long = "--ip=localhost --port=7 --backlog=9 --directory=/d --readsize=11 --maxreadsize=12 \
                    --expiration=13 --timeout=14 --debug --daemonize --uid=web --gid=15";
        let short = "-i localhost -p 7 -b 9 -d /d -r 11 -R 12 -e 13 -t 14 -D -B -u web -g 15";
        let (long, short) = (parse(long).unwrap(), parse(short).unwrap());
        assert_eq!(format!("{long:?}"), format!("{short:?}"));
        assert_eq!(long.server.host.as_deref(), Some("localhost"));
        assert_eq!((long.server.port, long.server.backlog), (7, 9));
        assert_eq!((long.server.read_len, long.server.max_request_len), (11, 12));
        assert_eq!(long.storage.expiration, Duration::from_secs(13));
        assert_eq!(long.server.idle_timeout, Duration::from_secs(14));
        assert!(long.debug && long.daemonize);
        assert_eq!((long.user.as_deref(), long.group.as_deref()), (Some("web"), Some("15")));
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
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
    fn the_budget_follows_the_largest_request() {
        let options = parse("--maxreadsize=1000000000").unwrap();
        assert_eq!(options.server.max_in_flight_len, 4_000_000_000);
        assert_eq!(parse("--inflight=50000000").unwrap().server.max_in_flight_len, 50_000_000);
    }

    #[test]
    fn what_survives_and_what_goes_is_the_operators_choice() {
        let storage = |arguments| parse(arguments).unwrap().storage;
        let evicting = storage("--max-bytes=100000000 --when-full=evict");
        assert_eq!((evicting.max_bytes, evicting.when_full), (Some(100_000_000), WhenFull::Evict));
        assert_eq!(storage("--durability=interval").durability, Durability::Interval(Duration::from_secs(1)));
        let often = storage("--durability=interval --sync-interval=200").durability;
        assert_eq!(often, Durability::Interval(Duration::from_millis(200)));
        assert_eq!(storage("--after-crash=discard").unclean_boot, UncleanBoot::Discard);
        let always = parse("--durability=always").unwrap();
        assert_eq!((always.storage.durability, always.server.threads), (Durability::Always, WAITING_THREADS));
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
