//! The options that say what to do with a configuration.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(in super::super) struct ConfigurationArguments {
    /// Read options from this file: TOML, with the long names of the options as keys. The environment (SHAREDANCED_MAX_BYTES
    /// for --max-bytes) takes precedence over the file, and the command line over both
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Check the options of all sources, and exit
    #[arg(long)]
    pub(in super::super) check_config: bool,

    /// Print the options of all sources with their sources, as a file for --config, and exit
    #[arg(long)]
    pub(in super::super) print_config: bool,
}
