//! The values of all sources, merged.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::process;

use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};
use thiserror::Error;

use super::given::{ConfigurationFile, Given};
use super::setting::{Setting, Source};
use super::{environment, file};

/// As clap's.
const USAGE_EXIT_CODE: i32 = 2;

/// Why a configuration is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// The command line is refused, or asks for help.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
    /// The file or the environment is refused. One text for each setting.
    #[error("{}", .0.join("; "))]
    Refused(Vec<String>),
}

impl ConfigurationError {
    /// Prints the error, or the help, and exits.
    pub fn exit(&self) -> ! {
        match self {
            ConfigurationError::CommandLine(error) => error.exit(),
            ConfigurationError::Refused(lines) => {
                for line in lines {
                    // A closed terminal is ignored.
                    let _ = writeln!(std::io::stderr(), "sharedanced: error: {line}");
                }
                process::exit(USAGE_EXIT_CODE)
            }
        }
    }
}

/// The values that hold.
#[derive(Debug)]
pub(in super::super) struct Merged {
    pub(in super::super) matches: ArgMatches,
    /// The sources of the options that are set, by long name. Others have their default.
    sources: BTreeMap<String, Source>,
    /// Variables with the prefix that set no option.
    pub(in super::super) ignored: Vec<String>,
}

impl Merged {
    /// Merges what was `given` and the file that it names.
    pub(in super::super) fn read(command: &Command, given: &Given) -> Result<Merged, ConfigurationError> {
        let file = given.read_file(command)?;
        Merged::new(command, given, file.as_ref())
    }

    /// Merges what was `given` and the content of a `file`.
    pub(super) fn new(
        command: &Command,
        given: &Given,
        file: Option<&ConfigurationFile>,
    ) -> Result<Merged, ConfigurationError> {
        let mut sources = given_on_the_command_line(command, given)?;
        let mut errors = Vec::new();
        let mut settings = environment::settings(command, &given.variables);
        if let Some(file) = file {
            settings.extend(file::settings(command, &file.path, &file.text, &mut errors).into_iter().rev());
        }
        let (program, arguments) = given.arguments.split_at(given.arguments.len().min(1));
        let mut merged = program.to_vec();
        for setting in settings {
            // Also if another source is stronger: a mistake must not wait until that is taken away.
            match as_arguments(command, &setting) {
                Ok(arguments) if !sources.contains_key(&setting.option) => {
                    // The weaker, the further in front: of two options that override each other, the later one holds.
                    merged.splice(program.len()..program.len(), arguments);
                    sources.insert(setting.option, setting.source);
                }
                Ok(_) => {}
                Err(error) => errors.push((setting.source, error)),
            }
        }
        if !errors.is_empty() {
            errors.sort_by_key(|(source, _)| match source {
                Source::File { line, .. } => *line,
                _ => 0,
            });
            let lines = errors.iter().map(|(source, error)| format!("{source}: {error}"));
            return Err(ConfigurationError::Refused(lines.collect()));
        }
        merged.extend_from_slice(arguments);
        let matches = command.clone().try_get_matches_from(merged).map_err(|error| named(error, &sources))?;
        let ignored = environment::ignored(command, &given.variables).map(|name| name.into_owned()).collect();
        Ok(Merged { matches, sources, ignored })
    }

    /// Where the value of an option comes from.
    pub(super) fn source(&self, option: &str) -> &Source {
        self.sources.get(option).unwrap_or(&Source::Default)
    }

    /// The same error, with the sources of the options that it names.
    pub(in super::super) fn named(&self, error: clap::Error) -> ConfigurationError {
        named(error, &self.sources)
    }
}

fn given_on_the_command_line(command: &Command, given: &Given) -> Result<BTreeMap<String, Source>, ConfigurationError> {
    // Only help and the version are errors here. After another mistake the arguments that follow it are missing, and the
    // mistake is reported once everything is merged.
    let matches = command.clone().ignore_errors(true).try_get_matches_from(&given.arguments)?;
    let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let options =
        command.get_arguments().filter(|arg| is_given(arg.get_id().as_str())).filter_map(|arg| arg.get_long());
    Ok(options.map(|option| (option.to_owned(), Source::CommandLine)).collect())
}

/// The setting as arguments of the command line, if its values are valid.
fn as_arguments(command: &Command, setting: &Setting) -> Result<Vec<OsString>, String> {
    let option = &setting.option;
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(option));
    let is_switch = arg.is_some_and(|arg| matches!(arg.get_action(), ArgAction::SetTrue));
    let mut arguments = Vec::new();
    for value in &setting.values {
        let mut argument = OsString::from(format!("--{option}"));
        if !is_switch {
            argument.push("=");
            argument.push(value);
        } else if !BoolishValueParser::new().parse_ref(command, arg, value).map_err(|error| brief(&error))? {
            continue;
        }
        arguments.push(argument);
    }
    let program = std::iter::once(OsString::from("sharedanced"));
    match command.clone().try_get_matches_from(program.chain(arguments.iter().cloned())) {
        // What an option requires of others is checked once everything is merged.
        Err(error) if !matches!(error.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict) => {
            Err(brief(&error))
        }
        _ => Ok(arguments),
    }
}

/// Clap's text on one line, without the advice to try `--help`.
fn brief(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let text = text.split("\n\nUsage:").next().unwrap_or(text);
    let text = text.split("\n\nFor more information").next().unwrap_or(text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn named(error: clap::Error, sources: &BTreeMap<String, Source>) -> ConfigurationError {
    if !error.use_stderr() {
        return ConfigurationError::CommandLine(error);
    }
    let text = brief(&error);
    // Only the usage names the option that requires the missing one.
    let names = match error.kind() {
        ErrorKind::MissingRequiredArgument => error.render().to_string(),
        _ => text.clone(),
    };
    let is_named = |option: &str| {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let name = format!("--{option}");
        names
            .match_indices(&name)
            .any(|(at, _)| !names.as_bytes().get(at + name.len()).is_some_and(|byte| is_name(*byte)))
    };
    let elsewhere = sources.iter().filter(|(option, source)| **source != Source::CommandLine && is_named(option));
    let elsewhere: Vec<String> = elsewhere.map(|(option, source)| format!("--{option} is from {source}")).collect();
    if elsewhere.is_empty() {
        return ConfigurationError::CommandLine(error);
    }
    ConfigurationError::Refused(vec![format!("{text} ({})", elsewhere.join(", "))])
}
