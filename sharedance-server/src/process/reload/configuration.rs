//! The configuration file as something that is reloaded.

use super::file::{FileError, ReloadableFile};
use super::reloads::{ReloadError, Reloadable};
use crate::options::RunningConfiguration;
use crate::process::logging::Logging;

/// The options that take effect without a restart.
const RELOADED: [&str; 2] = ["log-level", "debug"];

/// The configuration file of a server that runs. Reloading it checks all options and applies the level of the log. It
/// reports which other options have changed, and need a restart.
pub struct ReloadableConfiguration {
    configuration: RunningConfiguration,
    file: ReloadableFile,
    logging: Logging,
}

impl ReloadableConfiguration {
    /// Opens the way to the file of `configuration`. Called before the process gives up its rights.
    ///
    /// # Errors
    /// The file cannot be found.
    pub fn open(configuration: RunningConfiguration, logging: &Logging) -> Result<ReloadableConfiguration, FileError> {
        let file = ReloadableFile::open(configuration.path())?;
        Ok(ReloadableConfiguration { configuration, file, logging: logging.clone() })
    }
}

impl std::fmt::Debug for ReloadableConfiguration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReloadableConfiguration").field("configuration", &self.configuration).finish_non_exhaustive()
    }
}

impl Reloadable for ReloadableConfiguration {
    fn name(&self) -> String {
        format!("the configuration file {}", self.configuration.path().display())
    }

    fn files(&self) -> Vec<ReloadableFile> {
        vec![self.file.clone()]
    }

    fn reload(&self) -> Result<String, ReloadError> {
        let (options, changed) = self.configuration.reread(&self.file.read()?)?;
        self.logging.set_level(options.process.log_level);
        let changed = changed.iter().filter(|option| !RELOADED.contains(&option.as_str()));
        let changed: Vec<String> = changed.map(|option| format!("--{option}")).collect();
        let level = options.process.log_level.as_str().to_lowercase();
        Ok(match &*changed {
            [] => format!("the log level is {level}, and nothing needs a restart"),
            _ => format!("the log level is {level}; after a restart, changes of {} take effect", changed.join(", ")),
        })
    }
}
