//! What to listen on, and who may connect, as it is given.

use clap::Args;

use crate::listen::{ListenSpec, Network};

#[derive(Debug, Args)]
pub(crate) struct ListenArguments {
    /// Listen here, instead of on --ip and --port; can be given several times. SPEC is tcp:HOST:PORT, where HOST may be *
    /// for any address; tls:HOST:PORT; unix:PATH, where mode=0660 and group=NAME may follow (default: mode=0600, or 0660
    /// with a group); or systemd[:NAME] for the sockets that the service manager hands over, all or those with this name,
    /// where tls may follow. Behind each of them, separated by commas: dialects=classic+text+binary allows these alone;
    /// auth=off needs no credentials; admin allows administrative commands
    #[arg(long, value_name = "SPEC", conflicts_with_all = ["ip", "port"])]
    pub(crate) listen: Vec<ListenSpec>,

    /// Serve only hosts of these networks or with these addresses; others are disconnected before anything is read. Unix
    /// sockets are not affected [default: every host]
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub(crate) allow: Vec<Network>,
}
