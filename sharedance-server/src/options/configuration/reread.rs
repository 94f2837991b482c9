//! Reading the configuration file again, while a server runs with what it had at the start.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Command;

use super::given::{ConfigurationFile, Given};
use super::merged::{ConfigurationError, Merged};
use super::setting::configurable;
use crate::options::Options;

/// The values of all options, by their long names.
type Values = BTreeMap<String, Vec<OsString>>;

/// The configuration of a server that runs.
#[derive(Debug)]
pub struct RunningConfiguration {
    given: Given,
    path: PathBuf,
    started_with: Values,
}

impl RunningConfiguration {
    /// The configuration of a server that is about to start, if it has a file.
    ///
    /// # Errors
    /// As for [`Options::try_parse`].
    pub fn of(given: &Given) -> Result<Option<RunningConfiguration>, ConfigurationError> {
        let command = Options::command();
        let Some(file) = given.read_file(&command)? else {
            return Ok(None);
        };
        let merged = Merged::new(&command, given, Some(&file))?;
        let started_with = values(&command, &merged);
        Ok(Some(RunningConfiguration { given: given.clone(), path: file.path, started_with }))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the options with `text` as the content of the file, and the names of those whose values are others than at
    /// the start.
    ///
    /// # Errors
    /// As for [`Options::try_parse`].
    pub fn reread(&self, text: &[u8]) -> Result<(Options, Vec<String>), ConfigurationError> {
        let text = String::from_utf8(text.to_vec())
            .map_err(|_| ConfigurationError::Refused(vec![format!("{} is not UTF-8", self.path.display())]))?;
        let command = Options::command();
        let file = ConfigurationFile { path: self.path.clone(), text };
        let merged = Merged::new(&command, &self.given, Some(&file))?;
        let values = values(&command, &merged);
        let names = configurable(&command).map(|(_, option)| option);
        let changed = names.filter(|option| values.get(*option) != self.started_with.get(*option));
        let changed = changed.map(str::to_owned).collect();
        Ok((Options::from_merged(&merged)?, changed))
    }
}

fn values(command: &Command, merged: &Merged) -> Values {
    let raw = |id: &str| merged.matches.get_raw(id).into_iter().flatten().map(OsString::from).collect();
    configurable(command).map(|(arg, option)| (option.to_owned(), raw(arg.get_id().as_str()))).collect()
}
