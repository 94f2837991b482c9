//! What the process was started with.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Command;

use super::environment;
use super::merged::ConfigurationError;

/// All options with long comments take 10 KiB. This bounds the memory for a file that was named by mistake.
const MAX_LEN: u64 = 1024 * 1024;

/// The arguments and the environment of a process.
#[derive(Debug, Clone)]
pub struct Given {
    /// The first one is the name of the program.
    pub(super) arguments: Vec<OsString>,
    pub(super) variables: Vec<(OsString, OsString)>,
}

/// The content of a configuration file.
pub(super) struct ConfigurationFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Given {
    /// Those of this process. Read before the title of the process is set, which overwrites them.
    pub fn to_this_process() -> Given {
        Given { arguments: env::args_os().collect(), variables: env::vars_os().collect() }
    }

    /// Those of a process that is started with `arguments`, without the name of the program, and `variables`.
    pub fn new<A: Into<OsString>, V: Into<OsString>>(
        arguments: impl IntoIterator<Item = A>,
        variables: impl IntoIterator<Item = (V, V)>,
    ) -> Given {
        let program = std::iter::once(OsString::from("sharedanced"));
        Given {
            arguments: program.chain(arguments.into_iter().map(Into::into)).collect(),
            variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }

    /// The configuration file that is named on the command line or in the environment.
    pub(super) fn path(&self, command: &Command) -> Option<PathBuf> {
        // Errors are reported once the file is read, because it may complete what is missing on the command line.
        let matches = command.clone().ignore_errors(true).try_get_matches_from(&self.arguments).ok()?;
        let path = matches.get_one::<PathBuf>("config").cloned();
        let name = environment::variable("config");
        let variable = || self.variables.iter().find(|(found, value)| *found == *name && !value.is_empty());
        path.or_else(|| variable().map(|(_, value)| PathBuf::from(value)))
    }

    pub(super) fn read_file(&self, command: &Command) -> Result<Option<ConfigurationFile>, ConfigurationError> {
        let Some(path) = self.path(command) else {
            return Ok(None);
        };
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(MAX_LEN + 1).read_to_string(&mut text));
        match read {
            Err(error) => Err(unreadable(&path, &error.to_string())),
            Ok(len) if len as u64 > MAX_LEN => Err(unreadable(&path, "it is too large to be one")),
            Ok(_) => Ok(Some(ConfigurationFile { path, text })),
        }
    }
}

fn unreadable(path: &Path, error: &str) -> ConfigurationError {
    ConfigurationError::Refused(vec![format!("cannot read the configuration file {}: {error}", path.display())])
}
