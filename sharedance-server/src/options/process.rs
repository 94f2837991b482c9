//! The options of the process: what it logs, and as which user it runs. Each field has the name of its option.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use log::LevelFilter;

/// How the process runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProcessOptions {
    /// The least level that is logged.
    pub log_level: LevelFilter,
    /// Whether to go into the background.
    pub daemonize: bool,
    /// The file for the process id.
    pub pidfile: Option<PathBuf>,
    /// The user to run as, by name or number.
    pub uid: Option<String>,
    /// The group to run as, by name or number.
    pub gid: Option<String>,
}

/// The same options, as they are given.
#[derive(Debug, Args)]
pub(super) struct ProcessArguments {
    /// Log lines of this level and above; one line at the start is logged at any level [default: info]
    #[arg(long, value_name = "LEVEL", value_enum, overrides_with = "debug")]
    log_level: Option<Level>,

    /// Log details, as --log-level=debug does; the later one of both, or the one of the stronger source, takes effect
    #[arg(short = 'D', long, value_name = "BOOL", default_value = "false", default_missing_value = "true",
          num_args = 0..=1, require_equals = true, value_parser = BoolishValueParser::new(), hide_default_value = true,
          hide_possible_values = true, overrides_with = "log_level")]
    debug: bool,

    /// Run in the background, once started
    #[arg(short = 'B', long, value_name = "BOOL", default_value = "false", default_missing_value = "true",
          num_args = 0..=1, require_equals = true, value_parser = BoolishValueParser::new(), hide_default_value = true,
          hide_possible_values = true)]
    daemonize: bool,

    /// Write the process id to this file once the sockets are bound, and remove the file at the end
    #[arg(long, value_name = "FILE")]
    pidfile: Option<PathBuf>,

    /// Run as this user, by name or number; only root can
    #[arg(short, long, value_name = "USER")]
    uid: Option<String>,

    /// Run as this group, by name or number [default: the user's]; only root can
    #[arg(short, long, value_name = "GROUP")]
    gid: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

impl From<ProcessArguments> for ProcessOptions {
    fn from(arguments: ProcessArguments) -> ProcessOptions {
        let ProcessArguments { log_level, debug, daemonize, pidfile, uid, gid } = arguments;
        let log_level = match log_level {
            Some(Level::Error) => LevelFilter::Error,
            Some(Level::Warn) => LevelFilter::Warn,
            Some(Level::Info) => LevelFilter::Info,
            Some(Level::Debug) => LevelFilter::Debug,
            None if debug => LevelFilter::Debug,
            None => LevelFilter::Info,
        };
        ProcessOptions { log_level, daemonize, pidfile, uid, gid }
    }
}
