//! The files in `packaging/` and the documents, compared with the options that the server has.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ArgAction;
use sharedance_server::options::Options;
use sharedance_test_support::server::program;

/// Set to write the configuration file instead of comparing it.
const WRITE: &str = "SHAREDANCE_WRITE_CONFIGURATION";

/// The options that are not part of a configuration.
const OTHERS: [&str; 5] = ["config", "check-config", "print-config", "help", "version"];

const WIDTH: usize = 100;

const HEAD: &str = "\
# Options of sharedanced. Install this file as /etc/sharedance/sharedanced.toml.
#
# Each option shows its default or, in capitals, the kind of its value. The environment takes
# precedence over this file (SHAREDANCED_MAX_BYTES for max-bytes), and the command line over both.
#
# sharedanced --config=/etc/sharedance/sharedanced.toml --check-config   checks this file
# systemctl reload sharedanced   applies log-level and debug, and reads the files again that are
#                                named here; other changes need a restart
#
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns the file with all options, commented out.
fn configuration() -> String {
    let command = Options::command();
    let mut text = HEAD.to_owned();
    for line in command.get_after_help().map(ToString::to_string).unwrap_or_default().lines() {
        text.push_str(&wrapped(line));
    }
    for arg in command.get_arguments() {
        let Some(option) = arg.get_long().filter(|option| !OTHERS.contains(option)) else {
            continue;
        };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let possible = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect::<Vec<_>>();
        let default = arg.get_default_values().first().map(|value| value.to_string_lossy().into_owned());
        text.push('\n');
        text.push_str(&wrapped(&help));
        if !possible.is_empty() && !arg.is_hide_possible_values_set() {
            text.push_str(&wrapped(&format!("One of: {}", possible.join(", "))));
        }
        let kind = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
        let value = default.or(kind).unwrap_or_default();
        let is_bare = value.parse::<i64>().is_ok() || value == "false";
        let value = if is_bare { value } else { format!("\"{value}\"") };
        let value = if matches!(arg.get_action(), ArgAction::Append) { format!("[{value}]") } else { value };
        writeln!(text, "#{option} = {value}").unwrap();
    }
    text
}

/// Returns the text as lines of a comment.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}

#[test]
fn the_packaged_configuration_has_every_option_with_its_default() {
    let path = root().join("packaging/sharedanced.toml");
    let expected = configuration();
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let line = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
    assert!(
        expected == found,
        "{} differs from the options at {line:?}; write it with: {WRITE}=1 cargo test -p sharedance-server --test \
         operations packaged",
        path.display()
    );
}

/// A line of the file that shows a default must be valid without its comment sign.
#[test]
fn the_defaults_in_the_packaged_configuration_are_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sharedanced.toml");
    let is_kind = |line: &str| line.contains('"') && line.chars().filter(|c| c.is_alphabetic()).any(char::is_uppercase);
    let is_setting = |line: &str| line.strip_prefix('#').is_some_and(|line| line.starts_with(char::is_alphabetic));
    let shown = configuration();
    let settings = shown
        .lines()
        .filter(|line| is_setting(line) && (line.contains("KiB") || line.contains("MiB") || !is_kind(line)));
    let mut checked = 0;
    for line in settings {
        fs::write(&path, line.trim_start_matches('#')).unwrap();
        let output = Command::new(program()).arg("--check-config").arg("--config").arg(&path).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        checked += 1;
    }
    assert!(checked > 10, "{checked}");
}

#[test]
fn the_documents_have_every_option() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let documents = read("README.md") + &read("OPERATIONS.md");
    let command = Options::command();
    for option in command.get_arguments().filter_map(|arg| arg.get_long()).filter(|option| *option != "version") {
        assert!(documents.contains(&format!("`--{option}")), "--{option} is in neither README.md nor OPERATIONS.md");
    }
}

#[test]
fn the_two_units_differ_in_names_only() {
    let read = |name: &str| fs::read_to_string(root().join("packaging").join(name)).unwrap();
    let settings = |unit: String| -> Vec<String> {
        let lines = unit.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(|line| line.replace("/%i.toml", "/sharedanced.toml").replace("-%i", "").replace(" %i", "")).collect()
    };
    assert_eq!(settings(read("sharedanced@.service")), settings(read("sharedanced.service")));
}

/// Checks the units with the systemd that is installed, if there is one.
#[test]
fn systemd_accepts_the_units() {
    let place = tempfile::tempdir().unwrap();
    for (unit, instance) in
        [("sharedanced.service", "sharedanced.service"), ("sharedanced@.service", "sharedanced@sessions.service")]
    {
        let content = fs::read_to_string(root().join("packaging").join(unit)).unwrap();
        // The program must exist where the unit names it.
        let content = content.replace("/usr/bin/sharedanced", program().to_str().unwrap());
        let path = place.path().join(instance);
        fs::write(&path, content).unwrap();
        let Ok(output) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output() else {
            eprintln!("skipped: systemd-analyze is missing");
            return;
        };
        let messages = String::from_utf8(output.stderr).unwrap();
        let about_the_unit = |line: &&str| line.contains(instance) && !line.contains("notify-reload");
        let unexpected: Vec<&str> = messages.lines().filter(about_the_unit).collect();
        assert!(output.status.success() && unexpected.is_empty(), "{messages}");
    }
}
