//! All options of the program, checked.
//!
//! Each group of options has a file of its own, with two types: one as a program sets them, and one as they are given,
//! where clap reads names, ranges and help from. Names, short names and defaults are those of the first Sharedance. A value
//! out of range is refused here, with a message, before anything is changed. Values that depend on the system (addresses,
//! user names) are checked where they are used.

use std::io::Write;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};

use super::access::AccessArguments;
use super::configuration::{ConfigurationArguments, ConfigurationError, Given, Merged};
use super::listen::ListenArguments;
use super::observe::ObserveArguments;
use super::process::{ProcessArguments, ProcessOptions};
use super::server::{ServerArguments, ServerOptions};
use super::storage::{StorageArguments, StorageOptions};
use super::tls::TlsArguments;
use super::units;

/// All options of the program.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// How to serve.
    pub server: ServerOptions,
    /// How to store the pairs.
    pub storage: StorageOptions,
    /// How the process runs.
    pub process: ProcessOptions,
}

/// Shares web sessions and caches between a pool of web servers.
#[derive(Debug, Parser)]
#[command(name = "sharedanced", version, after_help = units::HELP)]
struct Arguments {
    #[command(flatten)]
    server: ServerArguments,

    #[command(flatten)]
    listen: ListenArguments,

    #[command(flatten)]
    access: AccessArguments,

    #[command(flatten)]
    observe: ObserveArguments,

    #[command(flatten)]
    tls: TlsArguments,

    #[command(flatten)]
    storage: StorageArguments,

    #[command(flatten)]
    process: ProcessArguments,

    #[command(flatten)]
    configuration: ConfigurationArguments,
}

impl Options {
    /// Reads the options that a process was given. Prints what it is asked for, or what is wrong, and exits then.
    pub fn parse(given: &Given) -> Options {
        let (options, merged, request) = read(given).unwrap_or_else(|error| error.exit());
        let text = match request {
            Request::Run => return options,
            Request::Check => checked(&merged.ignored),
            Request::Print => merged.to_toml(&Options::command(), &options.server.derived()),
        };
        let is_written = std::io::stdout().write_all(text.as_bytes()).is_ok();
        std::process::exit(i32::from(!is_written))
    }

    /// Reads the options that a process was given.
    ///
    /// # Errors
    /// A value is invalid, an option is unknown, or the configuration file cannot be read.
    pub fn try_parse(given: &Given) -> Result<Options, ConfigurationError> {
        read(given).map(|(options, ..)| options)
    }

    pub(super) fn from_merged(merged: &Merged) -> Result<Options, ConfigurationError> {
        let arguments = Arguments::from_arg_matches(&merged.matches)?;
        let contradiction = |message| merged.named(Arguments::command().error(ErrorKind::ValueValidation, message));
        let storage = StorageOptions::from(arguments.storage);
        let server = ServerOptions {
            listen: arguments.listen.listen,
            allow: arguments.listen.allow,
            access: arguments.access.into(),
            observe: arguments.observe.into(),
            tls: arguments.tls.into_options(),
            ..arguments.server.into_options(storage.durability).map_err(contradiction)?
        };
        Ok(Options { server, storage, process: arguments.process.into() })
    }

    /// The command line, for documentation, manual pages and completions.
    pub fn command() -> clap::Command {
        Arguments::command()
    }
}

/// The result of a check, with a line for each variable that may be a mistake.
fn checked(ignored: &[String]) -> String {
    let ignored = ignored.iter().map(|name| format!("{name} is ignored: it is not an option of the server\n"));
    ignored.chain(["the configuration is valid\n".to_owned()]).collect()
}

/// What the options ask for.
enum Request {
    Run,
    Check,
    Print,
}

fn read(given: &Given) -> Result<(Options, Merged, Request), ConfigurationError> {
    let merged = Merged::read(&Arguments::command(), given)?;
    let options = Options::from_merged(&merged)?;
    let request = match ConfigurationArguments::from_arg_matches(&merged.matches)? {
        ConfigurationArguments { print_config: true, .. } => Request::Print,
        ConfigurationArguments { check_config: true, .. } => Request::Check,
        _ => Request::Run,
    };
    Ok((options, merged, request))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::path::Path;
    use std::time::Duration;

    use log::LevelFilter;
    use sharedance_core::store::{Durability, UncleanBoot, WhenFull};

    use super::*;

    fn parse(arguments: &str) -> Result<Options, String> {
        let given = Given::new::<_, String>(arguments.split_whitespace(), []);
        Options::try_parse(&given).map_err(|error| error.to_string())
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
        assert!(options.process.log_level == LevelFilter::Info && !options.process.daemonize);
        assert_eq!((options.process.uid, options.process.gid), (None, None));
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
        assert!(long.process.log_level == LevelFilter::Debug && long.process.daemonize);
        assert_eq!(parse("-D --log-level=warn").unwrap().process.log_level, LevelFilter::Warn);
        assert_eq!(parse("--log-level=warn -D").unwrap().process.log_level, LevelFilter::Debug);
        assert_eq!((long.process.uid.as_deref(), long.process.gid.as_deref()), (Some("web"), Some("15")));
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
    fn listen_replaces_ip_and_port() {
        let options = parse("--listen=tcp:localhost:7 --listen tcp:[::1]:8,dialects=text").unwrap();
        let listeners: Vec<String> = options.server.listeners().iter().map(ToString::to_string).collect();
        assert_eq!(listeners, ["tcp:localhost:7", "tcp:[::1]:8,dialects=text"]);
        let options = parse("--ip=::1 --port=9").unwrap();
        let [only] = &options.server.listeners()[..] else { panic!("{options:?}") };
        assert_eq!(only.to_string(), "tcp:::1:9");
        for other in ["--ip=localhost", "--port=7", "-p 1042"] {
            let message = parse(&format!("--listen=tcp:localhost:7 {other}")).unwrap_err();
            assert!(message.contains("--listen") && message.contains("cannot be used with"), "{message}");
        }
        let message = parse("--listen=tcp:localhost").unwrap_err();
        assert!(message.contains("HOST:PORT"), "{message}");
    }

    #[test]
    fn the_default_of_inflight_follows_the_largest_request() {
        let options = parse("--maxreadsize=1000000000").unwrap();
        assert_eq!(options.server.inflight, 4_000_000_000);
        assert_eq!(parse("--inflight=50000000").unwrap().server.inflight, 50_000_000);
    }

    #[test]
    fn sizes_and_times_have_units_and_plain_numbers_mean_what_they_meant() {
        let units = "--max-bytes=1G --maxreadsize=8MiB --readsize=8k --inflight=1g --max-connection-memory=9M \
                     --expiration=2h --timeout=500ms --idle-timeout=5m --durability=interval --sync-interval=2s";
        let plain = "--max-bytes=1073741824 --maxreadsize=8388608 --readsize=8192 --inflight=1073741824 \
                     --max-connection-memory=9437184 --expiration=7200 --timeout=500ms --idle-timeout=300 \
                     --durability=interval --sync-interval=2000";
        assert_eq!(format!("{:?}", parse(units).unwrap()), format!("{:?}", parse(plain).unwrap()));
        let refused = parse("--max-bytes=1000k").unwrap_err();
        assert!(refused.contains("1000 KiB (1024000 bytes)") && refused.contains("2 MiB (2097152 bytes)"), "{refused}");
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
        assert_eq!(
            (always.storage.durability, always.server.threads),
            (Durability::Always, NonZeroUsize::new(32).unwrap())
        );
        assert_eq!(parse("--durability=always --threads=3").unwrap().server.threads.get(), 3);
    }
}
