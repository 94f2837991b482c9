//! The command line.

use std::path::PathBuf;

use clap::Parser;
use clap::builder::PossibleValuesParser;

use crate::part::Part;
use crate::peer::KINDS;

/// The default number of keys: `DEFAULT_KEYS`, or `DEFAULT_KEYS_OF_LARGE` for values of `LARGE` bytes and more.
const DEFAULT_KEYS: usize = 150_000;
const DEFAULT_KEYS_OF_LARGE: usize = 5_000;
const LARGE: usize = 16 * 1024;

/// Measures the store of sharedance-core side by side with other key/value stores.
///
/// In each round every peer runs once, in an empty directory and in a process of its own. The tables show medians over
/// the rounds.
#[derive(Debug, Parser)]
#[command(name = "sharedance-compare", version, args_conflicts_with_subcommands = true, args_override_self = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
    /// Parent directory of the files; the file system influences the result strongly [default: the directory for
    /// temporary files]
    #[arg(short, long)]
    pub(crate) dir: Option<PathBuf>,
    /// Number of rounds; the slowest peers run in the first one only
    #[arg(short, long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rounds: u64,
    /// Lengths of the values, in bytes
    #[arg(short, long, value_delimiter = ',', default_values_t = [100, 2048, 65_536])]
    pub(crate) sizes: Vec<usize>,
    /// Number of keys [default: 150000, and 5000 for values of 16 KiB and more]
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1_000..))]
    pub(crate) keys: Option<u32>,
    /// Peers to measure
    #[arg(short, long, value_delimiter = ',', default_values = names(), value_parser = PossibleValuesParser::new(names()))]
    pub(crate) peers: Vec<String>,
    /// Number of threads in the phases with several threads; 1 omits these phases
    #[arg(short, long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,
    /// Also write the tables to this file, as Markdown
    #[arg(short, long)]
    pub(crate) markdown: Option<PathBuf>,
    /// Write a plot of the costs to this file, as SVG
    #[arg(long)]
    pub(crate) plot: Option<PathBuf>,
}

fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name)
}

impl Options {
    pub(crate) fn keys_for(&self, value_len: usize) -> usize {
        let default = if value_len < LARGE { DEFAULT_KEYS } else { DEFAULT_KEYS_OF_LARGE };
        self.keys.map_or(default, |keys| keys as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
        let options = Options::parse_from(["compare", "--sizes", "100,65536", "--peers", "store,map"]);
        assert_eq!((options.keys_for(100), options.keys_for(65_536)), (150_000, 5_000));
        assert_eq!(options.peers, ["store", "map"]);
        assert!(options.part.is_none());
    }
}
