//! The command line, validated.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures a sharedanced server.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Generates load on a server, and reports its throughput, latency and CPU time.
    ///
    /// It overwrites the keys bench-0000000000 and following of the server.
    Bench(Bench),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// One request for each connection: store and fetch.
    Classic,
    /// memcached's `get` and `set`.
    Text,
    /// memcached's `mg` and `ms`, as used by the client crate.
    Meta,
    /// GET and SET of Redis, for comparison.
    Redis,
}

impl Dialect {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Dialect::Classic => "classic",
            Dialect::Text => "text",
            Dialect::Meta => "meta",
            Dialect::Redis => "redis",
        }
    }
}

#[derive(Debug, Clone, Args)]
#[command(args_override_self = true)]
pub(crate) struct Bench {
    /// The server, as host:port, tls://host:port or unix:PATH
    #[arg(default_value = "localhost:1042")]
    pub(crate) server: String,

    /// The server's unix socket, instead of host:port
    #[arg(long, value_name = "PATH", conflicts_with = "server")]
    pub(crate) unix: Option<PathBuf>,

    /// The dialect to use
    #[arg(long, value_enum, default_value = "meta")]
    pub(crate) dialect: Dialect,

    /// Connect by TLS
    #[arg(long)]
    pub(crate) tls: bool,

    /// The file with the certificates of the authorities that may issue the server's certificate; by default those of
    /// the system
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// The file with the certificate of this client
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// The file with the key of this client's certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// The name that the server's certificate must have; by default the host
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,

    /// Begin each TLS connection with a full handshake
    #[arg(long)]
    pub(crate) no_resumption: bool,

    /// Send each request in a TLS record of its own. memcached hangs if a record contains several long requests
    #[arg(long)]
    pub(crate) separate_records: bool,

    /// The name for servers with credentials
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// The file with the password; by default the password is in the environment variable SHAREDANCE_PASSWORD
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,

    /// Open a new connection for each request, or for --depth requests: what a connection costs, with TLS mostly its
    /// handshake
    #[arg(long)]
    pub(crate) new_connections: bool,

    /// Connections that are open at the same time
    #[arg(long, short, default_value = "16", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) connections: u32,

    /// Requests sent together on a connection; the next ones follow when all have responses. With --rate: the maximum
    /// number of pending requests of a connection
    #[arg(long, short, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) depth: u32,

    /// Threads that generate load; the connections are divided among them
    #[arg(long, short, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) threads: u32,

    /// Percentage of requests that are reads; the others write
    #[arg(long, short, value_name = "PERCENT", default_value = "50", value_parser = clap::value_parser!(u64).range(0..=100))]
    pub(crate) gets: u64,

    /// The length of values in bytes: one number, or a range of which each length is equally likely, for example
    /// 100-4000
    #[arg(long, value_name = "BYTES", default_value = "2048", value_parser = value_lens)]
    pub(crate) value_len: RangeInclusive<usize>,

    /// Number of keys
    #[arg(long, short, default_value = "10000", value_parser = clap::value_parser!(u64).range(1..=9_999_999_999))]
    pub(crate) keys: u64,

    /// Choose keys by Zipf's law with this exponent; by default all keys are equally likely
    #[arg(long, value_name = "EXPONENT", num_args = 0..=1, default_missing_value = "0.99", value_parser = exponent)]
    pub(crate) zipf: Option<f64>,

    /// TTL of pairs in seconds
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = clap::value_parser!(u32).range(1..=2_592_000))]
    pub(crate) ttl: u32,

    /// Total requests per second, at even intervals, regardless of pending responses. Latency is measured from when a
    /// request was due. By default, each request follows the response to the one before
    #[arg(long, short, value_name = "PER_SECOND", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// Seconds to measure
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) duration: Duration,

    /// Requests to measure, instead of a duration
    #[arg(long, value_name = "COUNT", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,

    /// Seconds under load before the measurement
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) warm_up: Duration,

    /// Do not store each key once before the load starts
    #[arg(long)]
    pub(crate) no_fill: bool,

    /// The process id of the server; by default, the process that listens on the port of this machine, if it can be
    /// found
    #[arg(long)]
    pub(crate) pid: Option<u32>,

    /// The seed of the random order of requests
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,

    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,

    /// Show no progress
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl Bench {
    /// The server as the user named it.
    pub(crate) fn target_name(&self) -> String {
        self.unix.as_ref().map_or_else(|| self.server.clone(), |path| format!("unix:{}", path.display()))
    }

    pub(crate) fn uses_tls(&self) -> bool {
        self.tls || self.server.starts_with("tls://")
    }

    /// Checks that clap cannot make on a single option.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.dialect == Dialect::Classic && self.depth > 1 {
            return Err("the classic dialect has one request a connection: --depth must be 1");
        }
        let has_tls_option = self.ca.is_some()
            || self.cert.is_some()
            || self.server_name.is_some()
            || self.no_resumption
            || self.separate_records;
        if has_tls_option && !self.uses_tls() {
            return Err("--ca, --cert, --server-name, --no-resumption and --separate-records need --tls");
        }
        if self.new_connections && self.rate.is_some() {
            return Err("--new-connections has no --rate");
        }
        if self.threads > self.connections {
            return Err("there are more --threads than --connections");
        }
        Ok(())
    }
}

fn value_lens(text: &str) -> Result<RangeInclusive<usize>, String> {
    const MAX: usize = 64 * 1024 * 1024;
    // The first eight bytes differ between two writes.
    const MIN: usize = 8;
    let len = |text: &str| match text.trim().parse() {
        Ok(len @ MIN..=MAX) => Ok(len),
        _ => Err(format!("not a length from {MIN} to {MAX}")),
    };
    match text.split_once('-') {
        None => len(text).map(|len| len..=len),
        Some((from, to)) => match (len(from)?, len(to)?) {
            (from, to) if from <= to => Ok(from..=to),
            _ => Err("the range is empty".into()),
        },
    }
}

fn exponent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(exponent) if (0.1..=5.0).contains(&exponent) => Ok(exponent),
        _ => Err("not a number from 0.1 to 5".into()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=1e8).contains(&rate) => Ok(rate),
        _ => Err("not a number from 0.1 to 100000000".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(secs) if (0.0..=86_400.0).contains(&secs) => Ok(Duration::from_secs_f64(secs)),
        _ => Err("not a number of seconds from 0 to 86400".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_definition_is_valid() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }

    #[test]
    fn lengths_of_values() {
        assert_eq!(value_lens("2048"), Ok(2048..=2048));
        assert_eq!(value_lens("100-4000"), Ok(100..=4000));
        for text in ["", "7", "x", "100-", "4000-100", "100000000", "-5"] {
            assert!(value_lens(text).is_err(), "{text:?}");
        }
    }
}
