//! Generates commands of the text dialect, most of them valid.

use crate::answers::Versions;
use crate::chance::Chance;
use crate::script::{Command, delta, exptime, key, number, number_key, pick, value, version};

pub(crate) fn command(chance: &mut Chance, versions: &Versions) -> Command {
    match chance.below(100) {
        0..30 => storage(chance, versions),
        30..55 => retrieval(chance),
        55..63 => count(chance),
        63..70 => touch(chance),
        70..78 => delete(chance),
        78..80 => whole(pick(chance, &["version", "verbosity 1", "verbosity", "verbosity 1 noreply", "verbosity a"])),
        80 => flush(chance),
        81..90 => mistaken(chance),
        _ => refused_storage(chance, versions),
    }
}

fn whole(line: &str) -> Command {
    let mut command = Command::default();
    command.push(line);
    command.push("\r\n");
    command
}

fn storage(chance: &mut Chance, versions: &Versions) -> Command {
    let mut command = Command::default();
    let verb = pick(chance, &["set", "set", "set", "add", "replace", "append", "prepend", "cas", "cas"]);
    let mut value = value(chance);
    command.push(verb);
    match chance.below(60) {
        // The version of a value that is set again unchanged differs.
        0 if verb == "set" => {
            command.word("empty");
            value.clear();
        }
        1 => {
            command.word(key(chance));
            value = vec![b'L'; 2 << 20];
        }
        2..12 if !verb.ends_with("pend") => {
            command.word(number_key(chance));
            value = number(chance);
        }
        _ => command.word(key(chance)),
    }
    command.word(flags(chance).to_string());
    command.word(exptime(chance).to_string());
    command.word(value.len().to_string());
    if verb == "cas" {
        command.push(" ");
        command.version(version(chance, versions));
    }
    let is_block_right = value.len() >= 1 << 20 || chance.percent(97);
    // sharedanced always reports a block without its end.
    if is_block_right && chance.percent(10) {
        command.word("noreply");
    }
    command.push(if chance.percent(90) { "\r\n" } else { "\n" });
    if !is_block_right {
        command.push(&value);
        command.push("xy");
        command.end_ours();
    } else {
        command.push(&value);
        command.push("\r\n");
    }
    command
}

fn flags(chance: &mut Chance) -> u32 {
    match chance.below(4) {
        0 => 0,
        1 => u32::MAX,
        _ => chance.next_u64() as u32,
    }
}

fn retrieval(chance: &mut Chance) -> Command {
    let mut command = Command::default();
    let verb = pick(chance, &["get", "get", "gets", "gets", "gat", "gats"]);
    if chance.percent(5) {
        command.push("  ");
    }
    command.push(verb);
    if verb.starts_with("gat") {
        command.word(if chance.percent(4) { "abc".into() } else { exptime(chance).to_string() });
    }
    if chance.percent(2) {
        // At the front, because memcached reads the pairs before it and discards their responses, including those of
        // other commands.
        command.word([b'K'; 251]);
        command.is_alone = true;
    }
    let keys = if chance.percent(3) { 1 + chance.below(60) } else { 1 + chance.below(4) };
    for _ in 0..keys {
        command.word(if chance.percent(20) { number_key(chance) } else { key(chance) });
    }
    command.push(pick(chance, &["\r\n", "\r\n", "\r\n", "\n", " \r\n", "  \n"]));
    command
}

fn count(chance: &mut Chance) -> Command {
    // Whether a shorter number is padded depends on responses that are not sent yet.
    let mut command = Command { is_alone: true, ..Command::default() };
    command.push(pick(chance, &["incr", "decr"]));
    command.word(if chance.percent(80) { number_key(chance) } else { key(chance) });
    command.word(delta(chance));
    if chance.percent(10) {
        command.word(pick(chance, &["noreply", "nonsense"]));
    }
    command.push("\r\n");
    command
}

fn touch(chance: &mut Chance) -> Command {
    let mut command = Command::default();
    command.push("touch");
    command.word(key(chance));
    command.word(if chance.percent(4) { "1x".into() } else { exptime(chance).to_string() });
    if chance.percent(10) {
        command.word("noreply");
    }
    command.push("\r\n");
    command
}

fn delete(chance: &mut Chance) -> Command {
    let mut command = Command::default();
    command.push("delete");
    command.word(key(chance));
    command
        .push(pick(chance, &["", "", "", "", " noreply", " 0", " 0 noreply", " 10", " 10 noreply", " 0 0", " a b c"]));
    command.push("\r\n");
    command
}

fn flush(chance: &mut Chance) -> Command {
    whole(pick(
        chance,
        &[
            "flush_all",
            "flush_all ",
            "flush_all 0",
            "flush_all noreply",
            "flush_all 0 noreply",
            "flush_all -1",
            "flush_all a",
            "flush_all 0 0 0",
        ],
    ))
}

/// Lines that are not commands, or are incomplete.
fn mistaken(chance: &mut Chance) -> Command {
    let mut command = Command::default();
    match chance.below(6) {
        0 => {
            let verb = pick(chance, &["get", "gets", "touch", "incr", "delete"]);
            command.push(verb);
            command.word([b'K'; 251]);
            if matches!(verb, "touch" | "incr") {
                command.word("10");
            }
            command.is_alone = true;
        }
        1 => command.push([b'x'; 1000]),
        _ => command.push(pick(
            chance,
            &[
                "",
                " ",
                "x",
                "GET key1",
                "Set key1 0 0 0",
                "get",
                "gets",
                "gat",
                "gats",
                "set",
                "set key1",
                "set key1 0 0",
                "set key1 0 0 1 noreply extra",
                "add key1 0 0",
                "cas key1 0 0 1",
                "cas",
                "replace",
                "append key1",
                "prepend key1 0 0",
                "incr",
                "incr key1",
                "decr key1",
                "incr key1 1 2 3",
                "touch",
                "touch key1",
                "touch key1 1 2 3",
                "delete",
                "flush_all a b c",
                "verbosity",
                "verbosity 1 2 3",
                "nonsense",
                "gett key1",
                "getskey1",
                "mq key1",
                "m",
                "mgg key1",
                "bogus key1 0 0 1",
                "version ",
                "version and more",
                "shutdow",
                "stats nothing",
                "stats nothing at all",
                "delete key1 noreply noreply",
                "setkey1 0 0 1",
                "lru",
                "watc",
                "incr key1 noreply",
                "touch key1 noreply",
            ],
        )),
    }
    let verb = command.ours.split(|&byte| byte == b' ').next().unwrap_or_default();
    if [&b"set"[..], b"add", b"replace", b"append", b"prepend", b"cas"].contains(&verb) {
        command.end_ours();
    }
    command.push(pick(chance, &["\r\n", "\r\n", "\n"]));
    command
}

/// Refused storage lines with a data block that is a line, too.
fn refused_storage(chance: &mut Chance, versions: &Versions) -> Command {
    let mut command = Command::default();
    let verb = pick(chance, &["set", "add", "replace", "append", "prepend", "cas"]);
    let long_key = vec![b'K'; 251];
    let key = key(chance);
    let wrong = chance.below(if verb == "cas" { 6 } else { 5 });
    command.push(verb);
    command.word(if wrong == 0 { &long_key } else { &key });
    command.word(if wrong == 1 { pick(chance, &["a", "-1", "1.0", "0x"]) } else { "0" });
    command.word(if wrong == 2 { pick(chance, &["a", "1-", "--1"]) } else { "0" });
    let has_block = wrong < 3 || wrong == 5;
    command.word(match wrong {
        3 => pick(chance, &["-1", "-5"]),
        4 => pick(chance, &["a", "1x", "99999999999999999999", "2147483647", "2147483646"]),
        _ => "6",
    });
    if verb == "cas" {
        command.push(" ");
        if wrong == 5 {
            command.push(pick(chance, &["a", "1a", "18446744073709551616"]));
        } else {
            command.version(version(chance, versions));
        }
    }
    command.push("\r\n");
    if !has_block {
        command.end_ours();
    }
    if has_block {
        command.push("absent\r\n");
        command.block_is_a_command = true;
        command.is_alone = true;
    }
    command
}
