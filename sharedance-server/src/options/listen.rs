//! What to listen on, as it is given on the command line.

use clap::Args;

use crate::listen::ListenSpec;

#[derive(Debug, Args)]
pub(crate) struct ListenArguments {
    /// Listen here, instead of on --ip and --port; can be given several times. SPEC is tcp:HOST:PORT, where HOST may be *
    /// for any address. Behind it, separated by commas: dialects=classic+text+binary allows these alone; auth=off needs no
    /// credentials; admin allows administrative commands
    #[arg(long, value_name = "SPEC", conflicts_with_all = ["ip", "port"])]
    pub(crate) listen: Vec<ListenSpec>,
}
