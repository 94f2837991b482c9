//! The value of one option, and where it comes from.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::{Arg, Command};

/// Where a value comes from. Displays as `--print-config` and errors state it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Source {
    Default,
    File { path: PathBuf, line: usize },
    Variable(String),
    CommandLine,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { path, line } => write!(f, "{}:{line}", path.display()),
            Source::Variable(name) => f.write_str(name),
            Source::CommandLine => f.write_str("command line"),
        }
    }
}

/// What a file or a variable sets.
#[derive(Debug)]
pub(super) struct Setting {
    /// The long name of the option.
    pub(super) option: String,
    /// One value, or several for an option that can be repeated.
    pub(super) values: Vec<OsString>,
    pub(super) source: Source,
}

/// The options that say what to do with a configuration. They are not part of one.
const NOT_IN_A_FILE: [&str; 5] = ["config", "check-config", "print-config", "help", "version"];

pub(super) fn is_part_of_a_configuration(option: &str) -> bool {
    !NOT_IN_A_FILE.contains(&option)
}

/// The options that a configuration can set, in the order in which `--help` lists them.
pub(super) fn configurable(command: &Command) -> impl Iterator<Item = (&Arg, &str)> {
    let named = command.get_arguments().filter_map(|arg| Some((arg, arg.get_long()?)));
    named.filter(|(_, long)| is_part_of_a_configuration(long))
}
