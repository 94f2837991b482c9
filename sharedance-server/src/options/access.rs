//! Who may use the server.

use std::path::PathBuf;

use clap::Args;

/// Who may use the server.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AccessOptions {
    /// The file with the names and passwords of the users; `None` lets every client do everything.
    pub auth_file: Option<PathBuf>,
    /// The user that the server will run as, which may own that file; `None` is the user of this process.
    pub uid: Option<u32>,
}

/// The same options, as they are given.
#[derive(Debug, Args)]
pub(super) struct AccessArguments {
    /// Serve only clients that send a name and a password of this file, which only its owner may read: one
    /// name:password on each line, as for memcached -Y. A third field has options, separated by commas: prefix=app1- allows
    /// only keys that begin so; read-only; admin. Read again at SIGHUP
    #[arg(long, value_name = "FILE")]
    auth_file: Option<PathBuf>,
}

impl From<AccessArguments> for AccessOptions {
    fn from(arguments: AccessArguments) -> AccessOptions {
        AccessOptions { auth_file: arguments.auth_file, uid: None }
    }
}
