//! What `--print-config` prints: a configuration file that sets what holds, with the source of each value.

use std::ffi::OsStr;
use std::fmt::Write;

use clap::{Arg, ArgAction, Command};

use super::Merged;
use super::setting::{Source, configurable};

const HEAD: &str = "\
# What holds. The comment behind a value names its source: a file and its line, an environment variable, the command line,
# or the default. This text can be used as a file for --config.
";

impl Merged {
    /// The configuration as a file. `derived` has the values that follow from other options, by the names of the options.
    pub(in super::super) fn to_toml(&self, command: &Command, derived: &[(&str, String)]) -> String {
        let mut lines = Vec::new();
        for (arg, option) in configurable(command) {
            let source = self.source(option);
            let values = self.matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
            let values: Vec<String> = values.map(|value| literal(arg, value)).collect();
            let value = match arg.get_action() {
                ArgAction::Append if !values.is_empty() => format!("[{}]", values.join(", ")),
                _ => values.concat(),
            };
            // An option may also be overridden by another one, of a stronger source.
            lines.push(if *source == Source::Default || values.is_empty() {
                // Commented out: options that exclude each other have defaults as well.
                let derived = derived.iter().find(|(name, _)| *name == option);
                let value = derived.map_or(value, |(_, value)| literal(arg, OsStr::new(value)));
                let line = format!("# {option} = {value}").trim_end().to_owned();
                (line, format!("{}{}", Source::Default, described_default(arg)))
            } else {
                (format!("{option} = {value}"), source.to_string())
            });
        }
        let width = lines.iter().map(|(line, _)| line.chars().count()).filter(|width| *width <= 50).max().unwrap_or(0);
        let mut text = HEAD.to_owned();
        for (line, source) in lines {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{line:width$}  # {source}");
        }
        text
    }
}

/// What the help states as the default of an option that has none of its own.
fn described_default(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let described = help.split_once("[default: ").and_then(|(_, rest)| rest.split(']').next());
    described.map(|described| format!(": {described}")).unwrap_or_default()
}

fn literal(arg: &Arg, value: &OsStr) -> String {
    let text = value.to_string_lossy();
    let is_flag = arg.get_possible_values().iter().any(|value| value.get_name() == "true");
    let is_number = text.parse::<i64>().is_ok_and(|number| number.to_string() == text);
    if is_number || is_flag && ["true", "false"].contains(&&*text) { text.into_owned() } else { quoted(&text) }
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            char if char.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(char));
            }
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}
