//! The configuration file: TOML, with the long names of the options as keys. An option that can be repeated takes a list.

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue};
use clap::{ArgAction, Command};
use toml::de::{DeTable, DeValue};

use super::setting::{Setting, Source, configurable, is_part_of_a_configuration};

/// Reads the settings in `text`, the content of the file at `path`, in the order of their lines. Adds what is wrong with
/// the others to `errors`.
pub(super) fn settings(command: &Command, path: &Path, text: &str, errors: &mut Vec<(Source, String)>) -> Vec<Setting> {
    let at = |offset: usize| Source::File { path: path.to_owned(), line: line(text, offset) };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let source = at(error.span().map_or(0, |span| span.start));
            errors.push((source, error.message().to_owned()));
            return Vec::new();
        }
    };
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut settings = Vec::new();
    for (key, value) in entries {
        let (option, source) = (key.get_ref(), at(key.span().start));
        match values(command, option, value.get_ref()) {
            Ok(values) => settings.push(Setting { option: option.clone().into_owned(), values, source }),
            Err(error) => errors.push((source, error)),
        }
    }
    settings
}

/// The number of the line at `offset`, from 1.
fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

fn values(command: &Command, option: &str, value: &DeValue<'_>) -> Result<Vec<OsString>, String> {
    let Some((arg, _)) = configurable(command).find(|(_, long)| *long == option) else {
        return Err(unknown(command, option));
    };
    match value {
        DeValue::Array(list) => match arg.get_action() {
            ArgAction::Append => list.iter().map(|value| scalar(option, value.get_ref())).collect(),
            _ => Err(format!("{option} takes one value, and not a list")),
        },
        value => Ok(vec![scalar(option, value)?]),
    }
}

/// The value as it would be given on the command line.
fn scalar(option: &str, value: &DeValue<'_>) -> Result<OsString, String> {
    match value {
        DeValue::String(text) => Ok(OsString::from(&**text)),
        DeValue::Boolean(flag) => Ok(OsString::from(flag.to_string())),
        // A number in another base is refused by the parser of the option.
        DeValue::Integer(number) => Ok(OsString::from(number.to_string())),
        DeValue::Float(number) => Ok(OsString::from(number.to_string())),
        _ => Err(format!("{option} takes a text, a number, true or false, and not a date or a table")),
    }
}

fn unknown(command: &Command, option: &str) -> String {
    if command.get_arguments().any(|arg| arg.get_long() == Some(option)) && !is_part_of_a_configuration(option) {
        return format!("{option} is for the command line, and not for a file");
    }
    match similar(command, option) {
        Some(similar) => format!("there is no option {option}; did you mean {similar}?"),
        None => format!("there is no option {option}; `sharedanced --help` lists them"),
    }
}

/// The option whose name is the most similar one, as clap suggests it for the command line.
fn similar(command: &Command, option: &str) -> Option<String> {
    let option = option.replace('_', "-").to_lowercase();
    if configurable(command).any(|(_, long)| long == option) {
        return Some(option);
    }
    let error = command.clone().try_get_matches_from(["sharedanced".to_owned(), format!("--{option}")]).err()?;
    match error.get(ContextKind::SuggestedArg)? {
        ContextValue::String(similar) => Some(similar.trim_start_matches('-').to_owned()),
        _ => None,
    }
    .filter(|similar| is_part_of_a_configuration(similar))
}
