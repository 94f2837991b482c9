//! Options in the environment: `SHAREDANCE_MAX_BYTES` is `--max-bytes`.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use super::setting::{Setting, Source, configurable};

const PREFIX: &str = "SHAREDANCE_";

/// The name of the variable that sets an option.
pub(super) fn variable(option: &str) -> String {
    format!("{PREFIX}{}", option.to_uppercase().replace('-', "_"))
}

/// What `variables` set. An empty variable sets nothing. Other variables are ignored, also those of this prefix: the PHP
/// library has settings of that kind.
pub(super) fn settings(command: &Command, variables: &[(OsString, OsString)]) -> Vec<Setting> {
    let find = |name: &str| variables.iter().find(|(found, _)| found == name).map(|(_, value)| value);
    configurable(command)
        .filter_map(|(arg, option)| {
            let name = variable(option);
            let value = find(&name).filter(|value| !value.is_empty())?;
            let values = values(arg, value);
            Some(Setting { option: option.to_owned(), values, source: Source::Variable(name) })
        })
        .collect()
}

/// The variables with the prefix that set no option.
pub(super) fn ignored<'a>(
    command: &Command,
    variables: &'a [(OsString, OsString)],
) -> impl Iterator<Item = std::borrow::Cow<'a, str>> {
    let known: Vec<String> =
        configurable(command).map(|(_, option)| variable(option)).chain([variable("config")]).collect();
    let names = variables.iter().map(|(name, _)| name.to_string_lossy());
    names.filter(move |name| name.starts_with(PREFIX) && !known.iter().any(|known| known == name))
}

/// A variable for an option that can be repeated has several values, separated by blanks.
fn values(arg: &Arg, value: &OsString) -> Vec<OsString> {
    match (arg.get_action(), value.to_str()) {
        (ArgAction::Append, Some(list)) => list.split_whitespace().map(OsString::from).collect(),
        _ => vec![value.clone()],
    }
}
