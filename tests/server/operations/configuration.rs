//! Options from a file, the environment and the command line.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sharedance_test_support::server::{Server, program};
use tempfile::TempDir;

/// Returns a command without the variables of the caller.
fn sharedanced(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SHAREDANCED_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

fn file(content: &str) -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sharedanced.toml");
    fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Returns the lines on standard error of a start that is refused as a mistake in the options is.
fn refused(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned).collect()
}

/// Returns the value and the source of `option` in the output of `--print-config`.
fn value<'a>(printed: &'a str, option: &str) -> (&'a str, &'a str) {
    let uncommented = |line: &'a str| line.strip_prefix("# ").unwrap_or(line);
    let line = printed.lines().find_map(|line| uncommented(line).strip_prefix(option)?.strip_prefix(" = "));
    let (value, source) = line.unwrap_or_else(|| panic!("no {option} in {printed}")).split_once('#').unwrap();
    (value.trim(), source.trim())
}

#[test]
fn the_environment_is_stronger_than_the_file_and_the_command_line_than_both() {
    let (_directory, path) = file("port = 1\nbacklog = 2\nreadsize = '3k'\ndebug = true\n\nmax-bytes = '1G'\n");
    let config = format!("--config={path}");
    let mut command = sharedanced(&[&config, "--readsize=5k", "--debug=false", "--print-config"]);
    command.env("SHAREDANCED_BACKLOG", "4").env("SHAREDANCED_READSIZE", "4k").env("SHAREDANCED_MAX_BYTES", "");
    let printed = printed(&command.output().unwrap());
    assert_eq!(value(&printed, "port"), ("1", &*format!("{path}:1")));
    assert_eq!(value(&printed, "backlog"), ("4", "SHAREDANCED_BACKLOG"));
    assert_eq!(value(&printed, "readsize"), ("\"5k\"", "command line"));
    assert_eq!(value(&printed, "debug"), ("false", "command line"));
    assert_eq!(value(&printed, "max-bytes"), ("\"1G\"", &*format!("{path}:6")));
    assert_eq!(value(&printed, "timeout"), ("\"1m\"", "default"));
}

/// The level in a file was taken instead of --debug on the command line.
#[test]
fn debug_and_the_log_level_override_each_other_by_the_strength_of_their_sources() {
    let (_directory, path) = file("log-level = 'warn'");
    let config = format!("--config={path}");
    let level = |arguments: &[&str], variable: (&str, &str)| {
        let arguments = [&["--print-config", &config], arguments].concat();
        let printed = printed(&sharedanced(&arguments).env(variable.0, variable.1).output().unwrap());
        (value(&printed, "debug").0 == "true", printed.contains("\nlog-level = \"warn\""))
    };
    assert_eq!(level(&[], ("SHAREDANCED_DEBUG", "")), (false, true));
    assert_eq!(level(&["-D"], ("SHAREDANCED_DEBUG", "")), (true, false));
    assert_eq!(level(&[], ("SHAREDANCED_DEBUG", "yes")), (true, false));
    assert_eq!(level(&["--log-level=warn"], ("SHAREDANCED_DEBUG", "yes")), (false, true));
}

#[test]
fn the_printed_configuration_is_a_file_that_means_the_same() {
    let (_directory, path) = file("directory = '/a \"b\" \\c'\nuid = '17'\ndaemonize = true\ntimeout = '90s'");
    let first = printed(&sharedanced(&["--config", &path, "-D", "--print-config"]).output().unwrap());
    let (_directory, path) = file(&first);
    let second = printed(&sharedanced(&["--config", &path, "--print-config"]).output().unwrap());
    let values = |printed: &str| -> Vec<String> {
        let lines = printed.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split("  # ").next().unwrap().trim().to_owned()).collect()
    };
    assert_eq!(values(&first), values(&second));
    assert!(values(&first).contains(&r#"directory = "/a \"b\" \\c""#.to_owned()), "{first}");
    assert_eq!(values(&first).len(), 5, "{first}");
    assert!(values(&first).contains(&r#"uid = 17"#.to_owned()), "{first}");
}

/// The source of the name of the file may be a variable as well, and a server starts with it.
#[test]
fn a_server_starts_with_a_file_that_is_named_by_a_variable() {
    let store = tempfile::tempdir().unwrap();
    let directory = store.path().to_str().unwrap();
    let (_directory, path) =
        file(&format!("ip = '127.0.0.1'\nport = 0\ndirectory = '{directory}'\nmax-bytes = '7MiB'"));
    let server = Server::spawn(sharedanced(&[]).env("SHAREDANCED_CONFIG", path)).unwrap();
    let log = server.log();
    assert!(log.iter().any(|line| line.contains("at most 7 MiB of files")), "{log:?}");
    assert!(Path::new(directory).join("store.meta").exists());
}

/// The default of --port was printed as if it had been set, which contradicts --listen.
#[test]
fn the_printed_configuration_sets_no_other_options() {
    let (_directory, path) = file("listen = ['tcp:127.0.0.1:0', 'tcp:[::1]:0,admin']");
    let printed = printed(&sharedanced(&["--config", &path, "--print-config"]).output().unwrap());
    assert_eq!(value(&printed, "listen").0, r#"["tcp:127.0.0.1:0", "tcp:[::1]:0,admin"]"#);
    let (_directory, path) = file(&printed);
    assert!(sharedanced(&["--config", &path, "--check-config"]).output().unwrap().status.success(), "{printed}");
}

#[test]
fn each_mistake_in_a_file_is_reported_with_its_line_and_the_nearest_name() {
    let (_directory, path) = file(
        "# a comment\nport = 65536\nmax_bytes = '1G'\nmax-bites = 1\nwhen-full = 'maybe'\nmax-bytes = '1000k'\n\
         timeout = ['1s']\nconfig = 'other'\nexpiration = 2001-01-01\n[server]\nthreads = 1",
    );
    let lines = refused(&mut sharedanced(&["--check-config", "--config", &path]));
    let expected = [
        (2, "--port"),
        (3, "did you mean max-bytes?"),
        (4, "did you mean max-bytes?"),
        (5, "[possible values: refuse, evict]"),
        (6, "1000 KiB (1024000 bytes) is out of range: give at least 2 MiB (2097152 bytes)"),
        (7, "not a list"),
        (8, "not for a file"),
        (9, "not a date"),
        (10, "no option server"),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, (number, part)) in lines.iter().zip(expected) {
        assert!(line.starts_with(&format!("sharedanced: error: {path}:{number}: ")), "{line}");
        assert!(line.contains(part), "no {part} in {line}");
    }
}

#[test]
fn a_file_that_is_no_toml_or_cannot_be_read_is_refused() {
    let (directory, path) = file("port = 1\nbacklog =\n");
    let lines = refused(&mut sharedanced(&["--config", &path]));
    assert!(lines[0].contains(&format!("{path}:2: ")), "{lines:?}");
    let lines = refused(&mut sharedanced(&["--config=/dev/zero"]));
    assert!(lines[0].contains("too large") && lines[0].contains("/dev/zero"), "{lines:?}");
    let missing = directory.path().join("missing");
    let lines = refused(sharedanced(&[]).arg("--config").arg(&missing));
    assert!(lines[0].contains("cannot read the configuration file") && lines[0].contains("missing"), "{lines:?}");
}

#[test]
fn a_mistake_in_a_variable_or_between_two_sources_names_the_sources() {
    let lines = refused(sharedanced(&[]).env("SHAREDANCED_TIMEOUT", "soon"));
    assert!(lines[0].contains("SHAREDANCED_TIMEOUT: invalid value 'soon' for '--timeout <TIME>'"), "{lines:?}");
    let (_directory, path) = file("maxreadsize = '1G'");
    let lines = refused(&mut sharedanced(&["--config", &path, "--inflight=1M"]));
    assert!(lines[0].contains("raise --inflight, or lower --maxreadsize"), "{lines:?}");
    assert!(lines[0].ends_with(&format!("(--maxreadsize is from {path}:1)")), "{lines:?}");
}

/// The error stated bytes and the name of a field.
#[test]
fn a_limit_that_is_too_small_for_the_store_is_refused_with_both_sizes() {
    let store = tempfile::tempdir().unwrap();
    let arguments = ["--ip=127.0.0.1", "--port=0", "--directory", store.path().to_str().unwrap()];
    let server = Server::spawn(&mut sharedanced(&[&arguments[..], &["--max-bytes=1G"]].concat())).unwrap();
    assert!(server.terminate().0.success());
    let failure = Server::spawn(&mut sharedanced(&[&arguments[..], &["--max-bytes=3m"]].concat())).err().unwrap();
    assert!(failure.log.contains("--max-bytes=3 MiB is too small"), "{failure:?}");
    assert!(failure.log.contains("segments of 8 MiB") && failure.log.contains("at least 64 MiB"), "{failure:?}");
}

#[test]
fn options_that_need_each_other_can_come_from_different_sources() {
    let (_directory, path) = file("tls-cert = '/a'");
    let config = format!("--config={path}");
    assert!(sharedanced(&["--check-config", &config, "--tls-key=/b"]).output().unwrap().status.success());
    let lines = refused(&mut sharedanced(&["--check-config", &config]));
    assert!(
        lines[0].contains("--tls-key") && lines[0].ends_with(&format!("(--tls-cert is from {path}:1)")),
        "{lines:?}"
    );
}

#[test]
fn a_check_reports_variables_that_are_no_options() {
    let mut command = sharedanced(&["--check-config"]);
    let output = command.env("SHAREDANCED_MAX_BYTE", "1G").env("SHAREDANCED_PORT", "7").output().unwrap();
    let printed = printed(&output);
    let lines: Vec<&str> = printed.lines().collect();
    let expected = "SHAREDANCED_MAX_BYTE is ignored: it is not an option of the server";
    assert_eq!(lines, [expected, "the configuration is valid"]);
}

/// The PHP library has variables of the prefix without the D, and Kubernetes sets some for each service.
#[test]
fn variables_of_other_programs_do_not_change_the_options() {
    let mut command = sharedanced(&["--print-config"]);
    for (name, value) in [
        ("SHAREDANCE_PORT", "17"),
        ("SHAREDANCE_TIMEOUT", "17"),
        ("SHAREDANCED_PORT", "tcp://10.0.0.1:1042"),
        ("SHAREDANCED_SERVICE_HOST", "10.0.0.1"),
    ] {
        command.env(name, value);
    }
    let printed = printed(&command.output().unwrap());
    assert_eq!(value(&printed, "port"), ("1042", "default"));
    assert_eq!(value(&printed, "timeout"), ("\"1m\"", "default"));
}

#[test]
fn short_options_can_be_joined_and_help_needs_no_valid_configuration() {
    let output = sharedanced(&["-DB", "--print-config"]).output().unwrap();
    let printed = printed(&output);
    assert_eq!((value(&printed, "debug").0, value(&printed, "daemonize").0), ("true", "true"));
    assert!(sharedanced(&["--config=/no/such/file", "--help"]).output().unwrap().status.success());
}
