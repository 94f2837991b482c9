//! The options of the server: as a program sets them, and as they are given in a configuration file, in the environment,
//! or on the command line.

mod access;
mod command_line;
mod configuration;
mod listen;
mod observe;
mod process;
mod server;
mod storage;
mod tls;
mod units;

pub use access::AccessOptions;
pub use command_line::Options;
pub use configuration::{ConfigurationError, Given, RunningConfiguration};
pub use observe::ObserveOptions;
pub use process::ProcessOptions;
pub use server::ServerOptions;
pub use storage::{StorageError, StorageOptions};
pub use tls::TlsOptions;
pub use units::{Size, Time};
