//! The options of the process: what it logs, and as which user it runs. Each field has the name of its option.

use clap::Args;

/// How the process runs.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ProcessOptions {
    /// Whether to log details.
    pub debug: bool,
    /// Whether to go into the background.
    pub daemonize: bool,
    /// The user to run as, by name or number.
    pub uid: Option<String>,
    /// The group to run as, by name or number.
    pub gid: Option<String>,
}

/// The same options, as they are given.
#[derive(Debug, Args)]
pub(super) struct ProcessArguments {
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
}

impl From<ProcessArguments> for ProcessOptions {
    fn from(arguments: ProcessArguments) -> ProcessOptions {
        let ProcessArguments { debug, daemonize, uid, gid } = arguments;
        ProcessOptions { debug, daemonize, uid, gid }
    }
}
