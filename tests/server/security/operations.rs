//! Every request of every dialect, and what it does.

use super::rights::Class::{self, Clear, Free, Lock, Read, Settings, Statistics, Write};

/// The limit on requests of the servers.
pub(crate) const LIMIT: usize = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Classic,
    Text,
    Binary,
}

/// Returns the request for a key.
type Request = Box<dyn Fn(&str) -> Vec<u8>>;

/// A request.
pub(crate) struct Operation {
    /// The command in words, for messages.
    pub(crate) name: String,
    pub(crate) class: Class,
    /// The request, for a key.
    pub(crate) request: Request,
    /// The client asks for no response.
    pub(crate) is_silent: bool,
    /// The connection ends.
    pub(crate) is_last: bool,
    /// Before credentials were sent, the text dialect takes this for them.
    pub(crate) is_plain_set: bool,
    /// Such a set, or an `ms`, of more than the limit.
    pub(crate) is_too_large_set: bool,
    /// The opcode of the binary dialect.
    pub(crate) opcode: u8,
}

/// The commands of the text dialect. `{k}` is the key, `{b}` the key in base64, `{v}` a value that is too large.
const TEXT: &[(Class, &[&str])] = &[
    (Read, &["get {k}", "gets {k}", "get {k} {k}", "gets {k} {k} {k}"]),
    (
        Read,
        &[
            "mg {k}",
            "mg {k} v",
            "mg {k} v s t f h q k Oabc",
            "mg {k} u v",
            "mg {k} v C100",
            "mg {k} v C5",
            "mg {k} H v",
        ],
    ),
    (Read, &["mg {b} b v k", "me {k}", "me {b} b"]),
    (Write, &["set {k} 1 0 3\r\nabc", "set {k} 1 100 0\r\n", "set {k} 1 -1 3\r\nabc", "set {k} 0 0 30000\r\n{v}"]),
    (
        Write,
        &["add {k} 1 0 3\r\nabc", "replace {k} 1 0 3\r\nabc", "append {k} 1 0 3\r\nabc", "prepend {k} 1 0 3\r\nabc"],
    ),
    (Write, &["add {k} 0 0 30000\r\n{v}", "cas {k} 1 0 3 100\r\nabc", "cas {k} 1 0 3 5\r\nabc"]),
    (Write, &["delete {k}", "delete {k} 0", "incr {k} 5", "decr {k} 5", "touch {k} 100", "touch {k} -1"]),
    (Write, &["gat 100 {k}", "gats 100 {k}", "gat -1 {k} {k}"]),
    (Write, &["mg {k} T100 v", "mg {k} N100 v", "mg {k} R100 v", "mg {b} b T-1 v", "mg {k} T100 q", "mg {k} H T100"]),
    (
        Write,
        &[
            "ms {k} 3\r\nabc",
            "ms {k} 3 T100 q\r\nabc",
            "ms {k} 3 I C5\r\nabc",
            "ms {k} 3 MA\r\nabc",
            "ms {k} 3 MP\r\nabc",
        ],
    ),
    (Write, &["ms {k} 3 ME\r\nabc", "ms {k} 3 MR\r\nabc", "ms {k} 3 MA N100\r\nabc", "ms {b} 3 b k Oabc\r\nabc"]),
    (Write, &["ms {k} 30000\r\n{v}", "ms {k} 30000 q\r\n{v}", "ms {k} 3 H\r\nabc"]),
    (
        Write,
        &[
            "md {k}",
            "md {k} q",
            "md {k} I",
            "md {k} I T100",
            "md {k} x",
            "md {k} C5",
            "md {k} C100",
            "md {b} b k",
            "md {k} H",
        ],
    ),
    (
        Write,
        &[
            "ma {k}",
            "ma {k} v",
            "ma {k} MD D3 v",
            "ma {k} N100 J5 v",
            "ma {k} q",
            "ma {b} b v k",
            "ma {k} T100 t v",
            "ma {k} H",
        ],
    ),
    (Lock, &["lock {k} 0 5", "unlock {k}"]),
    (Clear, &["flush_all", "flush_all 0", "flush_all 1000000"]),
    (Statistics, &["stats"]),
    (Settings, &["stats settings", "stats latency", "stats slow", "stats reset"]),
    // These have no content.
    (Free, &["stats items", "stats slabs", "stats conns", "stats sizes"]),
    (Free, &["version", "verbosity 1", "mn", "unlock_all", "unlock_all request-7", "quit"]),
    // Refused with or without credentials.
    (Free, &["stats cachedump 1 1", "stats unknown", "unknown {k}", "incr {k} abc", "get", "mg {k} Z", "shutdown"]),
    (Free, &["cache_memlimit 100", "lru_crawler metadump all", "slabs automove 1", "watch fetchers", "incr {k}"]),
];

/// The commands that can be sent with `noreply`.
const WITH_NOREPLY: &[&str] =
    &["set", "add", "replace", "append", "prepend", "cas", "delete", "incr", "decr", "touch", "flush_all", "verbosity"];

pub(crate) fn operations(dialect: Dialect) -> Vec<Operation> {
    match dialect {
        Dialect::Classic => classic(),
        Dialect::Text => text(),
        Dialect::Binary => (0..=u8::MAX).flat_map(binary).collect(),
    }
}

fn text() -> Vec<Operation> {
    let mut operations = Vec::new();
    for (class, commands) in TEXT {
        for command in *commands {
            operations.push(text_operation(command, *class, false));
            let verb = command.split(' ').next().unwrap_or_default();
            if WITH_NOREPLY.contains(&verb) && *class != Free {
                let (line, block) =
                    command.split_once("\r\n").map_or((*command, None), |(line, block)| (line, Some(block)));
                let block = block.map_or(String::new(), |block| format!("\r\n{block}"));
                operations.push(text_operation(&format!("{line} noreply{block}"), *class, true));
            }
        }
    }
    operations
}

fn text_operation(command: &str, class: Class, is_silent: bool) -> Operation {
    let command = command.to_owned();
    Operation {
        name: command.escape_debug().to_string(),
        class,
        is_silent,
        is_last: command == "quit",
        is_plain_set: command.starts_with("set "),
        is_too_large_set: (command.starts_with("set ") || command.starts_with("ms ")) && command.contains(" 30000"),
        opcode: 0,
        request: Box::new(move |key| {
            let request = command.replace("{k}", key).replace("{b}", &base64(key)).replace("{v}", &"v".repeat(30_000));
            format!("{request}\r\n").into_bytes()
        }),
    }
}

/// The request of one opcode; several for those that take different forms.
fn binary(opcode: u8) -> Vec<Operation> {
    let (flags_and_exptime, exptime) = ([0, 0, 0, 1, 0, 0, 0, 100], [0, 0, 0, 100]);
    let count = [0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100];
    let operation = |class, extras: &[u8], with_key, value: &[u8]| {
        let (extras, value) = (extras.to_vec(), value.to_vec());
        Operation {
            name: format!("opcode {opcode:02x}, {} bytes of value", value.len()),
            class,
            is_silent: false,
            is_last: matches!(opcode, 0x07 | 0x17),
            is_plain_set: false,
            is_too_large_set: false,
            opcode,
            request: Box::new(move |key| frame(opcode, &extras, if with_key { key.as_bytes() } else { b"" }, &value)),
        }
    };
    let large = [b'v'; 30_000];
    match opcode {
        0x00 | 0x09 | 0x0c | 0x0d => vec![operation(Read, &[], true, b"")],
        0x01..=0x03 | 0x11..=0x13 => {
            vec![operation(Write, &flags_and_exptime, true, b"abc"), operation(Write, &flags_and_exptime, true, &large)]
        }
        0x04 | 0x14 => vec![operation(Write, &[], true, b"")],
        0x05 | 0x06 | 0x15 | 0x16 => vec![operation(Write, &count, true, b"")],
        0x07 | 0x17 | 0x0a | 0x0b => vec![operation(Free, &[], false, b"")],
        0x08 | 0x18 => vec![operation(Clear, &[], false, b""), operation(Clear, &[0, 15, 0, 0], false, b"")],
        0x0e | 0x0f | 0x19 | 0x1a => vec![operation(Write, &[], true, b"abc"), operation(Write, &[], true, &large)],
        0x10 => {
            let topic = |class, topic: &'static str| {
                let request = Box::new(move |_: &str| frame(0x10, b"", topic.as_bytes(), b""));
                Operation { name: format!("statistics {topic}"), request, ..operation(class, &[], false, b"") }
            };
            vec![
                topic(Statistics, ""),
                topic(Settings, "settings"),
                topic(Settings, "latency"),
                topic(Settings, "slow"),
                topic(Settings, "reset"),
                topic(Free, "items"),
                topic(Free, "unknown"),
            ]
        }
        0x1c..=0x1e | 0x23 | 0x24 => vec![operation(Write, &exptime, true, b"")],
        // Credentials have tests of their own.
        0x20..=0x22 => Vec::new(),
        // Some of those that there are not.
        0x1b | 0x1f | 0x25..=0x2f | 0x40 | 0x7f | 0x80 | 0xff => vec![operation(Free, &[], true, b"abc")],
        _ => Vec::new(),
    }
}

/// A frame of a request.
pub(crate) fn frame(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80, opcode];
    frame.extend_from_slice(&(key.len() as u16).to_be_bytes());
    frame.extend_from_slice(&[extras.len() as u8, 0, 0, 0]);
    frame.extend_from_slice(&((extras.len() + key.len() + value.len()) as u32).to_be_bytes());
    frame.extend_from_slice(&[0xab, 0xcd, 0xef, opcode]);
    frame.extend_from_slice(&[0; 8]);
    [&frame[..], extras, key, value].concat()
}

/// The response to a request, without a version, with this status and text.
pub(crate) fn response(opcode: u8, status: u16, text: &str) -> Vec<u8> {
    let mut response = vec![0x81, opcode, 0, 0, 0, 0];
    response.extend_from_slice(&status.to_be_bytes());
    response.extend_from_slice(&(text.len() as u32).to_be_bytes());
    response.extend_from_slice(&[0xab, 0xcd, 0xef, opcode]);
    response.extend_from_slice(&[0; 8]);
    [&response[..], text.as_bytes()].concat()
}

fn classic() -> Vec<Operation> {
    let operation = |name: &str, class, request: Request| Operation {
        name: name.to_owned(),
        class,
        request,
        is_silent: false,
        is_last: true,
        is_plain_set: false,
        is_too_large_set: false,
        opcode: 0,
    };
    use sharedance_test_support::server::{delete, fetch, store};
    vec![
        operation("fetch", Read, Box::new(|key| fetch(key.as_bytes()))),
        operation("store", Write, Box::new(|key| store(key.as_bytes(), b"abc"))),
        operation("delete", Write, Box::new(|key| delete(key.as_bytes()))),
    ]
}

fn base64(key: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in key.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= chunk.len() { DIGITS[value as usize] as char } else { '=' });
        }
    }
    text
}

/// A command that is added to the protocol must be added here.
#[test]
fn every_command_of_the_protocol_is_in_the_matrix() {
    let protocol = include_str!("../../../sharedance-core/PROTOCOL.md");
    let ours: Vec<&str> = TEXT.iter().flat_map(|(_, commands)| *commands).filter_map(|c| c.split(' ').next()).collect();
    let mut found = 0;
    let tables = protocol
        .split("\n## ")
        .filter(|part| part.starts_with("The text dialect") || part.starts_with("Meta commands"));
    for row in tables.flat_map(str::lines).filter(|line| line.starts_with("| `")) {
        let first_cell = row.split(" | ").next().unwrap_or_default();
        for command in first_cell.split('`').skip(1).step_by(2) {
            if command.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                && command.len() > 1
                && command != "noreply"
            {
                assert!(ours.contains(&command), "{command} is in no test");
                found += 1;
            }
        }
    }
    assert!(found > 25, "the tables were not found: {found}");
}
