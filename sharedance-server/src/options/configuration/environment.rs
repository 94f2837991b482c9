//! Options in the environment: `SHAREDANCED_MAX_BYTES` is `--max-bytes`.

use std::borrow::Cow;
use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use super::setting::{Setting, Source, configurable};

/// The name of the program, with its last letter: the settings of the PHP library begin with `SHAREDANCE_`, and Kubernetes
/// sets `SHAREDANCE_PORT` for a service that is named sharedance.
const PREFIX: &str = "SHAREDANCED_";

/// How the values begin that Kubernetes sets for a service that is named sharedanced. No option has such a value.
const SERVICE_LINK: &str = "tcp://";

/// The name of the variable that sets an option.
pub(super) fn variable(option: &str) -> String {
    format!("{PREFIX}{}", option.to_uppercase().replace('-', "_"))
}

/// What `variables` set. An empty variable sets nothing, and neither does one that Kubernetes has set. Others are ignored.
pub(super) fn settings(command: &Command, variables: &[(OsString, OsString)]) -> Vec<Setting> {
    let find = |name: &str| variables.iter().find(|(found, _)| found == name).map(|(_, value)| value);
    configurable(command)
        .filter_map(|(arg, option)| {
            let name = variable(option);
            let value = find(&name).filter(|value| !value.is_empty() && !is_service_link(value))?;
            let values = values(arg, value);
            Some(Setting { option: option.to_owned(), values, source: Source::Variable(name) })
        })
        .collect()
}

fn is_service_link(value: &OsString) -> bool {
    value.to_string_lossy().starts_with(SERVICE_LINK)
}

/// The variables with the prefix that set no option.
pub(super) fn ignored<'a>(
    command: &Command,
    variables: &'a [(OsString, OsString)],
) -> impl Iterator<Item = Cow<'a, str>> {
    let known: Vec<String> =
        configurable(command).map(|(_, option)| variable(option)).chain([variable("config")]).collect();
    let is_ignored = move |name: &str, value| !known.iter().any(|known| known == name) || is_service_link(value);
    let named = variables.iter().map(|(name, value)| (name.to_string_lossy(), value));
    named.filter(move |(name, value)| name.starts_with(PREFIX) && is_ignored(name, value)).map(|(name, _)| name)
}

/// A variable for an option that can be repeated has several values, separated by blanks.
fn values(arg: &Arg, value: &OsString) -> Vec<OsString> {
    match (arg.get_action(), value.to_str()) {
        (ArgAction::Append, Some(list)) => list.split_whitespace().map(OsString::from).collect(),
        _ => vec![value.clone()],
    }
}
